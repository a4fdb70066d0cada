"""Checkpoints damaged by structure: every one is loaded, or is a `CheckpointError` of one line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.checkpoint.header import describe, model_config_of
from charrnn.checkpoint.trained import load, save
from charrnn.errors import CheckpointError
from charrnn.training.run_file import (
    configurations_of,
    describe_run,
    load_run,
    progress_of,
    save_run,
)
from tests.fuzzing import fuzzed
from tests.reference.small import small_corpus, small_run, trained

READERS: list[Callable[[Path], Any]] = [
    load_run, load, describe, describe_run, configurations_of, progress_of, model_config_of,
]  # fmt: skip

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2, 3, 255, 10**6, 2**31, 2**32, 2**63, 10**15, 10**16, 10**400]),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["", "x" * 10_000, "\x00", "\x1b[2J\r\n", "\ud800", "é", "lstm", "adam", "1:2"]
    ),
    st.text(max_size=8),
)
VALUES = st.one_of(
    LEAVES,
    st.lists(LEAVES, max_size=3),
    st.dictionaries(st.text(max_size=5), LEAVES, max_size=3),
    st.sampled_from([[[]] * 5, {}, [], [None], {"a": {}}]),
)
HEADER_VALUES = st.one_of(
    VALUES,
    st.sampled_from(["F32", "F64", "U16", "BF16", "F16", "BOOL", "I64", "F8_E5M2"]),
    st.lists(st.integers(-1, 2**64), max_size=4),
    st.lists(st.integers(0, 40), max_size=4),
)


@cache
def sound() -> tuple[bytes, bytes]:
    """The files of a run, and of its network with all that may be in it."""
    from tempfile import TemporaryDirectory

    corpus = small_corpus("the quick brown fox jumps over the lazy dog, ünd täuscht €\n" * 8)
    run = small_run(corpus, hidden=5, average=0.9)
    trained(run, corpus)
    with TemporaryDirectory() as folder:
        save_run(Path(folder, "run"), run)
        save(Path(folder, "network"), run.trained)
        return Path(folder, "run").read_bytes(), Path(folder, "network").read_bytes()


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytearray]:
    """A file's header, its metadata, and the bytes of its tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["charrnn"]), bytearray(data[8 + length :])


def whole(header: Any, metadata: Any, tensors: bytes) -> bytes:
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["charrnn"] = json.dumps(metadata)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: the list or object, and the index or key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in list(items):
        yield value, key
        if isinstance(below, dict | list):
            yield from places(below)


def change(draw: st.DrawFn, value: Any, values: st.SearchStrategy[Any]) -> None:
    """Change one place in a JSON value: replace, remove, copy, or nudge it."""
    all_places = [*places(value)]
    # a long list, such as the vocabulary, must not get most of the changes
    lists = {id(holder): holder for holder, _ in all_places}
    holder = draw(st.sampled_from(list(lists.values())))
    key = draw(st.sampled_from([key for at, key in all_places if at is holder]))
    kind = draw(st.sampled_from(["replace", "replace", "remove", "copy", "nudge"]))
    if kind == "remove":
        del holder[key]
    elif kind == "copy":
        other, place = draw(st.sampled_from(all_places))
        holder[key] = json.loads(json.dumps(other[place]))
    elif kind == "nudge" and type(holder[key]) in (int, float):
        holder[key] = draw(st.sampled_from([-1, 2, 0.5, 1e30, float("nan")])) * holder[key]
    else:
        holder[key] = deepcopy(draw(values))  # later changes must not reach the strategy


class Damaged(bytes):
    def __repr__(self) -> str:  # hypothesis refuses to print that much
        return f"<a file of {len(self)} bytes; fuzz.safetensors in pytest's folder>"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(sound()))
    header, metadata, tensors = parts(data)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["metadata"] * 6 + ["header"] * 3 + ["tensor"]))
        if kind == "metadata":
            change(draw, metadata, VALUES)
        elif kind == "header":
            change(draw, header, HEADER_VALUES)
        else:
            at = draw(st.integers(0, len(tensors) // 4 - 1)) * 4
            number = draw(st.floats(width=32))
            tensors[at : at + 4] = np.float32(number).tobytes()
    if not isinstance(metadata, dict | list) or not isinstance(header, dict):
        return Damaged(data)
    result = bytearray(whole(header, metadata, bytes(tensors)))
    kind = draw(st.sampled_from(["whole"] * 6 + ["cut", "longer", "flip", "length"]))
    at = draw(st.integers(0, len(result) - 1))
    if kind == "cut":
        del result[at:]
    elif kind == "longer":
        result += draw(st.binary(min_size=1, max_size=9))
    elif kind == "flip":
        result[at] ^= 1 << draw(st.integers(0, 7))
    elif kind == "length":
        result[:8] = struct.pack("<Q", draw(st.integers(0, 2**64 - 1)))
    return Damaged(result)


@fuzzed(250)
@given(damaged())
def test_a_damaged_checkpoint_is_loaded_or_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(data)
    for read in READERS:
        try:
            read(path)
        except CheckpointError as error:
            assert len(str(error)) < 900 and "\n" not in str(error)


@fuzzed(250)
@given(damaged())
def test_what_is_loaded_is_saved_and_loaded_again(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(data)
    try:
        run = load_run(path)
    except CheckpointError:
        return
    save_run(path, run)
    again = load_run(path)
    assert again.config == run.config and again.progress == run.progress
    assert again.history == run.history and again.vocab == run.vocab
    np.testing.assert_array_equal(again.model.parameters.flat, run.model.parameters.flat)
