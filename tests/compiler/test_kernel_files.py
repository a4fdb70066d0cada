"""The cache of kernels can make a start faster, and nothing else: whatever is wrong with it, what
is computed is right.
"""

from __future__ import annotations

import json
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.cli import kernel_loading
from charrnn.compiler import kernel_files, target
from charrnn.compiler.kernel_files import KernelFiles, code_hash
from charrnn.errors import ConfigError
from charrnn.runtime.cache import ABANDONED, cache_root, forget_texts, texts_folder

ROOT = Path(__file__).resolve().parents[2]
KERNEL = b"machine code " * 50
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a cache of its own, without a shared one."""
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_files, "SHARED", tmp_path / "shared")
    return tmp_path / "cache"


def stored(*names: str, code: str = "1234", payload: bytes = KERNEL) -> KernelFiles:
    files = KernelFiles(code)
    for name in names or ("a.b",):
        files.store(name, payload)
    return files


def path_of(root: Path, name: str = "a.b", code: str = "1234") -> Path:
    return root / f"kernels-{code}" / f"{name}.kernel"


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if (
        not IS_ROOT
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


# One file
# --------------------------------------------------------------------------------------------------


def test_what_was_stored_is_read(root: Path) -> None:
    files = stored("a.b", "a.c")
    assert files.trouble is None and not files.damaged
    for again in (files, KernelFiles("1234")):
        assert again.exist() and again.holds("a.b") and again.take("a.b") == KERNEL
        assert again.take("a.b") == KERNEL and not again.holds("a.d") and again.take("a.d") is None
        assert again.paths() == {name: path_of(root, name) for name in ("a.b", "a.c")}
    assert not KernelFiles("5678").holds("a.b") and not KernelFiles("5678").exist()


damages = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 697)),
    st.tuples(st.just("bit"), st.integers(0, 8 * 698 - 1)),
    st.tuples(st.just("zeros"), st.integers(0, 697)),
    st.tuples(st.just("longer"), st.integers(1, 5000)),
    st.tuples(st.just("random"), st.integers(0, 3000)),
)


def damaged(data: bytes, kind: str, at: int) -> bytes:
    if kind == "bit":
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        return bytes(changed)
    return {
        "cut": data[:at],
        "zeros": data[:at] + bytes(max(0, len(data) - at)),
        "longer": data + bytes(at),
        "random": random.Random(at).randbytes(at),
    }[kind]


@given(damages)
def test_any_damage_is_noticed_and_mended(
    tmp_path_factory: pytest.TempPathFactory, damage: tuple[str, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("damage")
        patch.setenv("CHARRNN_CACHE_DIR", str(root))
        stored()
        path = path_of(root)
        whole = path.read_bytes()
        assert len(whole) == 698
        path.write_bytes(damaged(whole, *damage))
        files = KernelFiles("1234")
        assert not files.holds("a.b") and files.take("a.b") is None and files.damaged == {"a.b"}
        files.store("a.b", KERNEL)
        assert path.read_bytes() == whole and files.take("a.b") == KERNEL and not files.damaged


def test_a_kernel_in_the_place_of_another_is_not_used(root: Path) -> None:
    stored("a.b", "a.c")
    stored("a.b", code="5678")
    shutil.copy(path_of(root, "a.c"), path_of(root, "a.b"))
    assert not KernelFiles("1234").holds("a.b")
    shutil.copy(path_of(root, "a.b", "5678"), path_of(root, "a.b"))
    assert not KernelFiles("1234").holds("a.b"), "of another program or processor"


@pytest.mark.parametrize("what", ["folder", "pipe", "link", "device", "huge"])
def test_what_is_no_file_of_ours_is_not_read(root: Path, tmp_path: Path, what: str) -> None:
    stored()
    path = path_of(root)
    whole = path.rename(tmp_path / "whole")
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(10**13)
    else:
        path.symlink_to(whole if what == "link" else "/dev/zero")
    files = KernelFiles("1234")
    assert not files.holds("a.b")
    files.store("a.b", KERNEL)
    if what == "folder":
        assert "cannot write" in str(files.trouble)
        assert [p.name for p in path.parent.iterdir()] == [path.name], "a part is left"
    else:
        assert files.trouble is None and KernelFiles("1234").take("a.b") == KERNEL


# The folder
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_nobody_else_can_write_what_is_made(root: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files = stored()
    finally:
        os.umask(before)
    assert files.trouble is None and KernelFiles("1234").take("a.b") == KERNEL
    for path in (path_of(root), path_of(root).parent):
        assert not path.stat().st_mode & 0o022


@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_not_read(root: Path, mode: int) -> None:
    """Numba stores a pickle, which can do anything."""
    stored()
    path, folder = path_of(root), path_of(root).parent
    path.chmod(0o644 | mode)
    files = KernelFiles("1234")
    assert not files.holds("a.b") and files.damaged == {"a.b"}
    stored()
    assert KernelFiles("1234").holds("a.b"), "it is replaced"
    folder.chmod(0o755 | mode)
    files = stored()
    assert not files.holds("a.b") and not files.exist()
    assert files.trouble == f"{folder} can be written by others"


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_what_belongs_to_others_is_not_read(root: Path) -> None:
    stored("a.b", "a.c")
    os.chown(path_of(root), 12345, 12345)
    files = KernelFiles("1234")
    assert not files.holds("a.b") and files.holds("a.c")
    os.chown(path_of(root).parent, 12345, 12345)
    files = KernelFiles("1234")
    assert not files.holds("a.c") and not files.exist() and not files.paths()
    files.store("a.c", KERNEL)
    assert files.trouble == f"{path_of(root).parent} belongs to another user (12345)"


def test_a_link_to_a_folder_is_not_followed(root: Path, tmp_path: Path) -> None:
    stored()
    folder = path_of(root).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    files = KernelFiles("1234")
    assert not files.holds("a.b") and not files.prepare()
    assert f"{folder} is not a folder" == files.trouble


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "/dev/null/x", "/" + "x" * 5000])
def test_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(kernel_files, "cache_root", lambda: Path(place))
    files = stored()
    assert not files.holds("a.b") and not files.prepare() and not files.exist()
    assert f"cannot write to {place}" in str(files.trouble)


def test_a_full_disk(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored before is read; what has no room leaves nothing."""
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(mounted))
    stored()
    files = KernelFiles("1234")
    files.store("a.c", bytes(100_000))
    assert files.trouble == f"cannot write to {files.folder}: No space left on device"
    assert files.take("a.b") == KERNEL and not files.holds("a.c")
    assert [path.name for path in path_of(mounted).parent.iterdir()] == ["a.b.kernel"]


