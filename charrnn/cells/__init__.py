"""The recurrent cells, by name: a cell is one file and one line here."""

from __future__ import annotations

from charrnn.cells import lstm
from charrnn.cells.cell import Cell

CELLS: dict[str, Cell] = {"lstm": Cell(lstm.GATES, lstm.step, lstm.step_back, lstm.initial_bias)}
