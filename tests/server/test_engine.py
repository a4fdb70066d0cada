"""Texts that are written together are what each would be alone, whatever comes and goes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.evaluation.score import score
from charrnn.evaluation.texts import evaluate_texts
from charrnn.generation.allowed import allowed
from charrnn.generation.generate import generate_texts
from charrnn.generation.writer import generator
from charrnn.inspection.likelihood import with_logprobs
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.server import batch
from charrnn.server.answer import Waiter
from charrnn.server.engine import Engine
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Order, Stream
from charrnn.text.documents import resets
from charrnn.text.vocab import Vocab
from tests.server.networks import SYMBOLS, network

PRIME = "abc. Aa bc, cab and bad, c "


class Desk:
    """Gives texts to an engine and waits for them."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self._change = engine, threading.Condition()

    def stream(
        self, prime: str = PRIME, order: dict[str, Any] | None = None, **config: Any
    ) -> Stream:
        settings = SamplingConfig(**({"length": 60, "temperature": 1.0} | config))
        ids = self.engine.networks.vocab.encode(prime).astype(np.int32)
        return Stream(self.engine.networks, Order(ids, settings, **(order or {})), self._report)

    def _report(self, stream: Stream) -> None:
        with self._change:
            self._change.notify_all()

    def wait(self, streams: Sequence[Stream]) -> list[str]:
        with self._change:
            assert self._change.wait_for(lambda: all(each.is_over for each in streams), 30)
        return ["".join(each.pieces) for each in streams]

    def written(self, *streams: Stream) -> list[str]:
        self.engine.add(streams)
        return self.wait(streams)


@contextmanager
def desk(trained: Trained | Mixture, **options: Any) -> Iterator[Desk]:
    with closing(Engine(trained, **options)) as engine:
        yield Desk(engine)


def expected(trained: Trained | Mixture, prime: str = PRIME, **config: Any) -> str:
    settings = SamplingConfig(**({"length": 60, "temperature": 1.0} | config))
    return generate_texts(trained, 1, prime, settings)[0].text


SETTINGS: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 1, "take": 2, "temperature": 0.5},
    {"seed": 2, "top_k": 3, "length": 200},
    {"seed": 3, "top_p": 0.7, "stop": ("ab", "c ")},
    {"seed": 4, "min_p": 0.1, "until": "sentence", "length": 500},
    {"seed": 5, "temperature": 0.0, "dry_multiplier": 0.8, "dry_allowed_length": 2},
    {"seed": 6, "inner_temperature": 0.1, "temperature_to": 3.0},
    {"seed": 7, "prime": "", "length": 33},
    {"seed": 8, "prime": "a"},
    {"seed": 9, "prime": PRIME * 40, "lines": 2, "length": 300},
    {"seed": 10, "length": 1},
    {"seed": 12, "prime": PRIME * 3, "dry_multiplier": 4.0, "dry_allowed_length": 1},
    {"seed": 13, "prime": PRIME + "\n\n" + PRIME + "\n", "length": 90},
    {"seed": 11, "length": 0},
]


