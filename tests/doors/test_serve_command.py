"""`charrnn serve` as a process: how it starts, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from charrnn.checkpoint.trained import save
from charrnn.config import SamplingConfig
from charrnn.generation.generate import generate_many
from tests.server.networks import network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "bottles.safetensors"
    save(path, network())
    return path


@contextmanager
def process(*arguments: object, **environment: str) -> Iterator[tuple[Any, list[str]]]:
    """A server's process, and the lines that it has said so far."""
    words = [sys.executable, "-m", "charrnn", "serve", *map(str, arguments)]
    made = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    lines = list[str]()

    def read() -> None:
        assert made.stderr is not None
        for line in made.stderr:
            lines.append(line.decode())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield made, lines
    finally:
        made.kill()
        made.wait()
        reader.join()
        assert made.stdout is not None and made.stderr is not None
        assert made.stdout.read() == b"", "nothing but results belongs on the output"
        made.stdout.close()
        made.stderr.close()


def address(lines: list[str]) -> str:
    end = time.monotonic() + 120
    while True:
        found = re.search(r"to write: (http://\S+)/\n", "".join(lines))
        if found:
            return found[1]
        assert time.monotonic() < end, lines
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_answers_until_a_signal_ends_it(
    checkpoint: Path, number: signal.Signals, status: int
) -> None:
    with process(checkpoint, "--port", 0, "--log", CHARRNN_API_KEY="secret") as (server, lines):
        url = address(lines)
        assert re.match(r"bottles: lstm 2 x 24, [0-9,]+ parameters\n", lines[0])
        with openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0) as client:
            answer = client.completions.create(model="bottles", prompt="a", seed=5, max_tokens=30)
            config = SamplingConfig(length=30, temperature=1.0, seed=5)
            assert answer.choices[0].text == generate_many(network(), 1, "a", config)[0]
            stream = client.completions.create(
                model="bottles", prompt="a", n=50, max_tokens=16_000, stream=True
            )
            next(iter(stream))
            httpx.get(url + "/%1b%5b31m%0aforged")
            server.send_signal(number)
            start = time.monotonic()
            assert server.wait(20) == status
            assert time.monotonic() - start < 10
            with pytest.raises(openai.APIError, match="the server stops"):
                list(stream)
    said = "".join(lines)
    assert "Traceback" not in said and "\x1b" not in said
    logged = [line.split(" ", 1)[1].strip() for line in lines[4:]]
    assert logged[0] == "POST /v1/completions 200"
    assert logged[-1].startswith("GET /") and "forged" in logged[-1] and logged[-1].endswith("401")


def test_a_port_in_use_is_one_line(checkpoint: Path) -> None:
    with process(checkpoint, "--port", 0) as (_, lines):
        port = address(lines).rpartition(":")[2]
        with process(checkpoint, "--port", port) as (second, said):
            assert second.wait(60) == 1
        assert len(said) == 1 and "in use" in said[0] and "--port" in said[0]


def test_other_machines_may_ask_only_if_asked_for_and_are_told_of(checkpoint: Path) -> None:
    with process(checkpoint, "--port", 0, "--host", "0.0.0.0") as (_, lines):
        url = address(lines)
        assert "other machines can ask" in lines[0] and "--api-key" in lines[0]
        assert httpx.get(f"{url}/health").status_code == 200
    with process(checkpoint, "--host", "no.such.name.invalid") as (server, lines):
        assert server.wait(60) == 2
    assert len(lines) == 1 and "--host 'no.such.name.invalid' is no address" in lines[0]
