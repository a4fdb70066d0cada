"""The names of a network's tensors in a file.

A tensor has PyTorch's name only if PyTorch's module, loaded with it, computes the same as charrnn:
torch.nn.LSTM, torch.nn.GRU and torch.nn.RNN for plain networks of the cells below,
torch.nn.Embedding for `embedding`, and torch.nn.Linear for `decoder`, unless it reads several
layers (`skip`). All others have charrnn's names, so that no module misreads them.
docs/checkpoints.md shows how to run each kind in PyTorch.
"""

import re

from charrnn.config import ModelConfig

TORCH_MODULES = {
    ("lstm", "tanh"): "LSTM",
    ("gru-after", "tanh"): "GRU",
    ("rnn", "tanh"): "RNN",
    ("rnn", "relu"): "RNN",
}
"""Cell and activation -> the module of torch.nn that computes it."""
OWN_NAMES = {
    "weight_ih": "weight_x",
    "weight_hh": "weight_h",
    "bias_ih": "bias",
    "bias_hh": "bias_h",
    "peephole": "peephole",
}


def torch_module(config: ModelConfig) -> str | None:
    """The module of torch.nn that computes a network's recurrent layers, or None."""
    differs = config.layer_norm or config.residual or config.skip or config.mogrifier
    if differs or config.zoneout_h or config.zoneout_c:  # zoneout acts in evaluation too
        return None
    return TORCH_MODULES.get((config.cell, config.activation))


def file_name(name: str, config: ModelConfig) -> str:
    """The name in a file of the tensor called `name` in `network.parameters`."""
    if name == "decoder.weight" and config.skip:
        return f"decoder.weight_l{config.layers - 1}"
    if not name.startswith("rnn.") or torch_module(config):
        return name
    layer = re.fullmatch(r"rnn\.(\w+)_l(\d+)", name)
    return (
        f"layers.{layer[2]}.{OWN_NAMES.get(layer[1], layer[1])}"
        if layer
        else name.removeprefix("rnn.")
    )
