"""PyTorch's side of a comparison, as a program (see `peers`). It is run by its path and imports
only PyTorch.

The network is what a user of PyTorch would write: nn.Embedding of H, nn.LSTM, nn.Linear; Adam,
fused, with clipping by norm.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

CLIP_NORM, LEARNING_RATE = 5.0, 1e-3
DRAWN = 256
"""Steps whose random numbers are drawn at once."""


@dataclass(frozen=True)
class Task:
    """What to measure, as in `measure.Shape`, and the size of the vocabulary."""

    task: str
    symbols: int
    layers: int
    hidden: int
    batch_size: int
    seq_length: int
    threads: int
    precision: str


def network(task: Task) -> tuple[list[Any], Callable[[str], Any]]:
    """The parameters of a network, and a function of its losses on a batch of random characters, by
    reduction. The state is carried from call to call.
    """
    V, H, N, T = task.symbols, task.hidden, task.batch_size, task.seq_length
    embedding, lstm = torch.nn.Embedding(V, H), torch.nn.LSTM(H, H, task.layers)
    decoder = torch.nn.Linear(H, V)
    x, y = torch.randint(0, V, (2, T, N))
    state: Any = None

    def losses(reduction: str) -> Any:
        nonlocal state
        with _precision(task.precision):
            outputs, after = lstm(embedding(x), state)
            scores = decoder(outputs).view(-1, V)
            loss = torch.nn.functional.cross_entropy(scores, y.view(-1), reduction=reduction)
        state = tuple(part.detach() for part in after)
        return loss

    return [*embedding.parameters(), *lstm.parameters(), *decoder.parameters()], losses


def training(task: Task) -> Iterator[int]:
    """Yields the number of characters trained on after each step."""
    parameters, losses = network(task)
    adam = torch.optim.Adam(parameters, LEARNING_RATE, fused=True)
    while True:
        loss = losses("mean")
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        adam.step()
        loss.item()
        yield task.seq_length * task.batch_size


def _precision(name: str) -> Any:
    """The context in which the network runs."""
    if name == "float32":
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def forward(task: Task) -> Iterator[int]:
    """Yields the number of characters read after each batch, with their losses."""
    _, losses = network(task)
    while True:
        losses("none")
        yield task.seq_length * task.batch_size


def sampling(task: Task) -> Iterator[int]:
    """Yields the number of characters written after each step of all streams.

    As fast as a loop over LSTM cells can be written: torch.lstm_cell is what nn.LSTMCell calls
    after its checks, which take up to a third of a step of one stream. A symbol is the largest of
    the logits plus Gumbel noise, made for many steps at once: cheaper than a softmax and
    torch.multinomial. A single stream's input is a precomputed row, so nothing is gathered.
    """
    V, H, N = task.symbols, task.hidden, task.batch_size
    cells = [tuple(torch.nn.LSTMCell(H, H).parameters()) for _ in range(task.layers)]
    decoder, table = torch.nn.Linear(H, V), torch.nn.Embedding(V, H).weight
    rows = [table[v : v + 1].clone() for v in range(V)]
    states = [(torch.zeros(N, H), torch.zeros(N, H)) for _ in cells]
    x = table[torch.zeros(N, dtype=torch.long)]
    while True:
        for noise in -torch.empty(DRAWN, N, V).exponential_().log_():
            for k, weights in enumerate(cells):
                states[k] = torch.lstm_cell(x, states[k], *weights)
                x = states[k][0]
            drawn = (
                torch.nn.functional.linear(x, decoder.weight, decoder.bias).add_(noise).argmax(1)
            )
            x = rows[drawn.item()] if N == 1 else table[drawn]
            yield N


TASKS = {"training": training, "forward": forward, "sampling": sampling}


def speed(steps: Iterator[int], seconds: float) -> float:
    """Characters per second, over about this many seconds of work."""
    done, start = 0, time.perf_counter()
    while True:
        done += next(steps)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed


def main() -> None:
    """Answer the lines of standard input."""
    task = Task(**json.loads(sys.stdin.readline()))
    torch.manual_seed(0)
    torch.set_num_threads(task.threads)
    steps = TASKS[task.task](task)
    answer("version", torch.__version__)
    with torch.inference_mode(task.task != "training"):
        for line in sys.stdin:
            answer("chars_per_second", speed(steps, json.loads(line)))


def answer(key: str, value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps({key: value}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