@pytest.mark.parametrize("attention", [0, 48])
@pytest.mark.parametrize("separator", [None, r"\n"])
def test_a_text_is_that_of_generate_whatever_is_written_beside_it(
    separator: str | None, attention: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SHARE", 1)  # so that two threads work
    trained = network(separator=separator, attention=attention)
    wanted = [expected(trained, **config) for config in SETTINGS]
    assert len(set(wanted)) > 10
    with closing(Workers(2)) as workers, desk(trained, workers=workers, most=8) as own:
        alone = [own.written(own.stream(**config))[0] for config in SETTINGS]
        assert alone == wanted
        assert own.written(*(own.stream(**config) for config in SETTINGS)) == wanted
        assert own.written(*(own.stream(**config) for config in SETTINGS[::-1])) == wanted[::-1]


@pytest.mark.parametrize("settings", SETTINGS[:-1], ids=lambda each: str(each["seed"]))
def test_the_next_symbols_are_as_probable_as_they_are_drawn(settings: dict[str, Any]) -> None:
    order = {"tells_chances": True, "bias": np.linspace(0, 1, len(SYMBOLS), dtype=np.float32)}
    with desk(network()) as own:
        texts = [own.stream(order=order, **settings | {"take": 1 + n}) for n in range(40)]
        own.written(*texts)
    for n, stream in enumerate(texts):
        (drawn,), up_to = stream.written, np.cumsum(stream.chances, dtype=np.float64)
        assert up_to[-1] == pytest.approx(1)
        uniform = generator(settings["seed"], n).random()
        assert up_to[drawn] > uniform - 1e-6
        assert up_to[drawn] - stream.chances[drawn] < uniform + 1e-6


def test_what_shapes_a_draw_shapes_the_chances() -> None:
    def chances(**config: Any) -> np.ndarray:
        stream = own.stream("abcab", {"tells_chances": True}, seed=1, **config)
        own.written(stream)
        return stream.chances

    with desk(network()) as own:
        plain, c = chances(), SYMBOLS.index("c")
        assert chances(dry_multiplier=50.0, dry_allowed_length=1)[c] < 1e-9 < plain[c]
        np.testing.assert_allclose(chances(inner_temperature=0.5), chances(temperature=0.5))
        assert np.count_nonzero(chances(top_k=4)) == 4
        assert chances(temperature=0.0).tolist() == (plain == plain.max()).tolist()
        automaton = allowed(
            own.engine.networks.vocab, SamplingConfig(match="(cd|ce|.{9})", length=3)
        )
        stream = own.stream("abcab", {"tells_chances": True, "automaton": automaton}, length=3)
        own.written(stream)
        assert np.flatnonzero(stream.chances).tolist() == [c]
        assert not any(own.stream(order={"tells_chances": True}, length=0).chances)


@pytest.mark.parametrize("attention", [0, 48])
@pytest.mark.parametrize("separator", [None, r"\n"])
def test_several_networks_write_what_generate_lets_them_write(
    separator: str | None, attention: int
) -> None:
    """With attention, the second one has none."""
    networks = Mixture(
        [
            network(
                separator=separator,
                starts=3 + n,
                hidden=16 + 8 * n,
                seed=n,
                attention=attention * (n != 1),
            )
            for n in range(3)
        ],
        [0.5, 0.25, 0.25],
    )
    wanted = [expected(networks, **config) for config in SETTINGS]
    assert len({*wanted, *(expected(networks[0], **config) for config in SETTINGS)}) > 20
    with closing(Workers(2)) as workers, desk(networks, workers=workers, most=8) as own:
        assert own.written(own.stream(**SETTINGS[0])) == wanted[:1]
        assert own.written(*(own.stream(**config) for config in SETTINGS)) == wanted
        assert own.written(*(own.stream(**config) for config in SETTINGS[::-1])) == wanted[::-1]


def test_networks_of_different_vocabularies_write_and_score_together() -> None:
    networks = Mixture([network(), network(vocab=Vocab((*SYMBOLS[:20], "D", "E")), seed=2)])
    assert len(networks.vocab) == len(SYMBOLS) + 2
    wanted = score(networks, PRIME * 30).nats
    with desk(networks) as own:
        texts = [expected(networks, seed=n) for n in range(5)]
        assert own.written(*(own.stream(seed=n) for n in range(5))) == texts
        stream = own.stream(PRIME * 30, length=0, order={"logprobs": 3, "scores": 0, "start": 0})
        own.written(stream)
    told = [-place.logprob for place in stream.places]
    np.testing.assert_allclose(told, wanted, atol=2e-5)


def test_bytes_and_their_texts() -> None:
    symbols = [chr(value) for value in (10, 32, 46, *range(97, 107), 0xC3, 0xA4, 0xA9, 0xE2)]
    trained = network(vocab=Vocab(tuple(symbols), "byte"))
    wanted = expected(trained, "ab\u00e4", seed=5, length=300)
    assert any(0xDC80 <= ord(c) < 0xDD00 for c in wanted), "not all of it is UTF-8"
    with desk(trained) as own:
        assert own.written(own.stream("ab\u00e4", seed=5, length=300)) == [wanted]


def test_texts_that_match_end_where_they_can() -> None:
    trained = network()
    config = SamplingConfig(match="(abc|bad|b+ c)+", length=40, seed=3, temperature=1.0)
    automaton = allowed(trained.vocab, config)
    wanted = generate_texts(trained, 1, PRIME, config)[0]
    with desk(trained) as own:
        (stream,) = streams = [own.stream(order={"automaton": automaton}, **_given(config))]
        assert own.written(*streams) == [wanted.text]
        assert stream.finish_reason == ("stop" if wanted.ended else "length")
        full = own.stream(order={"automaton": automaton}, **_given(replace(config, length=6)))
        own.written(full)
        assert full.finish_reason in ("stop", "length")


@pytest.mark.parametrize(
    ("match", "length", "reason"),
    [
        ("abc", 3, "stop"),
        ("abc", 4, "stop"),
        ("(abc)+", 3, "length"),
        ("abcd?", 3, "length"),
    ],
)
def test_a_text_after_which_nothing_may_follow_is_no_shorter_than_it_could_be(
    match: str, length: int, reason: str
) -> None:
    config = SamplingConfig(match=match, length=length, temperature=1.0)
    with desk(network()) as own:
        automaton = allowed(own.engine.networks.vocab, config)
        stream = own.stream(order={"automaton": automaton}, **_given(config))
        assert own.written(stream) == ["abc"]
    assert stream.finish_reason == reason


def _given(config: SamplingConfig) -> dict[str, Any]:
    names = ("match", "length", "seed", "temperature")
    return {name: getattr(config, name) for name in names}


def test_probabilities_are_those_of_the_network_alone() -> None:
    """Nearly: what is read and written for a text has int8's weights, `score` has float32's."""
    trained = network()
    config = SamplingConfig(length=30, seed=3, temperature=0.7, top_k=5)
    wanted = with_logprobs(trained, generate_texts(trained, 1, PRIME, config), PRIME, config)[0]
    with desk(trained) as own:
        stream = own.stream(
            seed=3, length=30, temperature=0.7, top_k=5, order={"logprobs": 4, "scores": 0}
        )
        assert own.written(stream) == [wanted.text]
    assert len(stream.places) == len(PRIME) + 30 and len(stream.drawn) == 30
    np.testing.assert_allclose([p.logprob for p in stream.drawn], wanted.logprobs, atol=0.1)
    for place in stream.places:
        told = [logprob for _, logprob in place.top]
        assert len(told) == 4 and told == sorted(told, reverse=True)
        assert place.logprob <= told[0] + 1e-12
        own_one = dict(place.top).get(place.symbol)
        assert own_one is None or own_one == place.logprob
    ids = trained.vocab.encode(PRIME)
    assert [p.symbol for p in stream.places[: len(PRIME)]] == ids.tolist()


def test_the_scores_of_a_prompt_are_those_of_score_from_the_same_start() -> None:
    trained = network()
    wanted = score(trained, PRIME * 30).nats
    with desk(trained) as own:
        own.written(own.stream(PRIME * 30))  # read with rounded weights, maybe
        for first in (0, 5, 700):
            stream = own.stream(
                PRIME * 30, length=0, order={"logprobs": 0, "scores": first, "start": 0}
            )
            own.written(stream)
            told = [-place.logprob for place in stream.places]
            assert len(told) == len(PRIME) * 30 - first
            np.testing.assert_allclose(told, wanted[first:], atol=0.03)


def test_the_scores_of_documents_and_of_many_texts_at_once() -> None:
    trained, pattern = network(separator=r"\n"), r"\n"
    text = (PRIME + "\n") * 9 + "ab"
    ids = trained.vocab.encode(text)
    (wanted,) = evaluate_texts(
        trained.model, [ids], [trained.opening], starts=[resets(ids, trained.vocab, pattern)]
    )
    with desk(trained) as own:
        scored = [
            own.stream(text, length=0, seed=n, order={"logprobs": n % 3, "scores": 20 * n})
            for n in range(9)
        ]
        beside = own.stream(text, seed=3)
        assert own.written(*scored, beside)[-1] == expected(trained, text, seed=3)
    for n, stream in enumerate(scored):
        told = [-place.logprob for place in stream.places]
        np.testing.assert_allclose(told, wanted.losses[20 * n :], atol=0.03)
        assert all(len(place.top) == n % 3 for place in stream.places)


def test_bias_raises_lowers_and_excludes() -> None:
    trained, vocab = network(), Vocab(network().vocab.symbols)
    bias = np.zeros(len(vocab), np.float32)
    bias[vocab.index["a"]] = 100
    with desk(trained) as own:
        assert own.written(own.stream(order={"bias": bias})) == ["a" * 60]
        bias[:] = -np.inf
        bias[[vocab.index["x"], vocab.index["y"]]] = 0
        (text,) = own.written(own.stream(order={"bias": bias}))
        assert set(text) == {"x", "y"}
        assert own.written(own.stream(order={"bias": np.zeros(len(vocab), np.float32)})) == [
            expected(trained)
        ]


def test_a_prompt_that_grew_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, read = network(), list[int]()
    with desk(trained) as own:
        read_on = own.engine._batch.read
        monkeypatch.setattr(
            own.engine._batch,
            "read",
            lambda streams: (read.append(streams[0].place), read_on(streams)),
        )
        long = PRIME * 100
        own.written(own.stream(long, seed=4))
        assert read[0] == 0
        read.clear()
        assert own.written(own.stream(long + " and", seed=4)) == [
            expected(trained, long + " and", seed=4)
        ]
        assert read == [len(long)]
        read.clear()
        own.written(own.stream(long[:1500] + "XYZ".lower(), seed=4))  # changed in the middle
        assert read[0] >= 1024
        read.clear()
        own.written(own.stream(long, seed=4))
        assert read == []


def test_texts_that_come_together_are_one_step_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = list[int]()
    with desk(network(), most=20) as own:
        (steps_of,) = own.engine._batch.networks
        run = steps_of.run
        monkeypatch.setattr(
            steps_of,
            "run",
            lambda state, ids, has_logits: (
                sizes.append(ids.shape[1] if has_logits else 0),
                run(state, ids, has_logits),
            )[1],
        )
        own.written(*(own.stream(seed=n, length=40 + n, temperature=n / 9) for n in range(10)))
    steps = [size for size in sizes if size]
    assert steps[:40] == [10] * 40 and len(steps) < 40 + 24


def test_texts_of_one_prompt_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, sizes = network(starts=2), list[int]()
    with desk(trained) as own:
        read_on = own.engine._batch.read
        monkeypatch.setattr(
            own.engine._batch,
            "read",
            lambda streams: (sizes.append(len(streams)), read_on(streams)),
        )
        texts = own.written(*(own.stream(PRIME * 20, seed=1, take=n) for n in range(1, 10)))
    assert texts == [expected(trained, PRIME * 20, seed=1, take=n) for n in range(1, 10)]
    assert set(sizes) == {2}, "one for each start"


def test_one_request_does_not_take_all_places() -> None:
    trained, many, one = network(), object(), object()
    with desk(trained, most=4) as own:
        first = [own.stream(seed=n, length=3000, order={"owner": many}) for n in range(8)]
        own.engine.add(first)
        late = own.stream(seed=1, length=10, order={"owner": one})
        own.written(late)
        assert not any(each.is_over for each in first)
        own.engine.cancel(first)


def test_a_short_text_does_not_wait_for_the_end_of_long_ones() -> None:
    trained, owners = network(), [object() for _ in range(5)]
    with desk(trained, most=4) as own:
        long = [own.stream(seed=n, length=10**6, order={"owner": owners[n]}) for n in range(4)]
        own.engine.add(long)  # one of each request: they take turns
        assert own.written(own.stream(seed=9)) == [expected(trained, seed=9)]
        own.engine.cancel(long)
        many = [own.stream(seed=n, length=9000, order={"owner": owners[n // 4]}) for n in range(8)]
        late = own.stream(seed=1, length=40, order={"owner": owners[4]})
        own.engine.add(many)
        assert own.written(late) == [expected(trained, seed=1, length=40)]
        assert not any(each.is_over for each in many)
        assert own.wait(many) == [expected(trained, seed=n, length=9000) for n in range(8)]


def test_texts_that_pause_or_are_over_hold_no_states_but_their_own() -> None:
    def memory(array: np.ndarray) -> int:
        return array.nbytes if array.base is None else memory(array.base)

    with desk(network(attention=48), most=4) as own:
        long = [own.stream(seed=n, length=10**6, order={"owner": object()}) for n in range(8)]
        own.engine.add(long)
        over = [own.stream(seed=n, length=100 * n, order={"owner": object()}) for n in range(3)]
        own.written(*over)
    paused = [stream for stream in own.engine._waiting if stream.written]
    assert paused and all(stream.states == () for stream in over)
    arrays = [a for stream in paused for state in stream.states for a in state.arrays]
    assert all(memory(array) <= array.nbytes + 64 for array in arrays)  # which are aligned


def test_who_leaves_frees_the_place_at_once() -> None:
    trained = network()
    with desk(trained, most=2) as own:
        endless = [own.stream(seed=n, length=10**7) for n in range(6)]
        own.engine.add(endless)
        own.engine.cancel(endless)
        assert own.written(own.stream(seed=1)) == [expected(trained, seed=1)]
        assert own.engine.texts <= 1 and not any(each.is_over for each in endless)


def test_a_network_that_fails_is_an_error_of_each_text_and_the_engine_goes_on() -> None:
    trained = network()
    model = Model(trained.model.config)
    model.parameters["decoder.bias"][3] = np.inf
    with desk(replace(trained, model=model)) as own:
        for _ in range(2):
            stream = own.stream()
            own.written(stream)
            assert "NaN or infinite" in stream.error


def test_a_network_that_failed_before_anyone_waited_is_an_error() -> None:
    async def told(error: str) -> None:
        await Waiter(every=False).ended([SimpleNamespace(is_over=True, error=error)])  # type: ignore[list-item]

    asyncio.run(told(""))
    with pytest.raises(Refusal, match="not finite"):
        asyncio.run(told("the outputs are not finite"))
