"""The rooms of the library: what each folder says of itself, and names that must not repeat."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "charrnn"
MODULES = sorted(ROOT.rglob("*.py"))
BENCHMARKS = sorted((ROOT.parent / "benchmarks").glob("*.py"))
PACKAGES = [path for path in MODULES if path.name == "__init__.py"]
HAND_ON = {".", "cli", "config", "network/cells"}
"""Packages that hold more than a docstring: they hand names on, and `cli` notes when it began."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_package_is_a_docstring_that_names_its_modules(path: Path) -> None:
    """Otherwise importing one module would load others, such as the kernels of training."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if name_of(path.parent) not in HAND_ON:
        assert len(tree.body) == 1
    if path.parent != ROOT:
        named = re.findall(r"`([\w./]+)`", ast.get_docstring(tree) or "")
        files = [path.parent / f"{name.removesuffix('.py').split('.')[0]}" for name in named]
        assert any(file.with_suffix(".py").exists() or file.is_dir() for file in files)


def test_every_folder_of_modules_is_a_package() -> None:
    assert {path.parent for path in MODULES} == {path.parent for path in PACKAGES}


def test_compiled_sources_have_names_of_their_own() -> None:
    """The keys of the cache of compiled kernels use them."""
    folders = ("compiler", "kernels", "network/cells")
    stems = [path.stem for folder in folders for path in (ROOT / folder).glob("[!_]*.py")]
    assert len(stems) > 30 and sorted(set(stems)) == sorted(stems)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_import_names_that_exist(path: Path) -> None:
    """They are run by hand, and rarely."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = ("charrnn", "benchmarks")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in own:
            module = import_module(str(node.module))
            missing = [each.name for each in node.names if not hasattr(module, each.name)]
            for name in missing:
                import_module(f"{node.module}.{name}")
