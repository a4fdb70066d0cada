"""A network's tensors under the names of the modules in its model.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.names import TORCH_MODULES, torch_module
from charrnn.checkpoint.trained import Trained
from charrnn.config import ModelConfig

Arrays = dict[str, NDArray[Any]]

OWN_NAMES = {
    "weight_ih": "input.weight",
    "bias_ih": "input.bias",
    "weight_hh": "recurrent.weight",
    "bias_hh": "recurrent.bias",
    "peephole": "peephole",
}
_ROUND = re.compile(r"weight_m(\d+)")
_LAYER = re.compile(r"rnn\.(\w+)_l(\d+)")


def layer_module(config: ModelConfig) -> str | None:
    """The module of torch.nn that computes one layer of the network, before its outputs are
    normalized; None if none does.
    """
    if config.zoneout_h or config.zoneout_c:  # zoneout acts in evaluation too
        return None
    if config.mogrifier:  # of the lowest layer alone, but one class is enough to read
        return None
    return TORCH_MODULES.get((config.cell, config.activation))


def tensors_for_torch(networks: Mixture) -> Arrays:
    """The state dict of model.py's network: float32 weights, and the start states: `start_h` (L, N,
    H), `start_c` for a cell that has c, and `start_ids` int64 (N,). Of several networks, those of
    the first have the prefix `members.0.`.
    """
    if len(networks) == 1:
        return _of_network(networks[0])
    return {
        f"members.{number}.{name}": array
        for number, network in enumerate(networks)
        for name, array in _of_network(network).items()
    }


def _of_network(trained: Trained) -> Arrays:
    config = trained.model.config
    arrays = dict(trained.model.parameters.to_disk())
    for name in [*arrays]:
        if layer := _LAYER.fullmatch(name):
            arrays |= _of_layer(config, layer[1], layer[2], arrays.pop(name))
    if config.attention:
        arrays["nearness"] = arrays.pop("attention.bias")
    if "rnn.memory.weight" in arrays:
        arrays["memory.weight"] = arrays.pop("rnn.memory.weight")
    if config.skip:
        below = [arrays.pop(f"decoder.weight_l{layer}") for layer in range(config.layers - 1)]
        arrays["decoder.weight"] = np.concatenate([*below, arrays["decoder.weight"]], axis=1)
    starts = trained.opening
    for name in "hc" if has_c(config) else "h":
        arrays[f"start_{name}"] = getattr(starts.state, name)[..., : config.hidden]
    arrays["start_ids"] = starts.ids.astype(np.int64)
    return {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}


def has_c(config: ModelConfig) -> bool:
    """True if a cell carries c besides h: a memory, or the clock of `clockwork`."""
    return config.cell not in ("gru", "gru-after", "rnn")


def _of_layer(
    config: ModelConfig, kind: str, layer: str, array: NDArray[np.float32]
) -> Mapping[str, NDArray[np.float32]]:
    """One of a layer's tensors under its new name, or in two parts."""
    if layer_module(config):
        stem = f"rnn.{{}}_l{layer}" if torch_module(config) else f"layers.{layer}.{{}}_l0"
        named = {stem.format(kind): array}
        if kind == "bias_ih" and config.cell != "gru-after":  # PyTorch has a second bias
            named[stem.format("bias_hh")] = np.zeros_like(array)
        return named
    if kind == "weight_hh" and config.cell == "gru":
        gates, candidate = np.split(array, [2 * config.hidden])
        return {
            f"layers.{layer}.gates.weight": gates,
            f"layers.{layer}.candidate.weight": candidate,
        }
    if of_round := _ROUND.fullmatch(kind):
        return {f"layers.{layer}.rounds.{int(of_round[1]) - 1}.weight": array}
    return {f"layers.{layer}.{OWN_NAMES[kind]}": array}