def test_a_read_only_cache_is_read(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(mounted))
    stored()
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    files = KernelFiles("1234")
    assert files.take("a.b") == KERNEL and not files.holds("a.c")
    files.store("a.c", KERNEL)
    assert "Read-only file system" in str(files.trouble)


def test_the_shared_cache_is_read_but_not_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    stored("a.b", "a.c")
    root.rename(shared)
    files = stored("a.c", payload=b"mine")
    assert files.take("a.b") == KERNEL and files.take("a.c") == b"mine"
    assert files.paths() == {"a.b": path_of(shared), "a.c": path_of(root, "a.c")}
    path_of(root, "a.c").write_bytes(b"")
    assert files.take("a.c") == KERNEL, "one of the two is intact"
    monkeypatch.setenv("CHARRNN_CACHE_DIR", "/proc/nowhere")
    assert KernelFiles("1234").take("a.b") == KERNEL
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(shared))
    assert KernelFiles("1234").paths() == {n: path_of(shared, n) for n in ("a.b", "a.c")}


def test_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is written into a folder called ~."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "CHARRNN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    assert cache_root() is None and texts_folder() is None and forget_texts() == (0, 0)
    files = stored()
    assert files.folder is None and not files.holds("a.b") and files.trouble
    assert not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(root: Path) -> None:
    stored()
    old, new = path_of(root).with_suffix(".part"), path_of(root, "x").with_suffix(".part")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 2 * ABANDONED))
    stored("a.c")
    assert not old.exists() and new.exists()


# What people are told
# --------------------------------------------------------------------------------------------------


def announced(files: KernelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "FILES", files)
    monkeypatch.setattr(kernel_loading, "_said", set())
    shown = kernel_loading._Compiling(20, 20, quiet=False)
    for name in "ab":
        shown.tick(name, False)
    shown.close()


