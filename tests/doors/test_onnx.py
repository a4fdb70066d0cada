"""ONNX files by onnx's checker and onnxruntime: every cell and option against charrnn's own logits
and the float64 reference.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

import charrnn
from charrnn import CorpusConfig, Model, ModelConfig, Origin, SamplingConfig, Text, Trained, Vocab
from charrnn.checkpoint.start_states import StartStates
from charrnn.cli.main import cli
from charrnn.config.settings import CELL_NAMES
from charrnn.network.model import State
from tests.reference import cells as reference
from tests.reference.drawn import ROUNDS, chances_at, drawn_mixture, drawn_network
from tests.reference.small import plain_model

V, T, N = 11, 9, 3
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"layers": 2, "hidden": 7, "embedding": 5},
    "one layer, one-hot": {"layers": 1, "hidden": 17, "embedding": 0},
    "normalized": {"layers": 3, "hidden": 6, "embedding": 5, "layer_norm": True}
    | {"residual": True, "skip": True},
    "zoneout": {"layers": 2, "hidden": 7, "embedding": 0, "activation": "softsign"}
    | {"zoneout_h": 0.2, "zoneout_c": 0.3, "layer_norm": True},
    "zoneout of h": {"layers": 2, "hidden": 7, "zoneout_h": 0.3},
    "softsign": {"layers": 2, "hidden": 7, "embedding": 5, "activation": "softsign"},
    "relu": {"layers": 2, "hidden": 7, "embedding": 0, "activation": "relu", "skip": True},
    "zoneout of c": {"layers": 2, "hidden": 7, "zoneout_c": 0.3, "residual": True},
    "one of each": {"layers": 1, "hidden": 1, "embedding": 1},
}
ATTENTION: list[dict[str, Any]] = [
    {"attention": 16, "layer_norm": True},
    {"attention": 48, "skip": True, "residual": True, "cell": "gru"},
    {"attention": 32, "embedding": 0, "cell": "grid", "zoneout_h": 0.1},
    {"attention": 48, "mogrifier": 5, "layer_norm": True},
]


@dataclass(frozen=True)
class Session:
    """A file in onnxruntime."""

    runtime: onnxruntime.InferenceSession

    def run(self, names: list[str], ids: np.ndarray, states: dict[str, np.ndarray]) -> list[Any]:
        states = {name: states[name] for name in self.states}
        return self.runtime.run(names, {"ids": ids.astype(np.int64), **states})

    @property
    def states(self) -> list[str]:
        return [value.name for value in self.runtime.get_inputs()][1:]

    def read(
        self, ids: np.ndarray, states: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The logits of ids (T, N), and the states afterwards."""
        names = ["logits", *(f"next_{name}" for name in self.states)]
        logits, *after = self.run(names, ids, states)
        return logits, dict(zip(self.states, after, strict=True))

    def starts(self) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
        """The id that is read first from each start state, and the states."""
        names = [f"start_{name}" for name in self.states]
        ids, *states = self.constants("start_ids", *names)
        return ids, [
            dict(zip(self.states, each, strict=True)) for each in zip(*states, strict=True)
        ]

    def constants(self, *names: str) -> list[Any]:
        inputs = self.runtime.get_inputs()[1:]
        zeros = {x.name: np.zeros((x.shape[0], 1, x.shape[2]), np.float32) for x in inputs}
        return self.run([*names], np.zeros((1, 1)), zeros)


def opened(path: Path) -> Session:
    onnx.checker.check_model(onnx.load(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return Session(onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]))


def trained(seed: int = 3, starts: int = 0, **settings: Any) -> Trained:
    """A network of random weights at which gates bend, with so many start states."""
    rng = np.random.default_rng(seed)
    config = plain_model(vocab_size=V, **settings)
    model = Model(config)
    model.parameters.from_disk(reference.random_parameters(rng, config))
    found = None
    if starts:
        state = State(model, starts)
        fill(state, reference.random_states(rng, config, starts))
        found = StartStates.rounded(state, rng.integers(V, size=starts).astype(np.int32))
    return Trained(model, Vocab(tuple("\n abcdefghi")), CorpusConfig(), starts=found)


def fill(state: State, states: reference.States) -> None:
    for layer, (h, c) in enumerate(states):
        state.h[layer, :, : h.shape[1]], state.c[layer, :, : c.shape[1]] = h, c


def own_logits(model: Model, ids: np.ndarray, states: reference.States) -> np.ndarray:
    """charrnn's own, (T, N, V)."""
    writer = charrnn.Writer(model, SamplingConfig(precision="float32"), streams=ids.shape[1])
    fill(writer.state, states)
    return np.stack([writer.step(row.astype(np.int32)).copy() for row in ids])


