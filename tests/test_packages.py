"""What is installed with charrnn: every package that the code imports, by an extra if only some
people need it, and where the docs tell of it.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PEERS = {"torch"}
"""Measured against if it is there; nothing depends on it."""


def name_of(requirement: str) -> str:
    """The package's name as an import would have it."""
    match = re.match(r"[\w.-]+", requirement)
    assert match
    return match[0].lower().replace("-", "_")


def imported(path: Path) -> set[str]:
    """The names of the packages that a module imports, anywhere in it."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return {name.partition(".")[0].lower() for name in names}


def test_every_import_is_a_dependency_or_in_an_extra() -> None:
    everywhere = set.union(*map(imported, (ROOT / "charrnn").rglob("*.py")))
    needed = everywhere - {name.lower() for name in sys.stdlib_module_names} - {"charrnn"} - PEERS
    optional = {
        name_of(each) for extra, packages in EXTRAS.items() if extra != "dev" for each in packages
    }
    always = {name_of(each) for each in PROJECT["dependencies"]}
    brought = {"llvmlite", "h11"}  # by numba and uvicorn, in the versions that fit
    assert needed - brought == (always | optional) - {"charrnn_numba"}


def test_all_extras_are_in_all() -> None:
    (everything,) = EXTRAS["all"]
    inside = set(everything.partition("[")[2].rstrip("]").split(","))
    assert inside == EXTRAS.keys() - {"all", "dev"}


def test_the_docs_name_every_extra_and_license() -> None:
    install, licenses = (
        (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("install.md", "licenses.md")
    )
    for extra, packages in EXTRAS.items():
        if extra != "dev":
            (row,) = re.findall(rf"^\| `{extra}` \|.*$", install, re.MULTILINE)
            names = {name_of(each) for each in packages} - {"charrnn_numba"}
            assert names <= {name.lower() for name in re.findall(r"\w+", row)}, extra
            assert all(f"| {name.replace('_', '-')} |" in licenses for name in names), extra
    for each in PROJECT["dependencies"]:
        assert f"| {name_of(each).replace('_', '-')} |" in licenses, each
