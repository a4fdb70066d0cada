"""What strangers send: each gets a 4xx, nothing is logged, and the server is as well as before."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from charrnn.config.serving import ServeConfig
from charrnn.server import exchange, listening, orders, reading
from tests.doors.serving import served
from tests.server.hostile import BODIES
from tests.server.networks import network

TRAINED = network()
JSON = {"content-type": "application/json"}
GOOD = b'{"prompt": "a", "max_tokens": 4, "seed": 1}'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "SECONDS", 0.1)
        patch.setattr(exchange, "PATIENCE", 0.5)
        patch.setattr(listening, "PATIENCE", 1.0)
        with served(TRAINED) as address:
            yield address


@pytest.fixture(autouse=True)
def is_well(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    caplog.set_level(logging.WARNING)
    yield
    answer = httpx.post(f"{url}/v1/completions", content=GOOD, headers=JSON)
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 4
    assert httpx.get(f"{url}/health").json()["texts"] == 0
    assert [record.getMessage() for record in caplog.records if record.name != "httpx"] == []
    assert "Traceback" not in "".join(capfd.readouterr())


def check_refused(answer: httpx.Response, name: object) -> None:
    assert 400 <= answer.status_code < 500, (name, answer.text)
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"], name
    assert error["message"] and error["type"], name


def test_bodies(url: str) -> None:
    with httpx.Client() as client:
        for path in ("/v1/completions", "/v1/next", "/v1/score"):
            for name, body in BODIES if path == "/v1/completions" else BODIES[:40]:
                check_refused(client.post(url + path, content=body, headers=JSON), name)


def test_what_comes_next_is_told_after_one_prompt(url: str) -> None:
    for body in ({"n": 2}, {"best_of": 2}, {"prompt": ["a", "b"]}, {"count": 0}, {"count": "a"}):
        check_refused(httpx.post(f"{url}/v1/next", json=body), body)
    hot = httpx.post(f"{url}/v1/next", json={"temperature": 1e300, "count": 1000})
    assert len(hot.json()["next"]) == 33


def test_a_mistake_in_the_server_is_a_500_in_the_same_shape(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading.Scoring, "answer", None)
    answer = httpx.post(f"{url}/v1/score", json={"text": "a"})
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "server_error"
    assert "a mistake in the server" in caplog.text
    caplog.clear()


def test_heads(url: str) -> None:
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/completions", {}),
        ("PUT", "/v1/completions", {}),
        ("DELETE", "/v1/models/bottles", {}),
        ("POST", "/health", {}),
        ("TRACE", "/", {}),
        ("BREW", "/v1/models", {}),
        ("GET", "/nothing", {}),
        ("GET", "/v1", {}),
        ("GET", "/../../etc/passwd", {}),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", {}),
        ("GET", "//evil.example/", {}),
        ("GET", "/v1/models/%00", {}),
        ("GET", "/v1/models/" + "a" * 5000, {}),
        ("GET", "/v1/models/%ff%fe", {}),
        ("POST", "/v1/chat/completions", {}),
        ("POST", "/v1/completions", {"content-type": "text/plain"}),
        ("POST", "/v1/completions", {"content-type": "application/x-www-form-urlencoded"}),
        ("POST", "/v1/completions", {"content-type": ""}),
        ("POST", "/v1/completions", {"content-type": "application/jsonp"}),
        ("POST", "/v1/completions", {"content-encoding": "gzip"}),
        ("GET", "/health", {"host": "evil.example"}),
        ("GET", "/", {"host": "evil.example:80"}),
        ("GET", "/health", {"host": "local host"}),
        ("GET", "/health", {"host": "http://localhost"}),
        ("GET", "/health", {"host": "[::1"}),
        ("GET", "/health", {"host": "999.999.999.999"}),
        ("GET", "/health", {"host": "a" * 3000}),
        ("GET", "/", {"origin": "http://evil.example"}),
        ("POST", "/v1/completions", {"origin": "null"}),
        ("POST", "/v1/completions", {"origin": "http://"}),
        ("OPTIONS", "/v1/completions", {"origin": "http://evil.example"}),
        ("OPTIONS", "/v1/completions", {"access-control-request-method": "POST"}),
    ]
    with httpx.Client() as client:
        for method, path, headers in requests:
            content = GOOD if method == "POST" else None
            own = (JSON | headers) if method == "POST" else headers
            request = client.build_request(method, url, content=content, headers=own)
            request.extensions["target"] = path.encode()  # as it stands, dots and all
            answer = client.send(request)
            check_refused(answer, (method, path, headers))


def sent(url: str, data: bytes, *, end: bool = False, seconds: float = 5.0) -> bytes:
    """What the server answers to bytes on a connection, up to its end."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        answer = b""
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return answer


GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
RAW: dict[str, bytes] = {
    "garbage": b"\x00\x01\x02\xff" * 100 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200 + b"\r\n\r\n",
    "HTTP without a number": b"GET / HTTP\r\nHost: localhost\r\n\r\n",
    "a long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "a space in a header's name": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
    "no host, 1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n"
    b"Connection: close\r\n\r\n",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n{}",
    "a length that is no number": POST + b"Content-Length: five\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    "a huge length": POST + b"Connection: close\r\nContent-Length: 99999999999\r\n\r\n{}",
    "a length of many digits": POST
    + b"Connection: close\r\nContent-Length: "
    + b"9" * 19
    + b"\r\n\r\n",
    "a chunk that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n{}",
    "an unknown encoding": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a chunk that is none after the answer": b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + b" " * (1 << 20) + b"xyz\r\n",
    "two kinds of length": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET,
    "chunks without end": POST
    + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 80,
    "a websocket": b"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade, close\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n",
    "a body that does not come": POST + b"Connection: close\r\nContent-Length: 50\r\n\r\n{",
    "an expectation": POST
    + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_bytes(url: str, name: str) -> None:
    answer = sent(url, RAW[name])
    if name == "an expectation":
        answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert answer.count(b"HTTP/1.1") == 1


def test_who_says_nothing_or_half_of_it_is_left(url: str) -> None:
    for data in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc", b"GET /"):
        start = time.monotonic()
        assert sent(url, data, seconds=10) == b""
        assert time.monotonic() - start < 8
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        try:
            for _ in range(100):  # a byte now and then
                connection.sendall(b"X")
                time.sleep(0.05)
            raise AssertionError("a head may come for ever")
        except ConnectionError:
            pass


def test_who_does_not_read_the_answer_is_left(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from charrnn.server import guard

    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "a", "max_tokens": 16_000, "n": 6, "logprobs": 1}).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = body[:-1] + b', "stream": true}'
        connection.sendall(POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        end = time.monotonic() + 120
        time.sleep(0.2)
        while httpx.get(f"{url}/health").json()["texts"]:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_thousand_at_once(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(300)]
    assert httpx.get(f"{url}/health").status_code == 200
    for connection in crowd:
        connection.close()


def test_limits_of_a_body() -> None:
    with served(TRAINED, ServeConfig(max_prompt=10, max_tokens=5, max_texts=2)) as url:
        for body in ({"prompt": "a" * 11}, {"max_tokens": 6}, {"n": 3}, {"prompt": ["a"] * 3}):
            check_refused(httpx.post(f"{url}/v1/completions", json=body), body)
        answer = httpx.post(f"{url}/v1/completions", content=b" " * (1 << 21), headers=JSON)
        assert answer.status_code == 413