def test_why_every_start_is_slow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the place and the variable, and does not promise that it is only once."""
    monkeypatch.setenv("CHARRNN_CACHE_DIR", "/proc/nowhere")
    announced(KernelFiles("1234"), monkeypatch)
    why, what = capsys.readouterr().err.splitlines()
    assert why.startswith("cannot write to /proc/nowhere/kernels-1234: No such file or directory")
    assert "every start compiles again" in why and "CHARRNN_CACHE_DIR" in why
    assert what == "compiling kernels for this machine (about 20 s)"


def test_why_it_compiles_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored("a.b", "a.c")
    for name in ("a.b", "a.c"):
        path_of(root, name).write_bytes(b"")
    files = KernelFiles("1234")
    assert not files.holds("a.b") and not files.holds("a.c")
    announced(files, monkeypatch)
    why, what = capsys.readouterr().err.splitlines()
    assert why == f"{root / 'kernels-1234'}: a.b and 1 more not usable; compiled again"
    assert what == "compiling kernels for this machine (once, about 20 s)"


# Real kernels, in processes of their own
# --------------------------------------------------------------------------------------------------

SMALL = """
from numba import float32, void
from charrnn.compiler.compiling import kernel

@kernel(void(float32[::1]))
def double(x):
    for u in range(x.size):
        x[u] += x[u]

@kernel(void(float32[::1]))
def quadruple(x):
    double(x)
    double(x)
"""
USE = """
import json, sys
sys.path.insert(0, {folder!r})
from charrnn.compiler import compiling
cached = dict()
compiling.listeners.append(cached.__setitem__)
import numpy as np
from charrnn.compiler import companion
companion.available_threads = lambda: 2
with companion.beside(["small"], {missing}):
    import small
import charrnn
assert charrnn.__file__.startswith({root!r})
x = np.ones(5, np.float32)
small.quadruple(x)
assert (x == 4).all()
print(json.dumps([cached, small.quadruple.stats.cache_hits == {{}}, compiling.FILES.trouble]))
"""
NEW, OLD = (
    {"small.double": False, "small.quadruple": False},
    {
        "small.double": True,
        "small.quadruple": True,
    },
)


class Program:
    """Uses two kernels in a process, with a cache of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        (folder / "small.py").write_text(SMALL)
        self.folder, self.cache = folder, cache

    def start(
        self, root: Path = ROOT, missing: int = 0, **options: object
    ) -> subprocess.Popen[str]:
        """With a companion if many kernels are said to be missing."""
        here = {"PYTHONPATH": str(root), "CHARRNN_CACHE_DIR": str(self.cache)}
        code = USE.format(folder=str(self.folder), root=str(root), missing=missing)
        command, environment = [sys.executable, "-c", code], {**os.environ, **here}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options |= {"cwd": self.folder, "env": environment}  # not where the program is
        return subprocess.Popen(command, **pipes, **options)  # type: ignore[call-overload]

    def result(
        self, process: subprocess.Popen[str] | None = None, **options: object
    ) -> tuple[dict[str, bool], str | None]:
        """Which kernels were cached, and what trouble there was."""
        process = process or self.start(**options)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert not err, err
        cached, anew, trouble = json.loads(out)
        assert not (anew and cached["small.quadruple"]), "it said what was not so"
        return cached, trouble

    def paths(self) -> list[Path]:
        return sorted(self.cache.glob("kernels-*/*"))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, tmp_path / "cache")


