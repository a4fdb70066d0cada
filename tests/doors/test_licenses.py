"""docs/licenses.md is what the metadata of the installed packages say."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).resolve().parents[2] / "docs/licenses.md"
LICENSES = r"0BSD|LGPL|BSD|MIT|Apache|MPL|PSF|CNRI|Zlib|CC0"


def add_requirements(name: str, extras: tuple[str, ...], to: dict[str, set[str]]) -> None:
    """Everything that pip installs with a package, and which packages ask for it."""
    for requirement in map(Requirement, distribution(name).requires or ()):
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        needed = canonicalize_name(requirement.name)
        is_new = needed not in to
        to.setdefault(needed, set()).add(name)
        if is_new:
            add_requirements(needed, tuple(requirement.extras), to)


def license_of(name: str) -> str:
    """In a newer field of the metadata, an older one, or the classifiers."""
    about = distribution(name).metadata
    classifiers = about.get_all("Classifier", [])
    for said in (about.get("License-Expression"), about.get("License"), *classifiers):
        if said and set(re.findall(LICENSES, said)) and (":" not in said or "License ::" in said):
            return str(said).splitlines()[0]
    raise AssertionError(f"the metadata of {name} do not name a license that is known here")


def test_every_package_stands_on_the_page_with_its_license() -> None:
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    rows = [re.findall(r"^\| ([a-z0-9-]+) \| (.+?) \|", part, re.MULTILINE)[1:] for part in parts]
    for part, extras in zip(rows, ((), ("all",)), strict=True):
        installed: dict[str, set[str]] = {}
        add_requirements("charrnn-numba", extras, installed)
        wanted = installed.keys() - (dict(rows[0]).keys() if extras else ())
        assert [name for name, _ in part] == sorted(wanted)
        for name, said in part:
            found = license_of(name)
            assert set(re.findall(LICENSES, said)) == set(re.findall(LICENSES, found)), name
