"""A run's file: what is written is read back, and what is not sound is one line of complaint."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from charrnn.checkpoint.header import FORMAT_VERSION
from charrnn.errors import LONGEST, CheckpointError
from charrnn.text.sources import Source
from charrnn.training.loop import train
from charrnn.training.run import Run
from charrnn.training.run_file import configurations_of, load_run, save_run
from tests.reference.small import adam, plain_model, small_corpus, small_run, trained

Tensors = dict[str, np.ndarray]
FLIPS = 200


def make(path: Path, embedding: int = 0, **settings: Any) -> Run:
    corpus = small_corpus("the quick brown fox jumps over the lazy dog, ünd täuscht €\n" * 8)
    run = small_run(corpus, hidden=5, embedding=embedding, **settings)
    trained(run, corpus)
    save_run(path, run)
    return run


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "run.safetensors"
    make(path)
    return path


def opened(path: Path) -> tuple[Tensors, dict[str, Any]]:
    with safe_open(path, framework="numpy") as file:
        return from_bytes(path.read_bytes()), json.loads(file.metadata()["charrnn"])


def complaint(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_run(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and len(message) <= LONGEST
    try:
        configurations_of(path)
    except CheckpointError as error:
        assert str(error) == message, (
            "what reads the settings alone complains as what reads everything"
        )
    return message


# Round trips
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", [0, 4])
def test_everything_comes_back(tmp_path: Path, embedding: int) -> None:
    run = make(tmp_path / "a", embedding)
    found = load_run(tmp_path / "a")
    assert run.history and run.state.h.any() and all(slot.flat.any() for slot in run.slots.values())
    for name in (
        "vocab",
        "corpus_config",
        "config",
        "sources",
        "sha256",
        "progress",
        "history",
        "steps_per_epoch",
    ):
        assert getattr(found, name) == getattr(run, name), name
    assert found.model.config == run.model.config and found.step == 12 and found.epoch == run.epoch
    np.testing.assert_array_equal(found.model.parameters.flat, run.model.parameters.flat)
    for name, slot in run.slots.items():
        np.testing.assert_array_equal(found.slots[name].flat, slot.flat)
    np.testing.assert_array_equal(found.state.h, run.state.h)
    np.testing.assert_array_equal(found.state.c, run.state.c)
    save_run(tmp_path / "b", found)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_settings_without_the_rest(sound: Path, tmp_path: Path) -> None:
    """They are read from a file whose tensors are damaged, too, so none of them is looked at."""
    run, (tensors, metadata) = load_run(sound), opened(sound)
    assert configurations_of(sound) == (run.model.config, run.config)
    write(tmp_path / "a", {**tensors, "decoder.bias": np.full(3, np.nan, np.float32)}, metadata)
    assert "decoder.bias" in complaint(tmp_path / "a")
    assert configurations_of(tmp_path / "a") == (run.model.config, run.config)
    for missing in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CheckpointError, match=missing.name):
            configurations_of(missing)


def test_names_and_shapes_are_those_of_pytorch(tmp_path: Path) -> None:
    run = make(tmp_path / "a", embedding=4)
    tensors, metadata = opened(tmp_path / "a")
    V, E, H = len(run.vocab), 4, 5
    layers = {
        "rnn.weight_ih_l0": (4 * H, E), "rnn.weight_hh_l0": (4 * H, H), "rnn.bias_ih_l0": (4 * H,),
        "rnn.weight_ih_l1": (4 * H, H), "rnn.weight_hh_l1": (4 * H, H), "rnn.bias_ih_l1": (4 * H,),
    }  # fmt: skip
    trained = {"embedding.weight": (V, E), **layers, "decoder.weight": (V, H), "decoder.bias": (V,)}
    expected = dict(trained)
    for prefix in ("optimizer.m.", "optimizer.v.", "trained."):
        expected |= {f"{prefix}{name}": shape for name, shape in trained.items()}
    expected |= {
        "rnn.bias_hh_l0": (4 * H,),
        "rnn.bias_hh_l1": (4 * H,),
        "state.h": (2, 3, H),
        "state.c": (2, 3, H),
        "start.h": (2, len(run.trained.opening), H),
        "start.c": (2, len(run.trained.opening), H),
    }
    assert {name: array.shape for name, array in tensors.items()} == expected
    for name, array in tensors.items():
        assert array.dtype == (np.uint16 if name.startswith("start.") else np.float32)
    assert not tensors["rnn.bias_hh_l0"].any()
    assert metadata["format_version"] == FORMAT_VERSION and metadata["vocab"] == list(
        run.vocab.symbols
    )
    assert metadata["model"] == asdict(run.model.config) and metadata["step"] == 12
    assert [entry["step"] for entry in metadata["run"]["history"]] == [5, 10, 12]


def test_a_second_bias_from_elsewhere_is_added_to_the_first(sound: Path, tmp_path: Path) -> None:
    tensors, metadata = opened(sound)
    before = dict(load_run(sound).result.parameters.to_disk())["rnn.bias_ih_l1"]
    tensors["rnn.bias_hh_l1"] = np.full(20, 0.25, np.float32)
    write(tmp_path / "a", tensors, metadata)
    np.testing.assert_array_equal(
        dict(load_run(tmp_path / "a").result.parameters.to_disk())["rnn.bias_ih_l1"], before + 0.25
    )
    for layer in (0, 1):
        del tensors[f"rnn.bias_hh_l{layer}"]
    write(tmp_path / "a", tensors, metadata)
    np.testing.assert_array_equal(
        dict(load_run(tmp_path / "a").result.parameters.to_disk())["rnn.bias_ih_l1"], before
    )


def test_a_source_whose_name_is_not_utf8(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    run.sources = (Source("/texts/caf\udce9.txt", 3),)
    save_run(tmp_path / "a", run)
    assert load_run(tmp_path / "a").sources == run.sources


# Files that are no checkpoints
# --------------------------------------------------------------------------------------


def write(path: Path, tensors: Tensors, metadata: Any) -> None:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    path.write_bytes(to_bytes(tensors, {"charrnn": text}))


def test_weights_that_a_cell_does_not_have_stay_zero(tmp_path: Path) -> None:
    corpus = small_corpus()
    run = Run.new(
        corpus,
        plain_model(cell="clockwork", hidden=8, clockwork_groups=4),
        adam(batch_size=2),
    )
    save_run(tmp_path / "a", run)
    tensors, metadata = opened(tmp_path / "a")
    before = tensors["layers.1.weight_h"].copy()
    assert (before == 0).sum() == 24
    tensors["layers.1.weight_h"] = np.where(before == 0, np.float32(1), before)
    write(tmp_path / "b", tensors, metadata)
    found = dict(load_run(tmp_path / "b").model.parameters.to_disk())
    assert np.array_equal(found["rnn.weight_hh_l1"], before)


def test_a_truncated_file(sound: Path, tmp_path: Path) -> None:
    data, path = sound.read_bytes(), tmp_path / "cut"
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for length in sorted(
        {
            0,
            1,
            7,
            8,
            9,
            100,
            header - 1,
            header,
            header + 1,
            len(data) - 1,
            *range(0, len(data), 701),
        }
    ):
        path.write_bytes(data[:length])
        complaint(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, world\n" * 99,
        b"\0" * 4096,
        b"\x80\x04\x95" + b"pickle" * 9,
        b"\xff" * 99,
        b"PK\x03\x04" + b"\0" * 99,
    ],
)
def test_a_foreign_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert "not a checkpoint" in complaint(tmp_path / "file")


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "no such file" in complaint(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    assert "folder" in complaint(tmp_path / "folder")
    for path in ("a\0b", tmp_path / "caf\udce9"):
        with pytest.raises(CheckpointError):
            load_run(path)


def test_safetensors_of_another_program(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        (tmp_path / "a").write_bytes(to_bytes({"w": np.zeros(3, np.float32)}, metadata))
        assert "without charrnn metadata" in complaint(tmp_path / "a")


def test_a_newer_format(sound: Path, tmp_path: Path) -> None:
    tensors, metadata = opened(sound)
    write(tmp_path / "a", tensors, {**metadata, "format_version": FORMAT_VERSION + 1})
    assert "newer" in complaint(tmp_path / "a") and "pip install -U" in complaint(tmp_path / "a")


def path_set(*keys: Any) -> Callable[[dict[str, Any], Any], None]:
    def change(metadata: dict[str, Any], value: Any) -> None:
        place: Any = metadata
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    10**25,
    10**400,
    "x",
    "",
    [],
    [1],
    {},
    {"step": "x"},
    [[[["deep"]]]],
]
PLACES: list[tuple[Any, ...]] = [
    *((key,) for key in ("format_version", "model", "corpus", "vocab", "unit", "unknown", "run")),
    *((key,) for key in ("texts", "sha256", "step", "epoch", "loss", "squares")),
    *(("model", key) for key in ("vocab_size", "hidden", "layers", "cell", "embedding", "dropout")),
    *(("run", key) for key in ("train", "progress", "history", "paths", "steps_per_epoch")),
    *(("run", "train", key) for key in ("batch_size", "optimizer", "learning_rate", "steps")),
    *(("run", "train", key) for key in ("seed", "beta1")),
    *(("run", "progress", key) for key in ("step", "since", "loss_sum", "best_loss", "falls")),
    *(("vocab", 3), ("run", "history", 0), ("run", "history", 0, "step"), ("run", "init_from")),
    *(("texts", 0), ("texts", 0, "name"), ("texts", 0, "part"), ("run", "paths", 0)),
    *(("corpus", "val_fraction"), ("corpus", "unit")),
]


def test_any_value_anywhere_in_the_metadata(sound: Path, tmp_path: Path) -> None:
    """Either it is refused in one line, or what comes is a run that can be written again and read
    again.
    """
    tensors, original = opened(sound)
    path, refused = tmp_path / "tampered", 0
    for place in PLACES:
        for value in WRONG:
            metadata = json.loads(json.dumps(original))
            path_set(*place)(metadata, value)
            write(path, tensors, metadata)
            try:
                run = load_run(path)
            except CheckpointError as error:
                assert "\n" not in str(error) and len(str(error)) <= LONGEST
                refused += 1
            else:
                save_run(path, run)
                load_run(path)
    assert refused > 0.8 * len(PLACES) * len(WRONG)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("model", "hidden"), 16384, "requires"),
        (("model", "layers"), 64, "missing"),
        (("model", "hidden"), 10**9, "at most"),
        (("model", "vocab_size"), 65536, "vocabulary"),
        (("model", "cell"), "gpt", "one of"),
        (("model", "surprise"), 1, "no setting"),
        (("model", "hidden"), None, "no `hidden`"),
        (("model", "layer_norm"), None, "no `layer_norm`"),
        (("run", "train", "batch_size"), 65536, "state.h"),
        (("run", "train", "batch_size"), None, "no `batch_size`"),
        (("run", "train", "precision"), "auto", "no `precision`"),
        (("run", "train", "steps"), None, "how long"),
        (("vocab", 1), "a", "twice"),
        (("vocab", 1), "ab", "one character"),
        (("vocab", 1), "\ud800", "surrogate"),
        (("run", "progress", "step"), -3, "between 0 and"),
        (("run", "progress", "falls"), -1, "between 0 and"),
        (("run", "progress"), {}, "step"),
        (("run", "steps_per_epoch"), 0, "steps_per_epoch"),
        (("format_version",), True, "format version"),
        (("texts", 0, "part"), "train", "unknown part"),
        (("run", "history"), [{"step": "x"}], "history"),
    ],
)
def test_tampered_metadata_is_named(
    sound: Path, tmp_path: Path, place: tuple[Any, ...], value: Any, says: str
) -> None:
    tensors, metadata = opened(sound)
    path_set(*place)(metadata, value)
    write(tmp_path / "a", tensors, metadata)
    assert says in complaint(tmp_path / "a")


@pytest.mark.parametrize(
    ("place", "values", "says"),
    [
        (("model",), {"hidden": 16384, "layers": 64}, "requires"),
        (("run", "train"), {"batch_size": 65536}, "state.h"),
    ],
)
def test_no_memory_of_a_size_that_is_not_the_files(
    sound: Path, tmp_path: Path, place: tuple[Any, ...], values: dict[str, Any], says: str
) -> None:
    tensors, metadata = opened(sound)
    for name, value in values.items():
        path_set(*place, name)(metadata, value)
    write(tmp_path / "a", tensors, metadata)
    tracemalloc.start()
    try:
        assert says in complaint(tmp_path / "a")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize(
    "loss", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "9" * 5000]
)
def test_numbers_that_are_none(sound: Path, tmp_path: Path, loss: str) -> None:
    tensors, metadata = opened(sound)
    metadata["run"]["progress"]["loss_sum"] = "PLACE"
    write(tmp_path / "a", tensors, json.dumps(metadata).replace('"PLACE"', loss))
    complaint(tmp_path / "a")


@pytest.mark.parametrize("depth", [500, 2000, 5000, 9000, 100_000])
@pytest.mark.parametrize("key", ["vocab", "run", "texts", "squares", "sha256"])
def test_a_nested_bomb(sound: Path, tmp_path: Path, key: str, depth: int) -> None:
    tensors, metadata = opened(sound)
    metadata[key] = "PLACE"
    write(
        tmp_path / "a", tensors, json.dumps(metadata).replace('"PLACE"', "[" * depth + "]" * depth)
    )
    complaint(tmp_path / "a")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"charrnn"', "{}", '{"format_version": 1}']
)
def test_metadata_that_is_no_object(sound: Path, tmp_path: Path, text: str) -> None:
    write(tmp_path / "a", opened(sound)[0], text)
    complaint(tmp_path / "a")


NAMES = [
    "rnn.weight_hh_l1",
    "rnn.bias_ih_l0",
    "decoder.weight",
    "optimizer.v.decoder.bias",
    "state.h",
    "rnn.bias_hh_l0",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_tensor_is_named(sound: Path, tmp_path: Path, name: str) -> None:
    tensors, metadata = opened(sound)
    array = tensors[name]
    holed, endless = array.copy(), array.copy()
    holed.flat[-1], endless.flat[0] = np.nan, -np.inf
    wrong = [
        array[:-1],
        array[None],
        array.astype(np.float64),
        array.astype(np.int32),
        holed,
        endless,
    ]
    for other in wrong:
        write(tmp_path / "a", {**tensors, name: np.ascontiguousarray(other)}, metadata)
        assert name in complaint(tmp_path / "a")
    if name != "rnn.bias_hh_l0":  # which need not be there
        write(
            tmp_path / "a", {key: value for key, value in tensors.items() if key != name}, metadata
        )
        assert f"{name} is missing" in complaint(tmp_path / "a")


def test_flipped_bits(sound: Path, tmp_path: Path) -> None:
    """Anywhere, but mostly in the header, where they do the most: refused in one line, or a run."""
    data, path, rng = sound.read_bytes(), tmp_path / "flipped", np.random.default_rng(5)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    refused = 0
    for flip in range(FLIPS):
        damaged = bytearray(data)
        for place in rng.integers(header if flip % 4 else len(data), size=1 + flip % 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            assert isinstance(load_run(path), Run)
        except CheckpointError as error:
            assert "\n" not in str(error) and len(str(error)) <= LONGEST
            refused += 1
    assert refused > FLIPS / 4


# Writing
# --------------------------------------------------------------------------------------------------


def fail(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    run = make(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    run.model.parameters.flat[:] += 1
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError, match="No space left"):
            save_run(tmp_path / "a", run)
    assert (tmp_path / "a").read_bytes() == before and list(tmp_path.iterdir()) == [tmp_path / "a"]
    save_run(tmp_path / "a", run)
    assert (tmp_path / "a").read_bytes() != before


def test_the_file_is_whole_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synced, then renamed, then the folder synced; and readable as other files are."""
    run, calls, replace, fsync = make(tmp_path / "a"), [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("fsync"), fsync(number)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (calls.append("replace"), load_run(a), replace(a, b))
    )
    save_run(tmp_path / "a", run)
    assert calls == ["fsync", "replace", "fsync"]
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    for path in (tmp_path / "none" / "a", tmp_path / "a" / "b", tmp_path):
        with pytest.raises(CheckpointError, match="cannot write the file"):
            save_run(path, run)