def test_damaged_kernels_are_compiled_anew(program: Program) -> None:
    assert program.result() == (NEW, None) and program.result() == (OLD, None)
    double, quadruple = program.paths()
    code = quadruple.parent.name.partition("-")[2]
    whole = quadruple.read_bytes()
    for damage in (b"", whole[:40], whole[:-1], damaged(whole, "bit", 8 * len(whole) // 2)):
        quadruple.write_bytes(damage)
        assert program.result() == ({**OLD, "small.quadruple": False}, None)
        assert program.result() == (OLD, None), "it was not replaced"
    # intact, but nothing that can be loaded
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARRNN_CACHE_DIR", str(program.cache))
        for payload in (b"", b"no pickle", b"\x80\x04N.", b"\x80\x04)."):
            KernelFiles(code).store("small.double", payload)
            cached, _ = program.result()
            assert cached == OLD
            assert double.stat().st_size > 1000, "it was not replaced"


def test_the_program_in_another_folder_shares_the_cache(program: Program, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "charrnn", other / "charrnn")
    assert program.result() == (NEW, None)
    assert program.result(root=other) == (OLD, None)
    kernel = next((other / "charrnn" / "kernels").glob("adam.py"))
    kernel.write_text(kernel.read_text() + "\n")
    assert program.result(root=other) == (NEW, None), "an edit meets stale code"


def test_a_file_that_may_not_grow(program: Program) -> None:
    """As with a quota."""
    import resource

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # noqa: E731
    cached, trouble = program.result(preexec_fn=limit)
    assert cached == NEW and trouble is not None
    assert str(program.cache) in trouble and "File too large" in trouble
    assert program.paths() == [] and program.result() == (NEW, None)


def test_real_kernels_in_a_read_only_cache(mounted: Path, tmp_path: Path) -> None:
    program = Program(tmp_path, mounted / "cache")
    subprocess.run(["mount", "-o", "remount,size=9m", str(mounted)], check=True)
    assert program.result() == (NEW, None)
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    assert program.result() == (OLD, None)


def test_processes_that_start_at_once(program: Program) -> None:
    processes = [program.start() for _ in range(3)]
    for process in processes:
        assert program.result(process)[1] is None
    assert len(program.paths()) == 2 and program.result() == (OLD, None)


@pytest.mark.parametrize("missing", [0, 9])
def test_killed_at_any_time(
    program: Program, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """What is left is whole, or missing, or a part that nobody reads; with and without a companion,
    which is killed too.
    """
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(program.cache))
    start = time.monotonic()
    assert program.result(missing=missing)[1] is None
    took = time.monotonic() - start
    code = program.paths()[0].parent.name.partition("-")[2]
    times = random.Random(14)
    for n in range(6):
        for path in program.paths():
            path.unlink()
        process = program.start(missing=missing, start_new_session=True)
        time.sleep(took * times.uniform(0.5, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        files = KernelFiles(code)
        for path in program.paths():
            if path.suffix == ".kernel":
                assert files.holds(path.stem), (n, path)
    program.result()
    assert program.result() == (OLD, None)


# Code for any processor
# --------------------------------------------------------------------------------------------------

ABOUT = """
from numba.core import config
from charrnn.compiler.target import FILES, TARGET, is_slower
print(FILES.folder, config.CPU_NAME, TARGET.name, is_slower(), sep="\\n")
"""


def about(cache: Path, simd: str | None = None) -> list[str]:
    """The folder, Numba's processor, the target, and whether another would be faster."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARRNN_CACHE_DIR": str(cache)}
    environment.pop("CHARRNN_SIMD", None)
    if simd is not None:
        environment["CHARRNN_SIMD"] = simd
    done = subprocess.run(
        [sys.executable, "-c", ABOUT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not target._runs_portable(), reason="this machine has no AVX2")
def test_code_for_any_processor_is_used_where_there_is_no_other(tmp_path: Path) -> None:
    best = about(tmp_path)
    assert best[1:] == ["None", target.best_target().name, "False"]
    portable = about(tmp_path, "x86-64-v3")
    assert portable[1:] == ["x86-64-v3", "avx2", "False"] and portable[0] != best[0]
    assert about(tmp_path) == best, "nothing is cached yet"
    told = [*portable[:3], str(best[2] == "avx512")]
    for folder, expected in ((portable[0], told), (best[0], best)):
        Path(folder).mkdir(parents=True)
        Path(folder, "a.b.kernel").touch()
        assert about(tmp_path) == expected
        assert about(tmp_path, "native") == best


def test_another_processor_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def folders() -> list[Path | None]:
        made = [
            target.kernel_files(target.TARGET),
            target.kernel_files(target.AVX2, target.PORTABLE, ""),
            target.kernel_files(target.NONE),
        ]
        return [files.folder for files in made]

    here = folders()
    assert len(set(here)) == 3
    monkeypatch.setattr(target.binding, "get_host_cpu_name", lambda: "another")
    there = folders()
    assert there[0] != here[0] and there[1] == here[1]
    monkeypatch.undo()
    assert folders() == here


@pytest.mark.parametrize("option", ["OPT", "BOUNDSCHECK", "USING_SVML"])
def test_another_numba_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    before = code_hash("cpu")
    assert before == code_hash("cpu") != code_hash("other")
    monkeypatch.setattr(kernel_files.config, option, 7)
    assert code_hash("cpu") != before


def test_a_processor_without_avx2_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_runs_portable", lambda: False)
    with pytest.raises(ConfigError, match="x86-64-v3: this machine has no x86-64-v3"):
        target.choose_target("x86-64-v3")
