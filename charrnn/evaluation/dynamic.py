"""Dynamic evaluation: a network keeps learning from the text that it is scored on (Krause,
Kahembwe, Murray & Renals 2018).

The text is read in segments. Each one is first scored with the current weights and then used for
one step of gradient descent, so no character is predicted by weights that have seen it. The result
is not the loss of the trained network and should not be compared with one: it is the loss of a
network that also remembers the text in its weights.

Which rate is best depends on the network and on the text. So two copies learn, one slowly and one
fast. Beside them, plain counts of what came after which passages, in the text that the network was
trained on and in the one being read, know every phrase that is there twice. Whichever has predicted
better has more to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.config import DynamicConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.evaluate import (
    Evaluation,
    Progress,
    checked_text,
    members_of,
    mixed,
    preceded,
    read_by_each,
    using,
)
from charrnn.evaluation.learning import Reader, read, streams_of
from charrnn.evaluation.predictors import SPEEDS, Predictors
from charrnn.network.arithmetic import check_precision, rounded_precision
from charrnn.network.model import Models
from charrnn.network.parameters import Parameters
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions, resets
from charrnn.text.vocab import Unknown

SHORT = 20_000
"""For texts up to this length, which take seconds, the precision auto is float32: the result is
then the same on any machine.
"""


def evaluate_dynamic(
    model: Models | Mixture,
    ids: NDArray[Any],
    config: DynamicConfig | None = None,
    *,
    before: tuple[NDArray[Any], Positions | None] | None = None,
    counting: bool = True,
    squares: Sequence[Parameters | None] = (),
    starts: Positions | None = None,
    openings: Sequence[StartStates] = (),
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss, in nats per character, of a text that the network learns from while reading it. The
    model itself is not changed. Several models, or a `Mixture`, learn each by itself.

    After each segment, with mean loss E, a copy of the model, initially theta_0, is updated by

        theta += -s rate g / (r + 1) + min(s decay r, 1) (theta_0 - theta),   g = P dE/dtheta / d

    (equations 5 and 6 of the paper, which has no P: it makes independent what a weight reads, see
    `evaluation.decorrelation`). r is the root mean square of each weight's gradients over the
    training text, scaled to a mean of 1; it measures how sensitive the weight is. The scalar d
    scales r to the size of this text's gradients so far, so that a rate means nearly the same for
    networks of any size and segments of any length; g is clipped to a norm of 2 |r|.

    There are two copies of each model, with s = 1/2 and s = 2. With n for the models' weights w_n
    and p_ns for what their copies say, and q for what plain counts say (`evaluation.counts`), each
    of ten predictors has

        p(u) ~ q(u)^b prod_n p_ns(u)^((1 - b) w_n),   b in 0, 0.1, 0.2, 0.3, 0.5

    where a model that lacks a symbol leaves it to the others. The probability of a character is a
    mean of the predictors' with weights by their past losses (`kernels.trusting`).

    before: the ids of the text that the models were trained on, whose last 4 million characters are
        counted first, and the positions of its documents as in `starts`, or None.
    counting: without it, b is 0: what the networks say alone.
    squares: the squared values of r, one per model or None, as a `Trained` has them; a `Mixture`
        has those of its networks. Without them, r is 1 everywhere.
    ids, starts, openings: as in `evaluation.evaluate`.

    There is no dropout. With `dynamic_streams` above 1, the text is read as that many equal parts
    in parallel, each from a zero state; they share the weights, which learn from all parts at once.
    The result has the same bits on any number of threads. `ConfigError` if the weights diverge, if
    `squares` are those of another network, or if this machine lacks the precision.
    """
    config, members = config or DynamicConfig(), members_of(model)
    ids, targets = checked_text(model, ids, openings)
    if isinstance(model, Mixture):
        squares = squares or [network.squares for network in model]
    if squares and len(squares) != len(members):
        raise ConfigError(f"`squares` must be one per model, {len(members)}, not {len(squares)}")
    config = with_precision(config, targets)
    makers: list[Callable[[Workers], Reader]] = []
    for n, (member, own) in enumerate(zip(members, cycle(read_by_each(model, ids)))):
        about = squares[n] if squares else None, starts, openings[n] if openings else None, True
        makers += [partial(Reader, member, own, config, speed, *about) for speed in SPEEDS]
    (ids,), starts = preceded([ids], starts, openings[:1])
    if progress is not None:
        progress(0, targets)
    predictors = Predictors(model, streams_of(config, targets), counting, before)
    losses = np.empty(targets, np.float32)
    with using(workers) as threads:
        for readers in read(makers, threads, progress):
            places, found = predictors.losses(readers, ids, threads)
            losses[places] = found
    return mixed([losses])


def with_precision(config: DynamicConfig, characters: int) -> DynamicConfig:
    """The configuration with the precision of the products for a text of this length, not auto;
    `ConfigError` if this machine lacks the one that it asks for.
    """
    if config.dynamic_precision == "auto":
        rounded = rounded_precision() if characters > SHORT else None
        return replace(config, dynamic_precision=rounded or "float32")
    try:
        check_precision(config.dynamic_precision)
    except ConfigError as error:
        raise ConfigError(str(error).replace("`precision`", "`dynamic_precision`")) from None
    return config


@overload
def adapt(
    trained: Trained,
    text: str | bytes,
    config: DynamicConfig | None = ...,
    *,
    unknown: Unknown = ...,
    workers: Workers | None = ...,
    progress: Progress | None = ...,
) -> Trained: ...


@overload
def adapt(
    trained: Mixture,
    text: str | bytes,
    config: DynamicConfig | None = ...,
    *,
    unknown: Unknown = ...,
    workers: Workers | None = ...,
    progress: Progress | None = ...,
) -> Mixture: ...


def adapt(
    trained: Trained | Mixture,
    text: str | bytes,
    config: DynamicConfig | None = None,
    *,
    unknown: Unknown = "error",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Trained | Mixture:
    """The network, or the mixture, after it has read a text and learned from it, by the steps of
    `evaluate_dynamic`; the one that is passed stays as it is.

    The text is read from where texts start (`Trained.opening`), with its documents. unknown: how to
    treat characters that the vocabulary lacks, as in `Vocab.encode`. Errors as in
    `evaluate_dynamic`.
    """
    mixture = Mixture.of(trained)
    ids = mixture.vocab.encode(text, unknown)
    if not len(ids):
        lack = "has no character of the vocabulary" if text else "is empty"
        raise CorpusError(f"the text to learn from {lack}")
    # auto as for a short text: what is then written is the same on any machine
    config = with_precision(config or DynamicConfig(), 0)
    makers: list[Callable[[Workers], Reader]] = []
    pattern = mixture.corpus_config.document_separator
    starts = None if pattern is None else resets(ids, mixture.vocab, pattern)
    for n, network in enumerate(mixture):
        own = mixture.read_by(n, ids)
        about = network.squares, starts, network.opening, False
        makers.append(partial(Reader, network.model, own, config, 1.0, *about))
    with using(workers) as threads:
        for learned in read(makers, threads, progress):
            models = [reader.model for reader in learned]
    networks = [
        replace(network, model=model) for network, model in zip(mixture, models, strict=True)
    ]
    return networks[0] if isinstance(trained, Trained) else Mixture(networks, mixture.weights)
