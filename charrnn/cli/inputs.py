"""Reading a text for a command, the kernels of a precision, and flags that must match a network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import flag_of
from charrnn.config import CorpusConfig, DynamicConfig, ModelConfig
from charrnn.config.fields import Value
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus


def precision_kernels(precisions: Collection[str], duration: str | None = None) -> list[str]:
    """Names of the extra kernels that training in these precisions needs, for `load_kernels`. With
    a duration, auto may become one that rounds.
    """
    asked = [name for name in ("bf16", "amx") if name in precisions]
    if not asked and ("auto" not in precisions or duration is None):
        return []
    from charrnn.network.arithmetic import check_precision, rounded_precision

    for name in asked:
        check_precision(name)
    rounded = rounded_precision()
    if "auto" in precisions and duration is not None and rounded is not None:
        asked.append(rounded)
    return [f"{name}-training" for name in dict.fromkeys(asked)]


def with_dynamic_kernels(config: DynamicConfig, characters: int = 0) -> DynamicConfig:
    """How a network learns from a text of this length, with the precision, whose kernels are
    loaded.
    """
    from charrnn.evaluation.dynamic import with_precision

    config = with_precision(config, characters)
    load_kernels(*precision_kernels([config.dynamic_precision]))
    return config


def optimizer_kernels(optimizers: Iterable[object]) -> list[str]:
    """Names of the kernels of these optimizers, for `load_kernels`; None stands for those among
    which the recipe chooses.
    """
    names = [
        name
        for asked in optimizers
        for name in (("adamw", "soap") if asked is None else (str(asked),))
    ]
    return list(dict.fromkeys(names))


def read_text(
    text: Sequence[str],
    config: CorpusConfig,
    quiet: bool = False,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    **options: Any,
) -> Corpus:
    """Read a text, with a progress bar if that takes long, and say what was left out of folders;
    other arguments as for `Corpus.read`.
    """
    from charrnn.compiler.compiling import LARGE_TEXTS
    from charrnn.text.corpus import Corpus
    from charrnn.text.reading import uses_kernels
    from charrnn.text.sources import find, summary

    if uses_kernels(find(text, validation, test).files, config):
        load_kernels(LARGE_TEXTS, quiet=quiet)
    with terminal.progress_bar("reading", quiet=quiet) as bar:
        corpus = Corpus.read(
            text, config, validation=validation, test=test, progress=bar, **options
        )
    if corpus.skipped and not quiet:
        terminal.say(f"left out: {terminal.one_line(summary(corpus.skipped))}")
    return corpus


def check_same(
    settings: Mapping[str, Value],
    config: CorpusConfig | ModelConfig,
    whose: str,
    free: tuple[str, ...] = (),
) -> None:
    """`ConfigError` if a given setting differs from this configuration and is not free to
    change.
    """
    for name, value in config.named_in(settings).items():
        if name not in free and value != getattr(config, name):
            raise ConfigError(
                f"{flag_of(name)} {value} does not match {whose}: there it is "
                f"{getattr(config, name)}; leave {flag_of(name)} out, or start a new run"
            )
