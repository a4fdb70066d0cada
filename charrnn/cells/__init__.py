"""The recurrent cells: each is one file, `config.CELL_NAMES` their registry; a cell is compiled
when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module

from charrnn.cells.cell import Cell
from charrnn.config import CELL_NAMES


def cell_named(name: str) -> Cell:
    """The cell of that name, which stands in the module of that name."""
    if name not in CELL_NAMES:
        raise KeyError(name)
    cell: Cell = import_module(f"charrnn.cells.{name.replace('-', '_')}").CELL
    return cell
