"""The whole program with a cache of kernels that is damaged, incomplete, read-only or full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.cli import kernel_loading
from charrnn.compiler import amx, bfloat16, compiling, target
from charrnn.config.settings import CELL_NAMES

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ("sample", "--length", "40", "--seed", "1", str(ROOT / "checkpoints/plays.safetensors"))


def charrnn(
    *arguments: str, cache: Path | None = None, root: Path = ROOT, **options: object
) -> tuple[str, str]:
    """What the program here prints on stdout and stderr, with this cache or the user's; without the
    line that makes a sample again.
    """
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment |= {} if cache is None else {"CHARRNN_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("again: ")]
    return done.stdout, "\n".join(said)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A sample, and a cache with just the kernels that it needs."""
    charrnn(*SAMPLE)  # compiles them for all tests, once
    text, said = charrnn(*SAMPLE)
    assert len(text) == 40 and not said
    folder = compiling.FILES.folder
    assert folder is not None
    return text, Path(folder)


@pytest.fixture
def cache(sampled: tuple[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(sampled[1], tmp_path / "cache" / sampled[1].name)
    return tmp_path / "cache"


@pytest.fixture
def fixed(cache: Path, tmp_path: Path) -> Iterator[Path]:
    """Makes the cache read-only."""
    if os.geteuid():
        folders = [cache, *cache.iterdir()]
        for folder in folders:
            folder.chmod(0o555)
        yield cache
        for folder in folders:
            folder.chmod(0o755)
        return
    mount = tmp_path / "mount"
    mount.mkdir()
    command = ["mount", "--bind", str(cache), str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("root writes everywhere, and nothing can be mounted here")
    subprocess.run(["mount", "-o", "remount,bind,ro", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_damaged_kernels_are_mended_and_it_says_so(sampled: tuple[str, Path], cache: Path) -> None:
    folder = next(cache.iterdir())
    (folder / "update.average.kernel").write_bytes(b"")
    changed = bytearray((folder / "recurrent.look_up.kernel").read_bytes())
    changed[len(changed) // 2] ^= 4
    (folder / "recurrent.look_up.kernel").write_bytes(changed)
    text, said = charrnn(*SAMPLE, cache=cache)
    assert text == sampled[0]
    assert said.splitlines() == [
        f"{folder}: recurrent.look_up and 1 more not usable; compiled again",
        "compiling kernels for this machine (once, a few seconds)",
    ]
    assert charrnn(*SAMPLE, cache=cache) == (text, "")


def test_a_read_only_cache_is_read(sampled: tuple[str, Path], fixed: Path) -> None:
    assert charrnn(*SAMPLE, cache=fixed) == (sampled[0], "")


def test_what_a_read_only_cache_lacks_is_compiled_each_time(
    sampled: tuple[str, Path], cache: Path, request: pytest.FixtureRequest
) -> None:
    (next(cache.iterdir()) / "update.average.kernel").unlink()
    fixed = request.getfixturevalue("fixed")
    for _ in range(2):
        text, said = charrnn(*SAMPLE, cache=fixed)
        why, what = said.splitlines()
        assert text == sampled[0] and what.endswith("for this machine (a few seconds)")
        assert f"cannot write to {fixed}" in why and "CHARRNN_CACHE_DIR" in why


def test_a_disk_that_is_full(sampled: tuple[str, Path], cache: Path) -> None:
    """Only what is compiled cannot be written; it is said once, with the place."""
    import resource

    (next(cache.iterdir()) / "update.average.kernel").unlink()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731
    text, said = charrnn(*SAMPLE, cache=cache, preexec_fn=limit)
    what, why = said.splitlines()
    assert text == sampled[0] and what.startswith("compiling kernels")
    assert why.startswith(f"cannot write to {cache}") and "File too large" in why
    assert not list(cache.rglob("*.part"))


def test_the_whole_cache_in_one_command() -> None:
    """Into this user's own cache, where most of it is already."""
    about = json.loads(charrnn("compile", "--json")[0])
    is_there = {
        "bf16-training": bfloat16.INSTRUCTION or target.EMULATED,
        "amx-training": amx.is_there(),
    }
    chosen = [name for name in compiling.CHOSEN_MODULES if is_there.get(name, True)]
    modules = compiling.kernel_modules(*CELL_NAMES, *chosen)
    names = {kernel for module in modules for kernel in compiling.kernels_in(module)}
    assert about["kernels"] >= len(names) > 50 and about["bytes"] > 1_000_000
    assert about["folders"] == [str(compiling.FILES.folder)]
    text, said = charrnn("compile")
    assert text.startswith(f"{about['kernels']} kernels, ") and not said
    assert str(compiling.FILES.folder) in text


def test_a_cache_that_cannot_be_filled_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssertionError, match=r"error: cannot write to .*/file/.*CHARRNN_CACHE_DIR"):
        charrnn("compile", cache=tmp_path / "file")


def test_a_cache_for_all_users_of_an_installation(
    sampled: tuple[str, Path], tmp_path: Path
) -> None:
    """What `--shared` fills is read by someone who can write nowhere."""
    charrnn("compile")
    shutil.copytree(ROOT / "charrnn", tmp_path / "charrnn")
    shared = tmp_path / "charrnn" / "compiled" / sampled[1].name
    shutil.copytree(sampled[1], shared, dirs_exist_ok=True)
    (shared / "update.average.kernel").unlink()
    about = json.loads(charrnn("compile", "--shared", "--json", root=tmp_path)[0])
    assert about["folders"] == [str(shared)] and (shared / "update.average.kernel").exists()
    nowhere = Path("/proc/nowhere")
    assert charrnn(*SAMPLE, root=tmp_path, cache=nowhere) == (sampled[0], "")


def test_slower_code_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(target, "is_slower", lambda: True)
    monkeypatch.setattr(kernel_loading, "_said", set())
    kernel_loading.load_kernels("lstm", quiet=True)
    kernel_loading.load_kernels("lstm", training=False)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        kernel_loading.load_kernels("lstm")
    assert capsys.readouterr().err.count("charrnn compile makes faster code") == 1
