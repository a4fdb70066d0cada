"""A server by OpenAI's own client."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.config.serving import ServeConfig
from charrnn.evaluation.score import score
from charrnn.generation.generate import generate_many, generate_texts
from charrnn.generation.lexicon import Lexicon
from charrnn.inspection.likelihood import best_of
from charrnn.server import app
from charrnn.server.app import application
from charrnn.server.completion import Completion
from charrnn.server.orders import streams_of
from charrnn.server.reading import Scoring
from charrnn.server.stream import Stream
from tests.doors.serving import served
from tests.server.networks import network

TRAINED = network()
PROMPT = "abc. Aa bc, cab"


def client_of(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", **{"api_key": "none", "max_retries": 0} | options)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(TRAINED, known_words=Lexicon.of_list("abc bad cab")) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with client_of(url) as made:
        yield made


def create(client: openai.OpenAI, **options: Any) -> openai.types.Completion:
    asked: dict[str, Any] = {"model": "bottles", "prompt": PROMPT, "seed": 5} | options
    return client.completions.create(**asked)


def config(**settings: Any) -> SamplingConfig:
    return SamplingConfig(**({"length": 40, "temperature": 1.0, "seed": 5} | settings))


def idle(url: str) -> None:
    end = time.monotonic() + 10
    while httpx.get(f"{url}/health").json()["texts"]:
        assert time.monotonic() < end, "a text is still written"
        time.sleep(0.01)


def test_a_completion_is_what_charrnn_writes(client: openai.OpenAI) -> None:
    answer = create(client, max_tokens=40)
    (choice,) = answer.choices
    assert choice.text == generate_many(TRAINED, 1, PROMPT, config())[0]
    assert (choice.finish_reason, choice.index, choice.logprobs) == ("length", 0, None)
    assert answer.object == "text_completion" and answer.model == "bottles"
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": len(PROMPT),
        "completion_tokens": 40,
        "total_tokens": len(PROMPT) + 40,
    }


def test_several_prompts_with_several_texts_each_are_takes(client: openai.OpenAI) -> None:
    answer = create(client, prompt=["ab", PROMPT], n=3, max_tokens=40, temperature=0.7)
    wanted = [
        *generate_many(TRAINED, 3, "ab", config(temperature=0.7)),
        *generate_many(TRAINED, 3, PROMPT, config(temperature=0.7, take=4)),
    ]
    assert [choice.text for choice in answer.choices] == wanted
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3, 4, 5]


def test_the_best_of_several(client: openai.OpenAI) -> None:
    answer = create(client, n=1, best_of=5, max_tokens=40)
    assert answer.choices[0].text == best_of(TRAINED, 5, PROMPT, config())[0].text
    assert answer.usage is not None and answer.usage.completion_tokens == 200
    two = create(client, n=2, best_of=5, max_tokens=40)
    assert two.choices[0].text == answer.choices[0].text != two.choices[1].text


def test_our_own_controls_travel_in_the_extra_body(client: openai.OpenAI) -> None:
    answer = create(
        client, max_tokens=40, extra_body={"top_k": 3, "min_p": 0.05, "dry_multiplier": 0.8}
    )
    wanted = config(top_k=3, min_p=0.05, dry_multiplier=0.8)
    assert answer.choices[0].text == generate_many(TRAINED, 1, PROMPT, wanted)[0]
    answer = create(client, extra_body={"match": "(abc|bad)( abc)*", "until": None})
    assert answer.choices[0].text.split()[0] in ("abc", "bad")
    assert answer.choices[0].finish_reason == "stop"
    answer = create(client, extra_body={"until": "line"})
    assert answer.choices[0].text.endswith("\n") and answer.choices[0].text.count("\n") == 1
    answer = create(client, prompt="ab", max_tokens=30, extra_body={"known_words": True})
    assert set(
        ("ab" + answer.choices[0].text).lower().replace(",", " ").replace(".", " ").split()
    ) <= {
        "abc",
        "bad",
        "cab",
    }


def test_a_stop_ends_a_text_and_is_no_part_of_it(client: openai.OpenAI) -> None:
    whole = create(client, max_tokens=200).choices[0].text
    stop = whole[50:52]
    answer = create(client, max_tokens=200, stop=[stop, "\u4e00"])
    assert answer.choices[0].text == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    texts = generate_texts(TRAINED, 1, PROMPT, config(length=200, stop=(stop,)))
    assert answer.choices[0].text == texts[0].text


def test_echo_with_logprobs_and_no_tokens_scores_a_text(client: openai.OpenAI) -> None:
    answer = create(client, max_tokens=0, echo=True, logprobs=2, seed=None, extra_body={"start": 0})
    (choice,) = answer.choices
    told = choice.logprobs
    assert choice.text == PROMPT and told is not None
    assert told.tokens == list(PROMPT) and told.text_offset == list(range(len(PROMPT)))
    assert told.token_logprobs is not None and told.top_logprobs is not None
    wanted = score(TRAINED, PROMPT).nats
    np.testing.assert_allclose(told.token_logprobs, -wanted, atol=2e-5)
    for token, logprob, top in zip(
        told.tokens, told.token_logprobs, told.top_logprobs, strict=True
    ):
        assert top[token] == logprob and 2 <= len(top) <= 3
    assert answer.usage is not None and answer.usage.completion_tokens == 0


def test_logprobs_of_what_is_written(client: openai.OpenAI) -> None:
    answer = create(client, max_tokens=10, logprobs=0, echo=True)
    told = answer.choices[0].logprobs
    assert told is not None and told.tokens is not None
    assert "".join(told.tokens) == answer.choices[0].text and len(told.tokens) == len(PROMPT) + 10
    own = create(client, max_tokens=10, logprobs=0).choices[0].logprobs
    assert own is not None and told.token_logprobs is not None
    assert own.token_logprobs == told.token_logprobs[len(PROMPT) :]
    assert own.text_offset == list(range(len(PROMPT), len(PROMPT) + 10))


def test_bias_and_ids(client: openai.OpenAI) -> None:
    index = TRAINED.vocab.index
    answer = create(client, max_tokens=9, logit_bias={str(index["z"]): 100})
    assert answer.choices[0].text == "z" * 9
    ids = [index[c] for c in PROMPT]
    same = create(client, prompt=ids, max_tokens=40, echo=True)
    assert same.choices[0].text == PROMPT + create(client, max_tokens=40).choices[0].text


def test_what_may_come_next(url: str) -> None:
    def asked(**values: Any) -> httpx.Response:
        return httpx.post(f"{url}/v1/next", json={"prompt": PROMPT, "seed": 5, **values})

    first = asked(count=33).json()["next"]
    assert sum(each["probability"] for each in first) == pytest.approx(1)
    index = TRAINED.vocab.index[first[0]["text"]]
    rest = asked(count=33, logit_bias={str(index): -100}).json()["next"]
    assert [each["text"] for each in rest] == [each["text"] for each in first[1:]]
    only = asked(match=re.escape(rest[0]["text"]) + "x{3}", count=33).json()["next"]
    assert only == [{"text": rest[0]["text"], "probability": 1.0}]
    for values in ({"n": 2}, {"prompt": ["a", "b"]}, {"best_of": 3}, {"count": 0}):
        assert asked(**values).status_code == 400, values


@pytest.mark.parametrize("echo", [False, True])
def test_a_stream_has_the_same_text_in_pieces(client: openai.OpenAI, echo: bool) -> None:
    options: dict[str, Any] = {"n": 2, "max_tokens": 300, "logprobs": 1, "echo": echo}
    whole = create(client, **options)
    texts, tokens, reasons, usage = ["", ""], [[], []], ["", ""], None
    parts = list(
        client.completions.create(
            model="bottles",
            prompt=PROMPT,
            seed=5,
            stream=True,
            stream_options={"include_usage": True},
            **options,
        )
    )
    assert len(parts) > 2  # how many there are depends on how fast both sides are
    for part in parts:
        usage = part.usage
        assert part.id == parts[0].id
        for choice in part.choices:
            texts[choice.index] += choice.text
            if choice.logprobs is not None:
                tokens[choice.index] += choice.logprobs.tokens
            reasons[choice.index] += choice.finish_reason or ""
    assert texts == [choice.text for choice in whole.choices]
    assert ["".join(each) for each in tokens] == texts
    assert reasons == ["length", "length"]
    assert parts[-1].choices == [] and usage == whole.usage
    assert all(part.usage is None for part in parts[:-1])


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.models.retrieve("bottles") == model and model.id == "bottles"
    for name in ("gpt-4", "a/b", "%2e%2e"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(name)
        assert caught.value.code == "model_not_found"


def test_several_networks_write_as_one() -> None:
    networks = Mixture([network(), network(seed=1), network(seed=2, hidden=16)])
    with served(networks) as url, client_of(url) as client:
        wanted = generate_many(networks, 2, PROMPT, config())
        assert [each.text for each in create(client, n=2, max_tokens=40).choices] == wanted
        (model,) = client.models.list().data
        assert model.model_dump()["networks"] == 3
        page = httpx.get(url).text
        assert "3 networks: lstm 2 x 24, " in page
        made = httpx.post(f"{url}/v1/score", json={"text": PROMPT}).json()["surprises"]
    np.testing.assert_allclose(made, score(networks, PROMPT).nats, atol=2e-5)


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, max_tokens=-1)
    assert (caught.value.param, caught.value.type) == ("max_tokens", "invalid_request_error")
    assert "'max_tokens' must be 0 to 16,384" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        create(client, model="gpt-3.5-turbo-instruct")
    with pytest.raises(openai.BadRequestError, match="suffix"):
        create(client, suffix="the end")
    with pytest.raises(openai.BadRequestError, match="top_k"):
        create(client, extra_body={"topk": 3})


def test_fifty_clients_at_once_get_what_each_would_get_alone(url: str) -> None:
    async def all_texts() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
            answers = await asyncio.gather(
                *(
                    client.completions.create(
                        model="bottles", prompt="a" * n, seed=n, max_tokens=3 * n, temperature=0.9
                    )
                    for n in range(50)
                )
            )
            return [answer.choices[0].text for answer in answers]

    wanted = [
        generate_many(TRAINED, 1, "a" * n, config(seed=n, length=3 * n, temperature=0.9))[0]
        for n in range(50)
    ]
    assert asyncio.run(all_texts()) == wanted


def test_who_leaves_frees_the_place(url: str) -> None:
    with client_of(url) as client:
        stream = client.completions.create(
            model="bottles", prompt="a", max_tokens=16_000, stream=True
        )
        next(iter(stream))
        assert httpx.get(f"{url}/health").json()["texts"] == 1
        stream.close()
        idle(url)
        with pytest.raises(openai.APITimeoutError):
            create(client, n=20, max_tokens=16_000, timeout=0.2)
    idle(url)


def test_what_nobody_waits_for_is_not_prepared(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, go = list[str](), threading.Event()

    def slow(completion: Completion, *arguments: Any) -> list[Stream]:
        calls.append(completion.prompts[0].text)
        assert go.wait(30)
        return streams_of(completion, *arguments)

    monkeypatch.setattr(app, "streams_of", slow)
    with client_of(url) as client:
        for prompt in "ab":  # the second one has to wait for the first
            with pytest.raises(openai.APITimeoutError):
                create(client, prompt=prompt, timeout=0.3, extra_body={"match": "a+"})
        time.sleep(0.5)  # until the server has heard that the second one left
        go.set()
        create(client, prompt="c", extra_body={"match": "a+"})
    assert calls == ["a", "c"]
    idle(url)


def test_too_many_texts_have_to_wait_or_come_again() -> None:
    limits = ServeConfig(batch=1, waiting=1)
    with served(TRAINED, limits) as url, client_of(url) as client:
        stream = client.completions.create(
            model="bottles", prompt="a", max_tokens=16_000, stream=True
        )
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            create(client, n=2, max_tokens=1)
        assert int(caught.value.response.headers["retry-after"]) > 0
        stream.close()
        idle(url)
        create(client, n=2, max_tokens=1)


def test_more_texts_than_there_are_places_are_never_asked_for_again() -> None:
    with served(TRAINED, ServeConfig(batch=2, waiting=1)) as url, client_of(url) as client:
        create(client, n=3, max_tokens=1)
        with pytest.raises(openai.BadRequestError, match="ask for 3 at most"):
            create(client, n=4, max_tokens=1)


@pytest.mark.parametrize("stream", [False, True])
def test_texts_that_took_the_places_meanwhile(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose texts were being prepared is refused as any other."""
    begun, go, made = threading.Event(), threading.Event(), streams_of

    def slow(completion: Completion, *arguments: Any) -> list[Stream]:
        if completion.config.match is not None:
            begun.set()
            assert go.wait(30)
        return made(completion, *arguments)

    monkeypatch.setattr(app, "streams_of", slow)
    with (
        served(TRAINED, ServeConfig(batch=1, waiting=0)) as url,
        client_of(url) as client,
        ThreadPoolExecutor() as pool,
    ):
        late = pool.submit(create, client, stream=stream, extra_body={"match": "a+"})
        assert begun.wait(30)
        with client.completions.create(
            model="bottles", prompt="a", max_tokens=16_000, stream=True
        ) as first:
            next(iter(first))
            go.set()
            with pytest.raises(openai.RateLimitError):
                late.result(30)
        idle(url)


