"""The format of checkpoints is promised: files of version 4 are read as they were written, and a
run in them is trained on. `golden/` holds a run of 12 steps, interrupted after the 8th; make it
again, for a new version of the format, with `python -m tests.checkpoint.test_promised_format`.
"""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from charrnn import (
    Corpus,
    CorpusConfig,
    ModelConfig,
    Run,
    RunFolder,
    TrainConfig,
    evaluate,
    load,
    load_run,
    save,
    save_run,
    train,
)
from charrnn.checkpoint.header import FORMAT_VERSION

GOLDEN = Path(__file__).parent / "golden"
WORDS = ("the sea", "a stone", "the king", "sings", "is cold", "and waits", "by night")
TEXT = "".join(f"{a} {b}.\n" * (1 + n % 2) for n, a in enumerate(WORDS) for b in WORDS)
MODEL = ModelConfig(hidden=4, layers=2, embedding=4)
ADDED = {
    "best": [rb"\"mogrifier\":0,", rb"\"attention\":0,"],
    "last": [rb"\"mogrifier\":0,", rb"\"attention\":0,", rb"\"parts\":1,", rb"\"networks\":null,"],
}
"""Settings of version 4 that the files in `golden/` do not have, as a header holds them."""
TRAINING = TrainConfig(steps=12, eval_every=4, sample_every=0, batch_size=4, seq_length=16)


def corpus() -> Corpus:
    return Corpus.from_text(TEXT, CorpusConfig(val_fraction=0.2), name="sea.txt")


def make(place: Path) -> None:
    """A run that is stopped after 8 of 12 steps, in a folder."""
    run, folder = Run.new(corpus(), MODEL, TRAINING), RunFolder(place)
    with folder.locked():
        folder.create({"steps": 12})
        with closing(train(run, corpus(), folder=folder, threads=1)) as reports:
            for report in reports:
                if report.step == 8:
                    break


def halves(path: Path) -> tuple[bytes, bytes]:
    """A file's header, and the bytes of its tensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return data[8 : 8 + size], data[8 + size :]


def test_the_version_is_the_promised_one() -> None:
    assert FORMAT_VERSION == 4


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_file_is_read_and_written_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    """But for settings that have been added since: these are written as what they were then."""
    file, copy = GOLDEN / f"{name}.safetensors", tmp_path / "copy.safetensors"
    if name == "best":
        save(copy, load(file))
    else:
        save_run(copy, load_run(file))
    (header, tensors), (wanted, arrays) = map(halves, (copy, file))
    for setting in ADDED[name]:
        assert header.count(setting) == 1
        header = header.replace(setting, b"")
    assert header.rstrip() == wanted.rstrip() and tensors == arrays


def test_the_bytes_are_those_of_the_page(tmp_path: Path) -> None:
    """Length of the header, the header, the tensors one after the other: docs/checkpoints.md."""
    data = (GOLDEN / "last.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header.pop("__metadata__")["charrnn"])
    assert about["format_version"] == 4 and about["step"] == 8
    end = 0
    for tensor in sorted(header.values(), key=lambda tensor: int(tensor["data_offsets"][0])):
        begin, after = tensor["data_offsets"]
        width = {"F32": 4, "U16": 2}[tensor["dtype"]]
        assert begin == end and after - begin == width * np.prod(tensor["shape"], dtype=int)
        end = after
    assert len(data) == 8 + size + end
    weight = header["decoder.weight"]
    begin, after = (8 + size + offset for offset in weight["data_offsets"])
    numbers = np.frombuffer(data[begin:after], "<f4").reshape(weight["shape"])
    expected = dict(load(GOLDEN / "last.safetensors").model.parameters.to_disk())["decoder.weight"]
    np.testing.assert_array_equal(numbers, expected)


def test_the_network_computes_what_it_did() -> None:
    best = load(GOLDEN / "best.safetensors")
    loss = evaluate(best.model, corpus().validation).nats_per_char
    assert best.origin.loss == pytest.approx(loss, rel=1e-5)


def test_a_run_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(GOLDEN, place)
    folder = RunFolder(place)
    with folder.locked():
        run = folder.resume()
        assert [entry["step"] for entry in run.history] == [4, 8]
        reports = list(train(run, corpus(), folder=folder, threads=1))
    assert [report.step for report in reports] == [9, 10, 11, 12]
    whole = Run.new(corpus(), run.model.config, run.config)  # the recipe may change
    losses = [report.loss for report in train(whole, corpus(), threads=1)]
    np.testing.assert_allclose([report.loss for report in reports], losses[8:], rtol=1e-4)


if __name__ == "__main__":
    shutil.rmtree(GOLDEN, ignore_errors=True)
    make(GOLDEN)
    (GOLDEN / ".lock").unlink(missing_ok=True)
