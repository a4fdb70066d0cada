"""A server under load: clients that ask at once for a minute; errors, memory and latencies.

    python -m benchmarks.serve [--clients 50] [--seconds 60] [--json]     (a Python with the extra
    `serve` and httpx)

`charrnn serve` is a process of its own, with the bundled network (LSTM 2x160), and so are the
clients, on the same machine. Each client asks again as soon as it has its answer, with a prompt of
20 to 600 characters of the plays and other settings each time, for 20 to 200 characters. Of ten
requests, four are streams, one of which is left in the middle; one has a pattern to match; one asks
for three texts. First: how long a single client waits for the first word, its prompt growing by a
character each time, as on the page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
NETWORK, TEXT = ROOT / "checkpoints/plays.safetensors", ROOT / "data/plays.txt"
JSON = {"content-type": "application/json"}


class Load:
    """What the clients note."""

    def __init__(self, url: str) -> None:
        self.url, self.text = url, TEXT.read_text(encoding="utf-8")
        self.whole, self.first, self.errors = list[float](), list[float](), list[str]()
        self.characters = self.left = 0

    async def client(self, number: int, end: float) -> None:
        rng, count = random.Random(number), 0
        async with httpx.AsyncClient(timeout=120) as http:
            while time.perf_counter() < end:
                body = self.body(rng, count)
                start = time.perf_counter()
                try:
                    if body.get("stream"):
                        await self.stream(http, body, start, leaves=count % 10 == 3)
                    else:
                        answer = await http.post(f"{self.url}/v1/completions", json=body)
                        answer.raise_for_status()
                        self.whole.append(time.perf_counter() - start)
                        self.characters += answer.json()["usage"]["completion_tokens"]
                except Exception as error:
                    self.errors.append(f"{type(error).__name__}: {error}"[:200])
                count += 1

    def body(self, rng: random.Random, count: int) -> dict[str, Any]:
        size, place = rng.randrange(20, 600), rng.randrange(len(self.text) - 600)
        body: dict[str, Any] = {
            "prompt": self.text[place : place + size],
            "max_tokens": rng.randrange(20, 200),
            "temperature": rng.choice([0.0, 0.5, 0.8, 1.0]),
            "top_p": rng.choice([1.0, 0.9]),
            "top_k": rng.choice([0, 20]),
            "stream": count % 10 < 4,
        }
        if count % 10 == 4:
            body["match"] = "[A-Z]+:\\n.{10,60}[.!?]"
            body["max_tokens"] = 100
        if count % 10 == 5:
            body["n"] = 3
        return body

    async def stream(
        self, http: httpx.AsyncClient, body: dict[str, Any], start: float, leaves: bool
    ) -> None:
        is_first = True
        async with http.stream("POST", f"{self.url}/v1/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if '"error"' in line:
                    raise RuntimeError(line)
                if line.startswith("data: {") and is_first:
                    self.first.append(time.perf_counter() - start)
                    is_first = False
                    if leaves:
                        self.left += 1
                        return
                if line.startswith("data: {"):
                    self.characters += len(json.loads(line[6:])["choices"][0]["text"])
        self.whole.append(time.perf_counter() - start)


async def first_words(url: str, text: str) -> list[float]:
    """Seconds to the first piece for one client whose prompt grows."""
    seconds = []
    async with httpx.AsyncClient() as http:
        for size in range(1000, 1100):
            body = {"prompt": text[:size], "max_tokens": 32, "seed": 1, "stream": True}
            start = time.perf_counter()
            async with http.stream("POST", f"{url}/v1/completions", json=body) as answer:
                async for _ in answer.aiter_lines():
                    seconds.append(time.perf_counter() - start)
                    break
    return seconds


def memory_of(process: int) -> float:
    """Resident memory of a process, MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else float("nan")


async def measure(url: str, process: int, clients: int, seconds: float) -> dict[str, Any]:
    load = Load(url)
    alone = await first_words(url, load.text)
    memory = list[float]()
    end = time.perf_counter() + seconds

    async def watch() -> None:
        while time.perf_counter() < end:
            memory.append(memory_of(process))
            await asyncio.sleep(seconds / 12)

    await asyncio.gather(watch(), *(load.client(n, end) for n in range(clients)))
    await asyncio.sleep(0.5)
    async with httpx.AsyncClient() as http:
        left = (await http.get(f"{url}/health")).json()["texts"]
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": len(load.whole) + load.left,
        "left": load.left,
        "errors": len(load.errors),
        "kinds": sorted(set(load.errors))[:5],
        "characters_per_second": round(load.characters / seconds),
        "first_alone_ms": _quantiles(alone),
        "first_ms": _quantiles(load.first),
        "whole_ms": _quantiles(load.whole),
        "memory_mb": [round(each) for each in memory],
        "texts_at_the_end": left,
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    names = {"median": 50, "p95": 95, "p99": 99}
    return {name: round(float(np.percentile(seconds, q)) * 1000, 1) for name, q in names.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    words = [sys.executable, "-m", "charrnn", "serve", str(NETWORK), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stderr is not None
        try:
            while not (
                found := re.match(r"to write: (http://\S+)/", line := server.stderr.readline())
            ):
                assert line, "the server did not start"
            result = asyncio.run(measure(found[1], server.pid, options.clients, options.seconds))
        finally:
            server.terminate()
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['clients']} clients, {result['seconds']:g} s: {result['requests']:,} requests, "
          f"{result['errors']} errors {result['kinds'] or ''}, {result['left']} left early, "
          f"{result['characters_per_second']:,} characters/s")  # fmt: skip
    print("\n| milliseconds | median | p95 | p99 |\n|---|---|---|---|")
    for name, what in (
        ("first_alone_ms", "first word, one client alone"),
        ("first_ms", "first word"),
        ("whole_ms", "whole answer"),
    ):
        print(f"| {what} | " + " | ".join(f"{each:,.1f}" for each in result[name].values()) + " |")
    print(f"\nmemory of the server, MB: {result['memory_mb']}; "
          f"texts at the end: {result['texts_at_the_end']}")  # fmt: skip


if __name__ == "__main__":
    main()
