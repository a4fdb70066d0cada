"""What `import charrnn` offers, and how it behaves in a notebook."""

from __future__ import annotations

import ast
import gc
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn import SamplingConfig, Trained, errors, generate, generate_many, train
from charrnn.config import CorpusConfig
from charrnn.training.run_folder import RunFolder
from tests.reference.small import digest, small_corpus, small_run, trained

CORPUS = small_corpus()
CONTROL = "\x1b]0;x\x07\n\r"


# Names
# --------------------------------------------------------------------------------------------------


def python(code: str, **variables: str) -> str:
    """What another process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    return done.stdout


def test_an_import_loads_and_does_nothing(tmp_path: Path) -> None:
    """Nor does a look at the names, as completion in a notebook takes."""
    code = (
        "import sys, threading, signal; before = signal.getsignal(signal.SIGINT); import charrnn; "
        "dir(charrnn); charrnn.__all__, charrnn.__version__; "
        "print([n for n in ('numpy', 'numba', 'click', 'rich', 'tqdm') if n in sys.modules], "
        "len([n for n in sys.modules if n.startswith('charrnn')]), threading.active_count(), "
        "signal.getsignal(signal.SIGINT) is before)"
    )
    assert python(code, CHARRNN_CACHE_DIR=str(tmp_path / "cache")) == "[] 1 1 True\n"
    assert not list(tmp_path.iterdir())


def test_settings_and_errors_load_no_kernel() -> None:
    code = (
        "import sys, charrnn; charrnn.TrainConfig(steps=3), charrnn.CharrnnError, charrnn.preset; "
        "print([n for n in ('numpy', 'numba') if n in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_all_names_exist_and_are_known_to_type_checkers() -> None:
    tree = ast.parse(Path(charrnn.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {a.name: node.module for node in block.body for a in node.names}  # type: ignore
    assert sorted(typed) == sorted(charrnn.__all__)
    assert len(set(charrnn.__all__)) == len(charrnn.__all__)
    for name, module in typed.items():
        thing = getattr(charrnn, name)
        assert thing is getattr(sys.modules[module], name) and thing.__doc__, name
        assert set(charrnn.__all__) <= set(dir(charrnn))
        if isinstance(thing, type):
            for member, value in vars(thing).items():
                is_documented = callable(value) or isinstance(value, property)
                assert member.startswith("_") or not is_documented or value.__doc__, (name, member)
    assert (Path(charrnn.__file__).parent / "py.typed").exists()


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and k.__doc__]
    for kind in kinds:
        if issubclass(kind, errors.CharrnnError):
            assert kind.__name__ in charrnn.__all__
            assert kind.__name__ in (errors.__doc__ or "")


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = charrnn.trian  # type: ignore[attr-defined]


# Folders
# --------------------------------------------------------------------------------------------------


def test_what_load_takes(tmp_path: Path) -> None:
    folder, run = RunFolder(tmp_path / "run"), small_run(CORPUS, eval_every=5)
    folder.path.mkdir()
    folder.create({})
    trained(run, CORPUS, folder)
    assert run.progress.best_step not in (None, 0)
    for path in (folder.path, str(folder.path), folder.best, os.fspath(folder.best)):
        assert charrnn.load(path).origin.step == run.progress.best_step
    assert charrnn.load_run(folder.path).step == charrnn.load_run(folder.last).step == run.step
    folder.best.unlink()
    assert charrnn.load(folder.path).origin.step == run.step, "a run without best: its last"
    network = charrnn.load(folder.path)
    folder.last.unlink()
    assert "".join(generate(network, "1", SamplingConfig(length=9))), "the file is not needed"
    missing = tmp_path / "missing"
    for load in (charrnn.load, charrnn.load_run):
        for path in (folder.path, missing, str(missing), folder.path / "config.toml"):
            with pytest.raises(charrnn.CheckpointError) as raised:
                load(path)
            message = str(raised.value)
            assert str(path) in message and "\n" not in message and "device" not in message


@pytest.mark.parametrize(
    "read",
    [
        charrnn.load,
        charrnn.load_run,
        charrnn.RunRecord.read,
        charrnn.preset,
        lambda path: RunFolder(path).resume(),
    ],
)
def test_a_name_that_no_system_takes_is_an_error_of_ours(read: Any) -> None:
    with pytest.raises(charrnn.CharrnnError):
        read("x" * 300)


def test_a_folder_that_nobody_may_look_into_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def refusing(path: Any, *rest: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(".safetensors"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *rest, **options)

    monkeypatch.setattr(os, "stat", refusing)
    for read in (charrnn.load, charrnn.RunRecord.read, lambda path: RunFolder(path).resume()):
        with pytest.raises(charrnn.CheckpointError, match="Permission denied; check"):
            read(tmp_path)


# Documents
# --------------------------------------------------------------------------------------------------


def network_with(separator: str | None) -> Trained:
    """One that remembers, so that its text shows whether the state was reset."""
    run = small_run(CORPUS, seed=4)
    run.model.parameters.flat *= 3
    return replace(run.trained, corpus_config=CorpusConfig(document_separator=separator))


def test_texts_have_the_documents_of_the_training() -> None:
    config, prime = SamplingConfig(length=80, temperature=1.0, seed=1), "12 green\nbottles 7"
    texts: dict[str | None, list[str]] = {}
    for separator in (None, "[ \n]"):
        own = network_with(separator)
        texts[separator] = [
            "".join(generate(own, prime, config)),
            *generate_many(own, 2, prime, config),
            "".join(generate([own], prime, config)),
            "".join(generate([own, network_with(separator)], prime, config)),
        ]
        single, first, _, *together = texts[separator]
        assert {single, first} == {*together}
    assert all(a != b for a, b in zip(*texts.values(), strict=True))
    with pytest.raises(charrnn.ConfigError, match="`document_separator` differs"):
        list(generate([network_with(None), network_with("[ \n]")], prime, config))


def test_what_is_no_trained_network(tmp_path: Path) -> None:
    run: Any = small_run(CORPUS)
    for wrong in (run, run.model, [run], None, "best.safetensors"):
        for call in (generate, lambda network: generate_many(network, 2)):
            with pytest.raises(charrnn.ConfigError, match="must be a Trained"):
                list(call(wrong))
    for wrong in (run, run.model, None):
        with pytest.raises(charrnn.ConfigError, match="`trained` must be a Trained, not "):
            charrnn.save(tmp_path / "x.safetensors", wrong)
    with pytest.raises(charrnn.ConfigError, match="`run` must be a Run, not Trained"):
        charrnn.save_run(tmp_path / "x.safetensors", run.trained)
    for wrong in (run, run.trained, None, [run]):
        with pytest.raises(charrnn.ConfigError, match="must be a Model"):
            charrnn.evaluate(wrong, CORPUS.validation)
    for nothing in ([], ()):
        with pytest.raises(charrnn.ConfigError):
            list(generate(nothing))


# What is shown
# --------------------------------------------------------------------------------------------------


def test_reprs_are_one_short_line() -> None:
    text = "".join(map(chr, range(1, 600))) * 3 + CONTROL
    corpus = charrnn.Corpus.from_text(text, name=CONTROL)
    run = small_run(corpus)
    reports = trained(run, corpus, steps=1)
    network = run.trained
    sources = tuple(charrnn.Text(CONTROL, 10) for _ in range(3000))
    crowd = replace(network, origin=replace(network.origin, texts=sources))
    config = charrnn.SamplingConfig(stop=CONTROL)
    candidate = charrnn.Candidate(CONTROL, corpus, run.model.config, run.config)
    things: list[Any] = [
        *(corpus, corpus.vocab, run, run.model, run.model.parameters, run.state, network, crowd),
        *(crowd.origin, run.config, config, reports[0], charrnn.evaluate(run.model, corpus.train)),
        *(charrnn.Workers(2), charrnn.Writer(run.model, config), RunFolder(CONTROL), candidate),
        charrnn.Ensemble([charrnn.Writer(run.model, config)] * 2),
        charrnn.Result(candidate, ()),
        charrnn.Event(candidate, 1, 1, 2, 0.3),
        charrnn.Plan(run.model.config, run.config, *[0.5] * 6, 20, 0.5),
    ]
    for thing in things:
        shown = repr(thing)
        assert shown.startswith(f"{type(thing).__name__}(") and shown.endswith(")"), shown
        assert len(shown) <= 240 and shown.isprintable(), shown
    assert repr(run.model) == f"Model(lstm 2 x 9, {run.model.count():,} parameters)"
    settings: dict[str, Any] = dict(vars(charrnn))
    settings |= {n: getattr(charrnn, n) for n in ("TrainConfig", "ModelConfig", "SamplingConfig")}
    for each in (run.config, run.model.config, config, charrnn.TrainConfig()):
        assert eval(repr(each), settings) == each, "as it would be typed"


# Interruptions
# --------------------------------------------------------------------------------------------------


def test_an_interrupt_waits_for_the_end_of_a_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C inside each step of a run in turn, at its worst place, changes no bit of it."""
    whole = small_run(CORPUS)
    trained(whole, CORPUS)
    folder = RunFolder(tmp_path)
    folder.create({})
    run, count = small_run(CORPUS), 0
    from charrnn.training import update as updating

    update = updating.update_parameters

    def interrupted(*arguments: Any) -> None:
        update(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(updating, "update_parameters", interrupted)
    while not run.is_finished:
        with pytest.raises(KeyboardInterrupt):
            for _ in train(run, CORPUS, folder=folder, threads=1):
                pass
        count += 1
        assert run.step == count == charrnn.load_run(folder.last).step
        run = folder.resume() if count % 2 else run
    assert run.model.parameters.flat.tobytes() == whole.model.parameters.flat.tobytes()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("at", [1, 4, 8])
@pytest.mark.parametrize("kept", [True, False])
def test_an_update_that_was_torn_is_undone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int, kept: bool
) -> None:
    """By an interrupt of the program's own, or by memory that ran out: back to the good state."""
    whole, run = small_run(CORPUS), small_run(CORPUS)
    trained(whole, CORPUS)
    folder = RunFolder(tmp_path) if kept else None
    if folder is not None:
        folder.create({})
    from charrnn.training import update as updating

    update, count = updating.update_parameters, 0

    def torn(*arguments: Any) -> None:
        nonlocal count
        count += 1
        update(*arguments)
        if count in (at, at + 1):
            raise (KeyboardInterrupt if count == at else MemoryError)

    monkeypatch.setattr(updating, "update_parameters", torn)
    for error in (KeyboardInterrupt, MemoryError):
        with pytest.raises(error):
            list(train(run, CORPUS, folder=folder, threads=1))
        assert run.step == 0 or "validation_loss" in run.history[-1]
    trained(run, CORPUS, folder)
    assert digest(run) == digest(whole)