def test_the_steps_to_a_pass_are_those_of_the_text(tmp_path: Path) -> None:
    """Schedule, validations and the end of a run depend on them."""
    run = make(tmp_path / "a")
    corpus = small_corpus("the quick brown fox jumps over the lazy dog, ünd täuscht €\n" * 8)
    tensors, metadata = opened(tmp_path / "a")
    for wrong in (1, run.steps_per_epoch + 1, 10**15):
        metadata["run"]["steps_per_epoch"] = wrong
        write(tmp_path / "b", tensors, metadata)
        found = load_run(tmp_path / "b")
        with pytest.raises(CheckpointError, match="steps to a pass"):
            next(train(found, corpus))


# Headers
# --------------------------------------------------------------------------------------


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}


DEEP = b"[" * 200_000
HEADERS = {
    "a length beyond the file": raw({}, length=1 << 40),
    "the greatest length": raw({}, length=(1 << 64) - 1),
    "a length of the sign bit": raw({}, length=1 << 63),
    "offsets that overlap": raw({"a": entry(), "b": entry(data_offsets=[8, 24])}, b"\0" * 24),
    "offsets in the wrong order": raw({"a": entry(data_offsets=[16, 0])}, b"\0" * 16),
    "offsets beyond the file": raw({"a": entry(data_offsets=[0, 1 << 40])}, b"\0" * 16),
    "offsets below zero": raw({"a": entry(data_offsets=[-16, 0])}, b"\0" * 16),
    "a hole between tensors": raw({"a": entry(data_offsets=[4, 20])}, b"\0" * 20),
    "bytes after the last": raw({"a": entry()}, b"\0" * 99),
    "a shape whose product overflows": raw({"a": entry(shape=[1 << 32, 1 << 32, 4])}, b"\0" * 16),
    "a shape below zero": raw({"a": entry(shape=[-2, -2])}, b"\0" * 16),
    "a shape of a fraction": raw({"a": entry(shape=[1.5])}, b"\0" * 16),
    "a shape of many dimensions": raw({"a": entry(shape=[1] * 10_000 + [4])}, b"\0" * 16),
    "a type that lies": raw({"a": entry(dtype="F64")}, b"\0" * 16),
    "an unknown type": raw({"a": entry(dtype="F31")}, b"\0" * 16),
    "a type of 10,000 characters": raw({"a": entry(dtype="F" * 10_000)}, b"\0" * 16),
    "a name of 10,000 characters": raw({"a" * 10_000: entry(dtype="F64")}, b"\0" * 16),
    "the same name twice": raw(
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
        b'"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        b"\0" * 16,
    ),
    "metadata twice": raw(b'{"__metadata__":{"charrnn":"{}"},"__metadata__":{"charrnn":"[]"}}'),
    "deep JSON": raw(DEEP),
    "deep JSON in the metadata": raw({"__metadata__": {"charrnn": DEEP.decode()}}),
    "metadata of numbers": raw({"__metadata__": {"charrnn": 4}}),
    "metadata that is a list": raw({"__metadata__": ["charrnn"]}),
    "a header that is a list": raw([]),
    "a header that is no UTF-8": raw(b'{"\xff":1}'),
    "control characters": raw({"\x1b]0;x\x07\n\r": entry(dtype="F64")}, b"\0" * 16),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_damaged_header(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(HEADERS[name])
    complaint(tmp_path / "a")


def longest(metadata: Any) -> list[Any]:
    """The metadata, each time with one string in it, or one key, of 10,000 characters."""
    long = "x\x1b\n" * 3334
    if isinstance(metadata, dict):
        return [
            *({**metadata, key: each} for key in metadata for each in longest(metadata[key])),
            {**metadata, long: 1},
        ]
    if isinstance(metadata, list):
        return [[*metadata[:1], long, *metadata[2:]], [long] * 1000]
    return [long]


def test_messages_about_long_strings_are_short(sound: Path, tmp_path: Path) -> None:
    tensors, metadata = opened(sound)
    for number, changed in enumerate(longest(metadata)):
        write(tmp_path / str(number), tensors, changed)
        try:
            load_run(tmp_path / str(number))
        except CheckpointError as error:
            assert len(str(error)) <= LONGEST and "\n" not in str(error)
