"""What someone meant who typed a name that does not exist."""

import difflib
from collections.abc import Iterable

ALIASES = {
    **{"lr": "learning_rate", "bs": "batch_size", "wd": "weight_decay", "val_frac": "val_fraction"},
    **dict.fromkeys(("bptt", "block_size", "seq_len", "sequence_length"), "seq_length"),
    **dict.fromkeys(("rnn_size", "hidden_size", "hidden_dim", "units"), "hidden"),
    **dict.fromkeys(("num_layers", "n_layer", "n_layers"), "layers"),
    **dict.fromkeys(("n_embd", "wordvec_size", "embedding_size", "embedding_dim"), "embedding"),
    **dict.fromkeys(("rnn_type", "cell_type", "model"), "cell"),
    **dict.fromkeys(("grad_clip", "clip"), "clip_norm"),
    **dict.fromkeys(("max_epochs", "num_epochs", "n_epochs"), "epochs"),
    **dict.fromkeys(("max_iters", "max_steps", "iterations"), "steps"),
    **{"learning_rate_decay": "decay_rate", "checkpoint_dir": "out", "output": "out"},
    **dict.fromkeys(("start", "start_text", "primetext", "prompt"), "prime"),
    **{"temp": "temperature", "num_samples": "count", "n_samples": "count", "topk": "top_k"},
    **{"max_new_tokens": "length", "continue": "resume", "generate": "sample", "test": "eval"},
    **{"evaluate": "eval", "perplexity": "eval", "benchmark": "bench", "download": "data"},
}
"""Names in other programs, and ours."""


def meant(name: str, names: Iterable[str]) -> str | None:
    """The name among `names` that this one stands for or is most like; None if none is close.
    Underscores, dashes and capitals make no difference.
    """
    plain = {_plain(name): name for name in names}
    alias = ALIASES.get(_plain(name))
    if alias in plain:
        return plain[alias]
    near = difflib.get_close_matches(_plain(name), plain, 3)
    swapped = [known for known in near if sorted(known) == sorted(_plain(name))]
    return next((plain[known] for known in swapped + near), None)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about a wrong name; empty if no name is close."""
    near = meant(name, names)
    return "" if near is None else f"; did you mean {near}?"


def _plain(name: str) -> str:
    return name[:60].lower().lstrip("-").replace("-", "_")