def stacked(states: reference.States) -> dict[str, np.ndarray]:
    """h and c (L, N, H)."""
    h, c = (np.stack(arrays).astype(np.float32) for arrays in zip(*states, strict=True))
    return {"h": h, "c": c}


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float = 3e-6) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_and_option_computes_what_charrnn_computes(
    cell: str, option: str, tmp_path: Path
) -> None:
    network = trained(cell=cell, clockwork_groups=3, **OPTIONS[option])
    charrnn.export_onnx(network, tmp_path / "network.onnx")
    session, config = opened(tmp_path / "network.onnx"), network.model.config
    rng = np.random.default_rng(5)
    ids, states = rng.integers(V, size=(T, N)), reference.random_states(rng, config, N)
    logits, after = session.read(ids, stacked(states))

    assert logits.dtype == np.float32 and logits.shape == (T, N, V)
    close(logits, own_logits(network.model, ids, states))
    parameters = dict(network.model.parameters.to_disk())
    exact = reference.forward(config, parameters, ids, ids, states)
    close(logits, exact.logits)
    for name, wanted in stacked(exact.states).items():
        if name in after:
            close(after[name], wanted)
    assert ("c" in after) == (cell not in ("gru", "gru-after", "rnn"))

    step, carried = [], stacked(states)  # one step at a time
    for row in ids:
        one, carried = session.read(row[None], carried)
        step.append(one[0])
    close(np.stack(step), logits)
    alone, _ = session.read(ids[:, 1:2], {n: a[:, 1:2] for n, a in stacked(states).items()})
    close(alone[:, 0], logits[:, 1])


@pytest.mark.parametrize("settings", ROUNDS)
def test_the_rounds_of_a_mogrifier(settings: dict[str, Any], tmp_path: Path) -> None:
    """They are in the body of the lowest layer's Scan; the layers above stay native."""
    network = drawn_network(**settings)
    charrnn.export_onnx(network, tmp_path / "network.onnx")
    session, config = opened(tmp_path / "network.onnx"), network.model.config
    rng = np.random.default_rng(5)
    ids = rng.integers(len(network.vocab), size=(T, N))
    states = reference.random_states(rng, config, N)
    logits, after = session.read(ids, stacked(states))
    parameters = dict(network.model.parameters.to_disk())
    exact = reference.forward(config, parameters, ids, ids, states)
    close(logits, exact.logits)
    writer = charrnn.Writer(network.model, SamplingConfig(precision="float32"), streams=N)
    fill(writer.state, states)
    carried = stacked(states)
    for row, read_at_once in zip(ids, logits, strict=True):
        one, carried = session.read(row[None], carried)
        wanted = writer.step(row.astype(np.int32))
        close(one[0], wanted)
        close(read_at_once, wanted)
    for found in (carried, after):
        close(found["h"], writer.state.h[..., : config.hidden])
        close(found["c"], writer.state.c[..., : config.hidden])
    kinds = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
    native = 0 if config.zoneout_h or config.zoneout_c else config.layers - 1
    assert (kinds.count("LSTM"), kinds.count("Scan")) == (native, config.layers - native)


@pytest.mark.parametrize("settings", ATTENTION)
@pytest.mark.parametrize("count", [1, 2])
def test_attention(settings: dict[str, Any], count: int, tmp_path: Path) -> None:
    """At once, in two calls and step by step, and from an empty state as charrnn scores it."""
    networks = drawn_mixture(count, starts=1, **settings)
    charrnn.export_onnx(networks, tmp_path / "network.onnx")
    session = opened(tmp_path / "network.onnx")
    (first,), (start,) = session.starts()
    text = np.random.default_rng(3).integers(4, size=80)
    ids = np.array([first, *text])[:, None]
    logits, end = session.read(ids[:-1], start)
    p = np.exp(logits[:, 0].astype(np.float64))
    losses = -np.log(p[np.arange(80), text] / p.sum(-1))
    openings = [network.opening for network in networks]
    wanted = charrnn.evaluate(networks, text.astype(np.int32), openings=openings).losses
    np.testing.assert_allclose(losses, wanted, atol=2e-4)
    for cuts in ([0, 50, 80], range(81)):
        state, parts = start, []
        for a, b in itertools.pairwise(cuts):
            part, state = session.read(ids[a:b], state)
            parts.append(part)
        close(np.concatenate(parts), logits, 1e-5)
        for name, array in state.items():
            close(array, end[name], 1e-5)
    assert state["read"][-1, 0, 0] == 1 + ids[79]


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 2])
def test_attention_at_a_temperature(count: int, temperature: float, tmp_path: Path) -> None:
    """What is said and what is copied, each sharpened, as charrnn draws; at 1 it is the logits'."""
    networks = drawn_mixture(count, starts=1, attention=48, layer_norm=True)
    charrnn.export_onnx(networks, tmp_path / "network.onnx")
    session = opened(tmp_path / "network.onnx")
    (first,), (start,) = session.starts()
    text = np.tile(np.random.default_rng(3).integers(4, size=9), 5)
    names = ["logits", "own", "copied"]
    logits, *parts = session.run(names, np.array([first, *text])[:, None], start)
    parts, found = [part[-1, 0].astype(np.float64) for part in parts], 0
    close(np.exp(logits[-1, 0]), sum(parts))
    for part in parts:
        sharp = part ** (1 / temperature)
        found += sharp / sharp.sum() * part.sum()
    wanted = chances_at(temperature, networks, text)
    np.testing.assert_allclose(found / found.sum(), wanted, atol=1e-5)
    other = np.exp(logits[-1, 0] / temperature)
    assert (abs(other / other.sum() - wanted).max() > 0.01) == (temperature < 1)