def test_an_answer_that_began_beside_another_one_is_refused_in_it() -> None:
    """Between the head of an answer and its first text, another one takes the places."""
    own = application(TRAINED, "bottles", ServeConfig(batch=1, waiting=0))

    async def both() -> str:
        begun, go, taken, over = (asyncio.Event() for _ in range(4))
        heard = b""

        async def late(message: Any) -> None:
            nonlocal heard
            heard += message.get("body", b"")
            if message["type"] == "http.response.start":
                begun.set()
                await go.wait()

        async def first(message: Any) -> None:
            if message.get("body"):
                taken.set()
                await over.wait()

        def asked(send: Any) -> asyncio.Task[None]:
            body = b'{"prompt": "a", "max_tokens": 16000, "stream": true}'
            messages = [{"type": "http.request", "body": body}]

            async def receive() -> Any:
                if messages:
                    return messages.pop()
                await over.wait()
                return {"type": "http.disconnect"}

            head = [(b"host", b"localhost"), (b"content-type", b"application/json")]
            path = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": head}
            scope = {**path, "query_string": b"", "root_path": "", "http_version": "1.1"}
            return asyncio.ensure_future(own(scope, receive, send))

        async with asyncio.timeout(30):
            tasks = [asked(late)]
            await begun.wait()
            tasks.append(asked(first))
            await taken.wait()
            go.set()
            await tasks[0]
            over.set()
            await tasks[1]
        return heard.decode()

    assert "too many texts wait already" in asyncio.run(both())


