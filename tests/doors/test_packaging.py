"""The package: the same bytes each time, all that belongs to it, and that it runs where it is
installed, by pip, `build` and `twine`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

import pytest

import charrnn

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(charrnn.__file__).parent
OFFLINE = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        sys.stderr.write(f"{event}{arguments}")
        os._exit(99)

sys.addaudithook(refuse)
"""
"""A program that asks anything of any host ends at once."""
MISSING = {
    "serve": "serve",
    "onnx": "export NETWORK --to onnx --out book.onnx",
    "tune": "tune --trials 1 --steps 3",
    "tensorboard": "train --steps 3 --tensorboard board",
    "mpi": "train --steps 3 --parts 2",
}
"""What needs an extra; `write` asks for a terminal first."""
AS_A_RANK = {"PMI_RANK": "0", "PMI_SIZE": "2"}
"""The variables that MPICH's mpiexec sets."""


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        **options,  # type: ignore[call-overload]
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


def build(source: Path, to: Path, *what: str, umask: int = 0o022) -> list[Path]:
    run(sys.executable, "-m", "build", "--no-isolation", source, "-o", to, *what, umask=umask)
    return sorted(to.iterdir())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution."""
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("packages"))
    return wheel, sdist


def test_they_are_the_same_bytes_from_the_source_distribution(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    """In another folder, with other times and permissions; and the wheel without an sdist."""
    with tarfile.open(packages[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        os.utime(path, (1e9, 1e9))
    for was, now in zip(packages, build(source, tmp_path / "again", umask=0o077), strict=True):
        assert was.name == now.name and was.read_bytes() == now.read_bytes()
    (direct,) = build(ROOT, tmp_path / "direct", "--wheel")
    assert direct.read_bytes() == packages[0].read_bytes()


def test_twine_has_nothing_to_say(packages: tuple[Path, Path]) -> None:
    said = run(sys.executable, "-m", "twine", "check", "--strict", *packages).stdout
    assert said.count("PASSED") == 2 and "warning" not in said.lower()


def test_the_wheel_holds_every_file_and_no_other(packages: tuple[Path, Path]) -> None:
    """Styles, scripts, presets, the plays, the network that was trained on them, py.typed."""
    built = {"__pycache__", "compiled"}
    wanted = {
        f"charrnn/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and not built & set(path.parts)
    }
    wanted |= {f"charrnn/data/{name}" for name in ("README.md", "plays.txt")}
    wanted |= {"charrnn/checkpoints/plays.safetensors"}
    with zipfile.ZipFile(packages[0]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == wanted
    assert {"charrnn/py.typed", "charrnn/pages/page.css", "charrnn/pages/report.js"} <= names


def test_the_source_distribution_holds_the_tests_and_the_docs(packages: tuple[Path, Path]) -> None:
    with tarfile.open(packages[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "LICENSE", "README.md", "CHANGELOG.md", "hatch_build.py"} <= names
    for folder in ("tests", "docs", "benchmarks"):
        files = [path for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts]
        assert {path.relative_to(ROOT).as_posix() for path in files} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]


def test_an_index_shows_no_link_that_leads_nowhere(packages: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(packages[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        about = BytesParser(policy=default).parsebytes(archive.read(name))
    assert about["Description-Content-Type"] == "text/markdown"
    page = about.get_content()
    assert "# charrnn" in page and "docs/training.md" in page
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert links and all(link.startswith(("https:", "#")) for link in links)


@pytest.fixture(scope="module")
def empty(
    packages: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, str]]:
    """The program in an environment that holds it and its dependencies alone, an empty folder to
    run it in, and its environment variables: without a network, and with a home of its own.
    """
    place = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", place / "venv")
    python = place / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", packages[0], cwd=place)
    (site,) = (place / "venv/lib").glob("python*/site-packages")
    (site / "sitecustomize.py").write_text(OFFLINE)
    (place / "home").mkdir()
    (place / "folder").mkdir()
    variables = {"HOME": str(place / "home"), "PATH": "/usr/bin:/bin", "COLUMNS": "80"}
    return place / "venv/bin/charrnn", place / "folder", variables


def test_it_writes_and_trains_where_it_is_installed(
    empty: tuple[Path, Path, dict[str, str]],
) -> None:
    program, folder, variables = empty
    options = {"cwd": folder, "env": variables}
    python = program.with_name("python")
    place = run(python, "-c", "import charrnn; print(charrnn.__file__)", **options).stdout
    assert program.parents[1] in Path(place).parents
    wrote = run(program, "sample", "--seed", 1, "--length", 200, **options)
    assert len(wrote.stdout) > 150 and re.search(r"^[A-Z]+:$", wrote.stdout, re.MULTILINE)
    run(program, "train", "--steps", 4, "--hidden", 16, "--out", "run", **options)
    wrote = run(program, "sample", "run", "--seed", 1, "--length", 50, **options)
    assert len(wrote.stdout) >= 50
    assert (
        f"charrnn {charrnn.__version__}"
        == run(program, "--version", **options).stdout.replace(", version", "").strip()
    )


@pytest.mark.parametrize("extra", MISSING)
def test_a_command_without_its_extra_says_in_a_line_what_to_install(
    empty: tuple[Path, Path, dict[str, str]], extra: str
) -> None:
    program, folder, variables = empty
    (network,) = program.parents[1].rglob("plays.safetensors")
    ran = subprocess.run(
        [str(program), *MISSING[extra].replace("NETWORK", str(network)).split()],
        cwd=folder,
        env={**variables, **(AS_A_RANK if extra == "mpi" else {})},
        capture_output=True,
        text=True,
        timeout=600,
    )
    lines = ran.stderr.splitlines()
    assert ran.returncode in (1, 2) and ran.stdout == ""
    assert lines[-1].startswith("error: ") and f"charrnn-numba[{extra}]" in lines[-1], lines
    assert "Traceback" not in ran.stderr


def test_a_skipped_test_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no tool')\n"
    )
    call = [sys.executable, "-m", "pytest", "-p", "tests.doors.conftest", "-q", tmp_path]
    for name, status in (("test_a", 0), ("test_b", 1)):
        ran = subprocess.run(
            [*map(str, call), "-k", name, "--rootdir", str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "CHARRNN_DOORS": "1"},
        )
        assert ran.returncode == status, ran.stdout
        assert ("every test has to run" in ran.stdout) == bool(status)