# Several networks
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (2, {"cell": "lstm", "layer_norm": True}),
        (3, {"cell": "gru", "layers": 1, "embedding": 0, "skip": True}),
        (3, {"cell": "depth-gated", "zoneout_c": 0.1}),
        (2, {"cell": "lstm", "mogrifier": 5, "zoneout_h": 0.1}),
    ],
    ids=["lstm", "gru", "depth-gated", "mogrifier"],
)
def test_of_several_networks_the_mean_of_the_probabilities(
    count: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    """A state has the layers of all, one network after the other."""
    networks = drawn_mixture(count, **settings)
    charrnn.export_onnx(networks, tmp_path / "networks.onnx")
    session = opened(tmp_path / "networks.onnx")
    ids, starts = session.starts()
    assert ids.tolist() == [0, 1, 2]
    L, alone = networks[0].model.config.layers, []
    text = np.array([[ids[1]], [3], [5], [2]])
    logits, after = session.read(text, starts[1])
    for number, network in enumerate(networks):
        own = slice(number * L, (number + 1) * L)
        charrnn.export_onnx(network, tmp_path / f"{number}.onnx")
        one = opened(tmp_path / f"{number}.onnx")
        assert (one.starts()[0] == ids).all()
        state = one.starts()[1][1]
        for name, array in state.items():
            np.testing.assert_array_equal(starts[1][name][own], array)
        z, ends = one.read(text, state)
        for name, array in ends.items():
            close(after[name][own], array)
        e = np.exp(z.astype(np.float64))
        alone.append(e / e.sum(-1, keepdims=True))
    close(logits, np.log(np.mean(alone, axis=0)))
    (about,) = session.constants("about")
    assert json.loads(bytes(about))["networks"] == count
    assert f"{count} networks" in session.runtime.get_modelmeta().description


def test_several_networks_of_documents_score_as_eval_does(tmp_path: Path) -> None:
    networks = drawn_mixture(2, corpus=CorpusConfig(document_separator="c"))
    charrnn.export_onnx(networks, tmp_path / "networks.onnx")
    session, text = opened(tmp_path / "networks.onnx"), networks.vocab.encode("ab\ndef, gh")
    ids, [start] = session.starts()
    logits, _ = session.read(np.append(ids, text[:-1])[:, None], start)
    z = logits[:, 0].astype(np.float64)
    losses = np.log(np.exp(z).sum(1)) - np.take_along_axis(z, text[:, None].astype(int), 1)[:, 0]
    wanted = charrnn.evaluate(networks, text, openings=[each.opening for each in networks])
    assert losses.mean() == pytest.approx(wanted.nats_per_char, abs=1e-6)


# Nothing is left behind
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "grid"])
def test_start_states_are_in_the_file(cell: str, tmp_path: Path) -> None:
    network = trained(cell=cell, layers=2, hidden=7, starts=4)
    charrnn.export_onnx(network, tmp_path / "network.onnx")
    session, own = opened(tmp_path / "network.onnx"), network.opening
    ids, starts = session.starts()
    assert ids.tolist() == own.ids.tolist() and len(starts) == 4
    for s, start in enumerate(starts):
        text = np.array([[ids[s]], [3], [5]])
        layers = zip(own.state.h[:, s : s + 1, :7], own.state.c[:, s : s + 1, :7], strict=True)
        close(session.read(text, start)[0], own_logits(network.model, text, list(layers)))
    both = {n: np.concatenate([starts[1][n], starts[2][n]], axis=1) for n in session.states}
    logits, _ = session.read(np.array([[2, 2]]), both)
    close(logits[:, 1:], session.read(np.array([[2]]), starts[2])[0])