def test_training_in_a_thread_leaves_signals_alone() -> None:
    run, found = small_run(CORPUS), list[Any]()

    def work() -> None:
        for _ in train(run, CORPUS, threads=1):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert run.is_finished and set(found) == {signal.default_int_handler}


def test_a_loop_that_is_left_leaves_no_threads() -> None:
    before = threading.active_count()
    for _ in range(3):
        run = small_run(CORPUS)
        for _report in train(run, CORPUS, threads=2):
            break
        for _piece in generate(run.trained, "1"):
            break
    del _report, _piece
    gc.collect()
    assert threading.active_count() == before
    trained(run, CORPUS)
    assert run.is_finished


def test_a_call_that_cannot_train_says_so_at_once() -> None:
    """And not only when its first report is asked for."""
    run = small_run(CORPUS)
    with pytest.raises(charrnn.CorpusError):
        train(run, small_corpus("another text\n" * 50))
    trained(run, CORPUS)
    with pytest.raises(charrnn.RunError, match="finished"):
        train(run, CORPUS)
    with pytest.raises(charrnn.ConfigError):
        train(small_run(CORPUS), CORPUS, threads=0)


def test_a_later_call_takes_over(tmp_path: Path) -> None:
    """The loop of an earlier cell may still be alive when the next cell trains."""
    whole, run, folder = small_run(CORPUS), small_run(CORPUS), RunFolder(tmp_path)
    trained(whole, CORPUS)
    folder.create({})
    first = train(run, CORPUS, folder=folder)
    next(first), next(first)
    second = train(run, CORPUS, folder=folder)
    next(second)
    with pytest.raises(charrnn.RunError, match="another call"):
        next(first)
    third = train(run, CORPUS, folder=folder)
    next(third)
    before = folder.last.read_bytes()
    second.close()
    assert folder.last.read_bytes() == before, "it does not save what may be half a step"
    list(third)
    assert digest(run) == digest(whole)
