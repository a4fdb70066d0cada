"""The recurrent cells: one file for each; a cell is compiled when it is first asked for.

The main way in is `cell_named`; `cell.py` says what a cell consists of, and `CELL_NAMES` of
`charrnn.config` lists them all.
"""

from importlib import import_module

from charrnn.config.settings import CELL_NAMES
from charrnn.network.cells.cell import Cell


def cell_named(name: str) -> Cell:
    """The cell of that name, which stands in the module of that name."""
    if name not in CELL_NAMES:
        raise KeyError(name)
    cell: Cell = import_module(f"charrnn.network.cells.{name.replace('-', '_')}").CELL
    return cell
