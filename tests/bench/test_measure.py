"""`charrnn bench`: what is counted, whose turn it is, what is told of it, and how a peer that fails
is told of.
"""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from charrnn.bench import machine, peers
from charrnn.bench import measure as benchmark
from charrnn.bench.measure import Measured, Shape, generated_corpus, measure, multiplications
from charrnn.bench.peers import Peer
from charrnn.cli.main import cli
from charrnn.errors import ConfigError, PeerError
from charrnn.network.model import Model
from charrnn.text.corpus import Corpus
from tests.reference.small import plain_model

TINY = Shape(layers=1, hidden=5, batch_size=3, seq_length=4, threads=1)
FIELDS = {"layers", "hidden", "batch_size", "seq_length", "threads", "precision"}

FAKE = """
import json, sys
task = json.loads(sys.stdin.readline())
print(json.dumps({"version": "7"}), flush=True)
for k, line in enumerate(sys.stdin):
    print(json.dumps({"chars_per_second": 1000.0 * task["hidden"] * (k + 1)}), flush=True)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Rounds as short as can be."""
    for module, name in (
        (benchmark, "ROUND_SECONDS"),
        (benchmark, "WARM_UP_SECONDS"),
        (machine, "PEAK_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(machine, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(machine, "MEMORY_READ", 1 << 20)


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """Makes a program the peer "torch", which then counts as installed."""

    def install(program: str) -> None:
        path = tmp_path / "peer.py"
        path.write_text(program)
        monkeypatch.setitem(peers.PEERS, "torch", path)
        monkeypatch.setattr(peers, "version", lambda name: "7")

    return install


def bench(*arguments):
    return CliRunner().invoke(cli, ["bench", *(str(argument) for argument in arguments)])


def test_multiplications_are_those_of_the_formula():
    H, V, L = 7, 11, 3
    model = Model(plain_model(vocab_size=V, hidden=H, layers=L))
    assert multiplications(model) == L * 4 * H * H + (L - 1) * 4 * H * H + H * V
    assert multiplications(
        Model(plain_model(vocab_size=V, hidden=H, layers=L, embedding=4))
    ) == multiplications(model)
    gru = Model(plain_model(vocab_size=V, hidden=H, layers=L, cell="gru"))
    assert multiplications(gru) == 3 * (2 * L - 1) * H * H + H * V
    assert (
        multiplications(
            Model(plain_model(hidden=8, layers=1, cell="clockwork", clockwork_groups=2))
        )
        == 48 + 16
    )


def test_the_network_is_as_plain_as_the_peers():
    run = benchmark.new_run(TINY, generated_corpus(TINY))
    model, training = run.model.config, run.config
    assert not (model.embedding or model.layer_norm or model.dropout or model.input_dropout)
    assert (training.optimizer, training.learning_rate, training.clip_norm) == ("adam", 1e-3, 5.0)
    assert training.average == training.warmup == 0 and training.weight_decay is None


@pytest.mark.parametrize("task", benchmark.TASKS)
@pytest.mark.parametrize("threads", [1, 2])
def test_each_task_is_measured(task, threads):
    rounds = []
    shape = Shape(2, 6, 4, 5, threads)
    found = measure(task, shape, rounds=3, progress=lambda: rounds.append(1))
    assert len(rounds) == len(found.speeds) == len(found.shares) == 3
    assert found.shape == shape
    assert min(found.speeds) > 0 and 0 < min(found.shares) <= max(found.shares) < 1
    assert not found.theirs and not found.ratios
    assert set(found.as_json()) == FIELDS | {"rounds", "chars_per_second", "share_of_peak"}


def test_speed_is_characters_by_time(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(benchmark, "multiply_add_speed", lambda workers: 1e6)
    monkeypatch.setitem(benchmark.STEPS, "training", lambda *_: (12 for _ in range(100)))
    found = measure("training", TINY, rounds=1)  # each step takes a second
    assert found.speeds == [12]
    assert found.shares[0] == pytest.approx(12 * 6 * (4 * 25 + 5 * 65) / 1e6)


def test_sides_take_turns_and_ratios_are_of_rounds(peer, monkeypatch):
    peer(FAKE)
    order, own, asked = [], iter([999.0, 5000.0, 60000.0, 30000.0]), Peer._ask
    monkeypatch.setattr(
        Peer, "_ask", lambda self, *line: order.append("peer") or asked(self, *line)
    )
    monkeypatch.setattr(
        benchmark, "multiply_add_speed", lambda workers: order.append("peak") or 1e9
    )

    monkeypatch.setattr(benchmark, "_speed", lambda *_: order.append("ours") or next(own))
    found = measure("training", TINY, rounds=3, against="torch")
    assert order == ["peer", "ours", "peer"] + ["ours", "peak", "peer"] * 3
    # the peer's rounds, behind its warm-up: 10, 15 and 20 thousand
    assert (found.speeds, found.theirs) == ([5000, 60000, 30000], [10000, 15000, 20000])
    assert found.ratios == [0.5, 4.0, 1.5]
    shown = found.as_json()
    assert (shown["chars_per_second"], shown["peer_chars_per_second"]) == (30000, 15000)
    assert (shown["ratio"], shown["ratios"]) == (1.5, [0.5, 4.0])


def test_a_peer_that_fails_is_told_in_one_line(peer):
    peer("import sys; sys.stdin.readline(); raise RuntimeError('no such instruction')")
    with pytest.raises(PeerError, match="torch failed: RuntimeError: no such instruction"):
        Peer("torch", "training", {})
    peer("import os; os._exit(3)")
    with pytest.raises(PeerError, match="status 3"):
        Peer("torch", "training", {})
    peer(FAKE + "    sys.exit('out of memory')")
    found = Peer("torch", "training", {"hidden": 2})
    assert found.version == "7" and found(0.1) == 2000.0
    with pytest.raises(PeerError, match="out of memory"):
        found(0.1)
    found.close()


def test_a_peer_ends_with_the_measurement(peer):
    peer(FAKE)
    found = Peer("torch", "training", {"hidden": 2})
    process = found._process
    found.close()
    assert process.poll() is not None


def test_a_peer_that_is_not_there(monkeypatch):
    def missing(name):
        raise peers.PackageNotFoundError(name)

    monkeypatch.setattr(peers, "version", missing)
    result = bench("--against", "torch")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: torch is not installed") and "pip install torch" in line
    with pytest.raises(PeerError, match="no peer 'jax'"):
        peers.installed_version("jax")


def test_json_is_one_object_with_a_row_for_every_combination(peer):
    peer(FAKE)
    shapes = [
        "--hidden",
        "4,5",
        "--threads",
        "1,2",
        "--batch-size",
        3,
        "--seq-length",
        4,
        "--streams",
        2,
    ]
    result = bench(*shapes, "--rounds", 1, "--against", "torch", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["machine"]["fma_peak_gflops"] > 0 and found["machine"]["threads"] == 2
    assert {"charrnn": "0.1.0", "torch": "7"}.items() <= found["machine"]["versions"].items()
    assert {(row["hidden"], row["threads"]) for row in found["training"]} == {
        (4, 1),
        (4, 2),
        (5, 1),
        (5, 2),
    }
    assert len(found["sampling"]) == 4 and found["forward"] == []
    peered = {
        "rounds",
        "chars_per_second",
        "share_of_peak",
        "peer_chars_per_second",
        "ratio",
        "ratios",
    }
    for row in found["training"] + found["sampling"]:
        assert set(row) == FIELDS | peered
        assert row["precision"] == "float32" and row["layers"] == 2
    assert {(row["batch_size"], row["seq_length"]) for row in found["training"]} == {(3, 4)}
    assert {row["batch_size"] for row in found["sampling"]} == {2}


def test_the_table():
    result = bench(
        "--hidden",
        4,
        "--rounds",
        1,
        "--threads",
        1,
        "--batch-size",
        3,
        "--only",
        "training",
        "--only",
        "forward",
    )
    assert result.exit_code == 0, result.output
    first, second, *table = [line.rstrip() for line in result.stdout.splitlines() if line.strip()]
    assert machine.processor() in first and "GFLOP/s on one thread" in second
    assert [line.split("  ")[0].strip() for line in table[2:]] == [
        "training, 2 x 4",
        "forward, 2 x 4",
    ]
    assert "3 x 50" in table[2] and "PyTorch" not in table[0] and "precision" not in table[0]
    assert "run nothing else" in result.stderr


@pytest.mark.parametrize(("speed", "told"), [("1000.0", False), ("1000.0 * (k % 2 + 1)", True)])
def test_rounds_that_disagree_are_told(peer, monkeypatch, speed, told):
    peer(FAKE.replace('1000.0 * task["hidden"] * (k + 1)', speed))
    monkeypatch.setattr(
        Measured, "ratios", property(lambda one: [1.0 / speed for speed in one.theirs])
    )
    shape = ["--hidden", 4, "--threads", 1, "--batch-size", 3, "--only", "training", "--rounds", 2]
    assert (
        "the rounds of 1 out of 1 rows disagree" in bench(*shape, "--against", "torch").stderr
    ) == told


def test_the_machine_alone():
    result = bench("--only", "machine", "--threads", 1)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2 and not result.stderr
    found = json.loads(bench("--only", "machine", "--json").stdout)
    assert found["training"] == found["sampling"] == []


def test_a_text_of_ones_own(tmp_path):
    text = tmp_path / "rose.txt"
    text.write_text("a rose is a rose\n" * 30)
    shape = [
        "--hidden",
        4,
        "--rounds",
        1,
        "--threads",
        1,
        "--text",
        text,
        "--only",
        "training",
        "--json",
    ]
    result = bench(*shape, "--batch-size", 3, "--seq-length", 20)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["training"][0]["chars_per_second"] > 0
    result = bench(*shape)
    assert result.exit_code == 2
    assert "too short for 50 x 50: it has 510 characters, 2,501 are needed" in result.stderr
    assert bench("--text", tmp_path / "none.txt").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--hidden", "128,"),
        ("--hidden", "0"),
        ("--hidden", ""),
        ("--threads", "5000"),
        ("--precision", "float8"),
        ("--only", "x"),
    ],
)
def test_wrong_flags(arguments):
    assert bench(*arguments, "--only", "machine").exit_code == 2


def test_many_texts_are_sampled_with_the_symbols_of_a_short_one():
    corpus = Corpus.from_text("ab" * 50)
    shape = replace(TINY, batch_size=64, seq_length=64)
    assert measure("sampling", shape, corpus, rounds=1).speeds[0] > 0


@pytest.mark.parametrize("task", benchmark.TASKS)
def test_a_precision_that_is_none_is_refused(task):
    with pytest.raises(ConfigError, match="precision"):
        measure(task, replace(TINY, precision="int9"), rounds=1)


def test_a_generated_text_has_all_its_symbols_and_some_batches():
    corpus = generated_corpus(Shape(batch_size=200, seq_length=300))
    assert len(corpus.vocab) == 65
    assert len(corpus.train) > 3 * 200 * 300
    with pytest.raises(ConfigError, match="too short"):
        measure("training", Shape(1, 4, 2000, 300), corpus)


def test_rounding_for_people():
    found = Measured(
        "training", TINY, [1234.5678, 1000.04, 2000.58], [0.123456789] * 3, [1000.04] * 3
    ).as_json()
    assert (found["chars_per_second"], found["share_of_peak"], found["ratio"]) == (
        1234.6,
        0.1235,
        1.235,
    )
    assert (found["peer_chars_per_second"], found["ratios"]) == (1000.0, [1.0, 2.0])


def test_against_pytorch_itself():
    pytest.importorskip("torch")
    for task in benchmark.TASKS:
        found = measure(task, TINY, rounds=1, against="torch")
        assert min(found.ratios) > 0