@pytest.mark.parametrize("is_long", [False, True])
def test_a_long_text_is_scored_without_holding_up_others(
    is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[str]()

    def noted(*arguments: Any) -> Scoring:
        threads.append(threading.current_thread().name)
        return Scoring(*arguments)

    monkeypatch.setattr(app, "Scoring", noted)
    text = {"text": "a" * (app.LONG - 1 + is_long)}
    with served(TRAINED) as url:
        assert len(httpx.post(f"{url}/v1/score", json=text).json()["surprises"]) == len(
            text["text"]
        )
        monkeypatch.setattr(app, "MOST_BUILDS", 0)
        status = httpx.post(f"{url}/v1/score", json=text).status_code
    assert threads[0].startswith("charrnn prepare") == is_long
    assert status == (429 if is_long else 200)


def test_a_request_has_its_time() -> None:
    with served(TRAINED, ServeConfig(seconds=0.2)) as url, client_of(url) as client:
        with pytest.raises(openai.InternalServerError, match="took longer") as caught:
            create(client, n=30, max_tokens=16_000)
        assert caught.value.status_code == 503
        with pytest.raises(openai.APIError, match="took longer"):
            for _ in client.completions.create(
                model="bottles", prompt="a", n=30, max_tokens=16_000, stream=True
            ):
                pass
        idle(url)


def test_a_key_opens_everything_but_health() -> None:
    with served(TRAINED, key="secret") as url:
        assert httpx.get(f"{url}/health").status_code == 200
        for path in ("/", "/v1/models", "/nothing"):
            assert httpx.get(url + path).status_code == 401
        asks = httpx.get(url).headers["www-authenticate"]
        assert asks.startswith("Basic "), "a browser then asks for a password"
        assert httpx.get(url, auth=("me", "secret")).status_code == 200
        assert httpx.get(url, auth=("secret", "")).status_code == 401
        for wrong in ("Basic", "Basic !", "Basic /w==", "Bearer", "Digest secret", "secret"):
            answer = httpx.get(url, headers={"authorization": wrong})
            assert answer.status_code == 401, wrong
        with client_of(url) as client, pytest.raises(openai.AuthenticationError):
            create(client)
        with client_of(url, api_key="secret") as client:
            create(client)


def test_pages_of_other_sites_may_ask_only_if_they_are_named() -> None:
    friend, stranger = "http://localhost:3000", "http://evil.example"
    with served(TRAINED, ServeConfig(cors=(friend,))) as url:
        asks = {"access-control-request-method": "POST", "access-control-request-headers": "X-A"}
        answer = httpx.options(f"{url}/v1/completions", headers={"origin": friend, **asks})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == friend
        assert answer.headers["access-control-allow-headers"] == "X-A"
        answer = httpx.post(f"{url}/v1/completions", json={}, headers={"origin": friend})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == friend
        assert "origin" in answer.headers["vary"].lower()
        own = httpx.post(f"{url}/v1/completions", json={}, headers={"origin": url})
        assert own.status_code == 200 and "access-control-allow-origin" not in own.headers
        for origin in (stranger, "null", f"{friend}.evil.example", "http://localhost:30000"):
            for method in ("OPTIONS", "POST", "GET"):
                answer = httpx.request(
                    method, f"{url}/v1/completions", headers={"origin": origin, **asks}
                )
                assert answer.status_code == 403, (origin, method)
                assert "access-control-allow-origin" not in answer.headers


def test_names_that_this_server_answers_to() -> None:
    with served(TRAINED, ServeConfig(allow_host=("Writer.Local",))) as url:
        for name, status in {
            "localhost": 200,
            "localhost:1": 200,
            "127.0.0.1:8000": 200,
            "[::1]:8000": 200,
            "192.168.0.7": 200,
            "app.localhost": 200,
            "writer.local:80": 200,
            "evil.example": 403,
            "localhost.evil.example": 403,
            "127.0.0.1.evil.example": 403,
            "notlocalhost": 403,
            "a b": 400,
            "": 400,
            "localhost:8000@evil.example": 400,
        }.items():
            answer = httpx.get(f"{url}/health", headers={"host": name})
            assert answer.status_code == status, name


def test_an_application_may_begin_once_more() -> None:
    own = application(TRAINED, "bottles")

    async def asked() -> list[str]:
        transport, texts = httpx.ASGITransport(own), []
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for _ in range(2):
                async with own.router.lifespan_context(own):
                    answer = await client.post("/v1/completions", json={"match": "abc"})
                    texts.append(answer.json()["choices"][0]["text"])
        return texts

    assert asyncio.run(asked()) == ["abc", "abc"]


def test_any_asgi_server_will_do() -> None:
    async def ask() -> str:
        transport = httpx.ASGITransport(application(TRAINED, "bottles"))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"prompt": PROMPT, "seed": 5, "max_tokens": 40}
            answer = await client.post("/v1/completions", json=body)
            return str(answer.json()["choices"][0]["text"])

    assert asyncio.run(ask()) == generate_many(TRAINED, 1, PROMPT, config())[0]
