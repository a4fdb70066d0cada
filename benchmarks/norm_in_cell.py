"""Where layer normalisation belongs in a GRU, within the cell or behind it: by PyTorch, in equal
steps, to decide what to build.

    within    W_x x and W_h h' are normalised over all gates, with gains (Ba, Kiros & Hinton 2016,
    as they do in the LSTM) state     h' is normalised before the product W_h h' outputs   what a
    layer hands up is normalised: `--layer-norm`

The network and its training are those of `--for`: 2 layers, embedding 64, AdamW, warm-up, cosine,
clipping at 0.5.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm

from charrnn.tuning.planning import learning_rate_for, weight_decay_for

H, E, N, T = 128, 64, 32, 64


class Layer(nn.Module):
    """A GRU with the reset gate behind the product, as torch.nn.GRU."""

    def __init__(self, inputs: int, norm: str) -> None:
        super().__init__()
        self.norm = norm
        self.w_x, self.w_h = (
            nn.Parameter(torch.empty(3 * H, inputs)),
            nn.Parameter(torch.empty(3 * H, H)),
        )
        for weight in (self.w_x, self.w_h):
            for gate in weight.data.split(H):
                nn.init.xavier_uniform_(gate)
        self.b_x, self.b_h = nn.Parameter(torch.zeros(3 * H)), nn.Parameter(torch.zeros(3 * H))
        self.gain_x, self.gain_h = nn.Parameter(torch.ones(3 * H)), nn.Parameter(torch.ones(3 * H))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z_x, w_h, outputs = x @ self.w_x.T, self.w_h.T, []
        if self.norm == "within":
            z_x = layer_norm(z_x, (3 * H,)) * self.gain_x
        for z in (z_x + self.b_x).unbind(0):
            z_h = (layer_norm(h, (H,)) if self.norm == "state" else h) @ w_h
            if self.norm == "within":
                z_h = layer_norm(z_h, (3 * H,)) * self.gain_h
            z_h = z_h + self.b_h
            r, u = torch.sigmoid(z[:, : 2 * H] + z_h[:, : 2 * H]).chunk(2, 1)
            n = torch.tanh(z[:, 2 * H :] + r * z_h[:, 2 * H :])
            h = n + u * (h - n)
            outputs.append(h)
        y = torch.stack(outputs)
        return layer_norm(y, (H,)) if self.norm == "outputs" else y, h


class Network(nn.Module):
    """Embedding, two layers, decoder."""

    def __init__(self, symbols: int, norm: str) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(symbols, E))
        self.layers = nn.ModuleList([Layer(E, norm), Layer(H, norm)])
        self.decoder = nn.Linear(H, symbols)
        nn.init.xavier_uniform_(self.decoder.weight)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y, after = self.embedding[x], []
        for layer, h in zip(self.layers, states, strict=True):
            y, h = layer(y, h)
            after.append(h.detach())
        return self.decoder(y), after


def streams(ids: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """x and y (S, count)."""
    size = (len(ids) - 1) // count
    x, y = (torch.tensor(ids[i : i + count * size].reshape(count, size).T.copy()) for i in (0, 1))
    return x, y


def loss_of(norm: str, ids: np.ndarray, symbols: int, epochs: float, seed: int) -> float:
    """Nats a character on the last tenth, the state carried on 64 streams."""
    torch.manual_seed(seed)
    network, border = Network(symbols, norm), int(0.9 * len(ids))
    x, y = streams(ids[:border], N)
    per_epoch = -(-len(x) // T)
    steps, peak = round(epochs * per_epoch), learning_rate_for(H)
    weights = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay_for(epochs, peak, per_epoch)},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak)
    states = [torch.zeros(N, H)] * 2
    for step in range(steps):
        index = step % per_epoch
        if index == 0:
            states = [torch.zeros(N, H)] * 2
        a, b = len(x) * index // per_epoch, len(x) * (index + 1) // per_epoch
        for group in optimizer.param_groups:
            group["lr"] = (
                peak * min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / steps)) / 2
            )
        logits, states = network(x[a:b], states)
        loss = cross_entropy(logits.flatten(0, 1), y[a:b].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
    with torch.no_grad():
        x, y = streams(ids[border:], 64)
        states, total = [torch.zeros(64, H)] * 2, 0.0
        for a in range(0, len(x), T):
            logits, states = network(x[a : a + T], states)
            total += cross_entropy(
                logits.flatten(0, 1), y[a : a + T].flatten(), reduction="sum"
            ).item()
    return total / x.numel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = options.text.read_text(encoding="utf-8")
    symbols = {symbol: k for k, symbol in enumerate(sorted(set(text)))}
    ids = np.array([symbols[symbol] for symbol in text])
    for norm in ("none", "within", "state", "outputs"):
        for seed in options.seeds:
            print(
                f"{norm}, seed {seed}: "
                f"{loss_of(norm, ids, len(symbols), options.epochs, seed):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