def test_a_network_without_start_states_starts_from_zero_and_a_newline(tmp_path: Path) -> None:
    network = trained(cell="lstm", layers=2, hidden=7)
    charrnn.export_onnx(network, tmp_path / "network.onnx")
    ids, [start] = opened(tmp_path / "network.onnx").starts()
    assert ids.tolist() == [0] and start["h"].shape == (2, 1, 7)
    assert not start["h"].any() and not start["c"].any()


def test_the_file_says_what_it_is_in_its_metadata_and_in_an_output(tmp_path: Path) -> None:
    symbols = ("\n", "\0", "é", "<unk>", "'", '"', "\\", "漢", "\U0001f600", "a", "b")
    network = replace(
        trained(cell="lstm", layers=1, hidden=3),
        vocab=Vocab(symbols, unknown=3),
        corpus_config=CorpusConfig(document_separator=r"\n\n+", min_count=2),
        origin=Origin((Text("b\udcffok.txt", 1234),), "ab" * 32, 10, 2.5, 1.25),
    )
    charrnn.export_onnx(network, tmp_path / "network.onnx")
    session = opened(tmp_path / "network.onnx")
    (text,) = session.constants("about")
    about = json.loads(bytes(text))
    metadata = session.runtime.get_modelmeta().custom_metadata_map
    assert about == {key: json.loads(value) for key, value in metadata.items()}
    assert about["vocabulary"] == list(symbols) and about["unit"] == "char"
    assert about["unknown"] == 3 and about["document_separator"] == r"\n\n+"
    assert about["texts"] == [{"name": "b\udcffok.txt", "characters": 1234}]
    assert (about["sha256"], about["loss"], about["epoch"]) == ("ab" * 32, 1.25, 2.5)
    assert ModelConfig.from_mapping(about["model"], "model") == network.model.config


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        network = trained(cell="depth-gated", layers=2, hidden=7, starts=2)
        charrnn.export_onnx(network, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_bundled_network_scores_and_writes_as_it_does_here(tmp_path: Path) -> None:
    network = charrnn.load(charrnn.bundled_network())
    charrnn.export_onnx(network, tmp_path / "plays.onnx")
    session, vocab = opened(tmp_path / "plays.onnx"), network.vocab
    ids, starts = session.starts()
    (s,) = network.opening.chosen(7, 1)
    written, states = [int(ids[s])], starts[s]
    for _ in range(200):
        logits, states = session.read(np.array([[written[-1]]]), states)
        written.append(int(logits.argmax()))
    config = SamplingConfig(length=200, temperature=0, seed=7, precision="float32")
    assert vocab.decode(written[1:]) == "".join(charrnn.generate(network, config=config))

    states = {name: np.zeros((2, 1, 160), np.float32) for name in session.states}
    part = vocab.encode(charrnn.bundled_corpus().read_text()[:1901])
    logits, _ = session.read(part[:-1, None], states)
    z = logits[:, 0].astype(np.float64)
    losses = np.log(np.exp(z).sum(1)) - np.take_along_axis(z, part[1:, None], 1)[:, 0]
    assert losses.mean() == pytest.approx(
        charrnn.evaluate(network.model, part).nats_per_char, abs=1e-6
    )


@pytest.mark.parametrize("count", [1, 2])
def test_the_program_of_the_page_writes_what_the_page_says(
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also with two equal networks, whose mean is that of one."""
    page = (Path(__file__).parents[2] / "docs" / "doors.md").read_text(encoding="utf-8")
    section = page[page.index("## ONNX") :]
    code, printed = re.search(
        r"```python\n(.*?)```\n\nWith seed 1 it wrote:\n\n(.*?)\n\n(?! {4})", section, re.DOTALL
    ).groups()
    networks = [charrnn.load(charrnn.bundled_network())] * count
    charrnn.export_onnx(networks, tmp_path / "plays.onnx")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/doors.md", "exec"), {})
    assert capsys.readouterr().out.split() == printed.split()


def test_the_command_writes_the_same_file_and_replaces_it_only_by_force(tmp_path: Path) -> None:
    bundled, out = str(charrnn.bundled_network()), tmp_path / "plays.onnx"
    command = ["export", bundled, "--to", "onnx", "--out", str(out)]
    first = CliRunner().invoke(cli, command)
    assert first.exit_code == 0 and first.stdout == "" and f"wrote {out}, 1." in first.stderr
    again = CliRunner().invoke(cli, command)
    assert again.exit_code == 1 and "replace it with --force" in again.stderr
    forced = CliRunner().invoke(cli, [*command, "--force", "--json"])
    assert json.loads(forced.stdout)["files"][0]["bytes"] == out.stat().st_size
    charrnn.export_onnx(charrnn.load(bundled), tmp_path / "library.onnx")
    assert (tmp_path / "library.onnx").read_bytes() == out.read_bytes()
