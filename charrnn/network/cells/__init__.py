"""The recurrent cells, one file each; a cell is compiled on first use.

The main entry point is `cell_named`; `cell.py` defines what a cell consists of, and `CELL_NAMES` in
`charrnn.config` lists them all.
"""

from importlib import import_module

from charrnn.config.settings import CELL_NAMES
from charrnn.network.cells.cell import Cell


def cell_named(name: str) -> Cell:
    """The cell of this name, from the module of the same name."""
    if name not in CELL_NAMES:
        raise KeyError(name)
    cell: Cell = import_module(f"charrnn.network.cells.{name.replace('-', '_')}").CELL
    return cell
