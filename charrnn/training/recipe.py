"""The recipe: every setting of a run that is not given, from the text and the length of the run.

A network is as large as the text and the number of passes allow; the rate, the weight decay and the
dropout follow from its size and the passes. The figures were measured: docs/recipes.md. What the
clock has to say, `tuning.planning` says: it gives the units of a layer and the number of steps.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.network.parameters import parameter_count
from charrnn.optim.optimizers import coefficients_of
from charrnn.text.corpus import Corpus
from charrnn.text.streams import Streams, fit_batch_shape

WIDTHS = (32, 48, 64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024)
"""Units of a layer that are tried."""
REACH, LEAST_REACH = ((320, 2048), (64, 1024)), 128
"""How many characters attention looks back at, by the least units of a layer; smaller networks have
none. And the fewest that are worth it. In a run of few steps it looks back at no more characters
than there are steps: with more, a network relies on a memory that it has not learned to do without.
"""
ROUNDS = 5
"""Rounds of the Mogrifier, for a cell that may have them."""
READ_PER_PARAMETER = 5.0
"""Characters that a network reads in training for each of its parameters, at least: a larger one
would not get far enough.
"""
PARAMETERS_PER_CHARACTER = 3.0
"""Of the training text, at most: a larger network would overfit it."""
PASSES, LEAST_STEPS = 10.0, 1000
"""The length of a run for which none is given: passes over the text, and steps at least."""
MOST_PASSES, FEW_PARAMETERS = 40.0, 500_000
"""A text that has been read so often has no more to give, and to larger networks than this after
fewer passes.
"""
STREAMS, STEPS_A_PASS = 32, 50
"""Streams of a batch; fewer where a pass over the text would otherwise take fewer steps."""
FINE_TUNING_PASSES, FINE_TUNING_DROPOUT, FINE_TUNING_DECAY = 8.0, (0.1, 0.05), 0.2
"""For a network that starts from trained weights: most passes, dropout and input dropout, and the
share of the way back to those weights that it decays in a pass at the peak rate.
"""
MOST_DECAY = 1000.0
"""The largest weight decay that the setting allows; only tiny learning rates would need more."""
LEAST_MEMORY = 300
"""Steps within which weights forget, at least. With four thirds of a pass alone, a list of 1,500
names reached 1.257 nats instead of 1.170, 230,000 characters of plays (2 x 192 units, 33 passes)
1.393 instead of 1.331.
"""
MOST_NETWORKS = 8
"""How many networks learn one after another, at most."""
ENOUGH = {2: 0.2, 3: 0.45}
"""By the number of networks, the share of the passes after which a text has no more to give that
each of them must have time for; with less, fewer and larger networks do better.
"""
ENOUGH_FOR_MORE = 0.85
FEW_PASSES = 14.0
"""SOAP learns more than AdamW in a run of few passes, and overfits sooner in many."""
HELD = 0.1
"""Share of the run before the learning rate falls."""
WARM_UP_STEPS = 100
_OF_ITS_OWN = [
    *["steps", "epochs", "pace", "networks", "precision", "parts"],
    *["eval_every", "sample_every", "save_every"],
]
"""Settings that say how a run goes, not how the network learns."""
_OF_THE_RATE = "warmup", "decay_after", "weight_decay"
"""Settings that follow from the learning rate, the optimizer and the schedule."""
_OF_THE_SIZE = "embedding", "mogrifier"
"""Settings of a network that its number of parameters, and with that dropout, follows from. Whether
there are rounds follows from the embedding.
"""
TYPICAL_RATE, TYPICAL_WIDTH = 0.012, 128
"""Adam's rate for layers of this width."""


def resolve(
    corpus: Corpus,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    is_fine_tuning: bool = False,
) -> tuple[ModelConfig, TrainConfig]:
    """The two configurations with every setting that is None decided for this text. What is given
    stays. A batch too large for the text shrinks; `vocab_size` follows from the text.

    A network that starts from trained weights (`is_fine_tuning`) learns with smaller steps, in
    fewer passes, and decays towards the weights that it started from.
    """
    model = replace(model or ModelConfig(), vocab_size=len(corpus.vocab))
    training = training or TrainConfig()
    characters = len(corpus.train)
    shape = batch_shape(characters, training)
    training = replace(training, batch_size=shape[0], seq_length=shape[1])
    per_pass = Streams(corpus.train, *shape).steps
    in_a_row = unbroken(corpus, training)
    return _decided(model, training, characters, per_pass, in_a_row, is_fine_tuning)


def departures(
    model: ModelConfig,
    training: TrainConfig,
    characters: int,
    per_pass: int,
    *,
    has_documents: bool = False,
    is_fine_tuning: bool = False,
) -> dict[str, Value]:
    """The settings of a run that differ from the recipe's for a network of this cell and size and a
    run of this length, by name.

    characters: about as many as the training text has. per_pass: steps of a pass over it. With
        documents, whose length is unknown here, and in fine-tuning attention is what it is.
    """
    network = ModelConfig(model.vocab_size, model.cell, model.layers, model.hidden)
    if has_documents or is_fine_tuning:
        network = replace(network, attention=model.attention)
    streams, seq_length = batch_shape(characters, TrainConfig())
    length = TrainConfig(streams, seq_length, steps=training.planned_steps(per_pass))
    in_a_row = characters / (training.batch_size or streams)
    in_a_row = min(in_a_row, training.reset_every or in_a_row)
    about = characters, per_pass, in_a_row, is_fine_tuning
    usual = values_of(*_decided(network, length, *about))
    for name in _OF_THE_SIZE:
        usual[name] = getattr(_decided(network, length, *about)[0], name)
        network = replace(network, **{name: getattr(model, name)})
    same_rate = training.reopened(*_OF_THE_RATE)
    dropped, following = _decided(network, same_rate, *about)
    usual |= {name: getattr(dropped, name) for name in ("dropout", "input_dropout")}
    usual |= {name: getattr(following, name) for name in _OF_THE_RATE}
    return {
        name: value
        for name, value in values_of(model, training).items()
        if name not in _OF_ITS_OWN and not _is_near(value, usual[name])
    }


def _is_near(value: Value, usual: Value) -> bool:
    if isinstance(value, float) and isinstance(usual, float):
        return math.isclose(value, usual, rel_tol=0.05, abs_tol=0.01 * (usual > 0.01))
    return value == usual


def _decided(
    model: ModelConfig,
    training: TrainConfig,
    characters: int,
    per_pass: int,
    in_a_row: float,
    is_fine_tuning: bool,
) -> tuple[ModelConfig, TrainConfig]:
    """The configurations for a text of this length, with `per_pass` steps in a pass."""
    if training.steps is None and training.epochs is None:
        length = max(math.ceil(PASSES * per_pass), LEAST_STEPS)
        if is_fine_tuning:
            length = math.ceil(FINE_TUNING_PASSES * per_pass)
        training = replace(training, steps=length)
    steps = training.planned_steps(per_pass)
    passes = steps / per_pass
    model = with_rounds(model)
    if training.optimizer is None:
        training = replace(training, optimizer=optimizer_for(passes, is_fine_tuning))
    if model.hidden is None:
        model = replace(model, hidden=width_for(model, characters, in_a_row, lambda *_: passes))
    model = model.filled(attention=attention_for(model.hidden, min(in_a_row, steps)))
    count = parameter_count(model)
    drops = dropout_for(passes, count, characters), input_dropout_for(passes)
    if is_fine_tuning:
        drops = FINE_TUNING_DROPOUT
    model = model.filled(dropout=drops[0], input_dropout=drops[1]).resolved()
    training = training.filled(
        warmup=min(WARM_UP_STEPS, steps // 20),
        decay_after=min(1e9, round(HELD * passes, 6)) if training.schedule == "cosine" else 0.0,
    )
    if training.precision == "auto":
        training = replace(training, precision="float32")
    training = training.filled(networks=1)
    if training.optimizer in ("adam", "adamw", "soap"):
        rate = learning_rate_for(model.hidden)
        rate = rate * fine_tuning_factor(training.batch_size) if is_fine_tuning else rate
        training = training.filled(learning_rate=round(rate, 6))
    rate = coefficients_of(training).learning_rate
    if training.optimizer in ("adamw", "soap") and rate > 0:
        decay = weight_decay_for(passes, rate, per_pass)
        if is_fine_tuning:
            decay = round(min(MOST_DECAY, FINE_TUNING_DECAY / (rate * per_pass)), 4)
        training = training.filled(weight_decay=decay)
    return model, training


def batch_shape(characters: int, training: TrainConfig) -> tuple[int, int]:
    """Streams and steps of a batch: those given, or as many streams as the text has enough for."""
    streams = training.batch_size or STREAMS
    while (
        training.batch_size is None
        and streams > 4
        and (characters < STEPS_A_PASS * streams * training.seq_length)
    ):
        streams //= 2
    streams = max(streams, training.parts)
    return fit_batch_shape(characters, streams, training.seq_length, training.parts)


def unbroken(corpus: Corpus, training: TrainConfig) -> float:
    """How many characters a network reads from one zero state to the next, on average: those of a
    document or, without documents, of a stream.
    """
    starts, characters = corpus.train_starts, len(corpus.train)
    streams, _ = batch_shape(characters, training)
    length = characters / max(streams, 1 if starts is None else len(starts))
    return min(length, training.reset_every or length)


def with_rounds(model: ModelConfig) -> ModelConfig:
    """The network with the recipe's rounds of the Mogrifier, unless it says how many."""
    return model.filled(mogrifier=ROUNDS if model.may_mogrify else 0)


def attention_for(width: int, most: float) -> int:
    """How far attention reaches: no further than `most`, which is what the network reads in a row,
    or the steps of a run with fewer; and nowhere if that is too short for names and phrases to come
    again, or the network is small.
    """
    reach = next((reach for least, reach in REACH if width >= least), 0)
    while reach > most:
        reach //= 2
    return reach if reach >= LEAST_REACH else 0


def width_for(
    model: ModelConfig,
    characters: int,
    in_a_row: float,
    passes: Callable[[int, int], float],
) -> int:
    """Units of a layer: the most with which the network does not overfit the text and reads enough
    of it. `passes(width, parameters)` is how often it reads the text; `in_a_row` as `unbroken`.
    """
    best = WIDTHS[0]
    for width in WIDTHS:
        reach = attention_for(width, in_a_row)
        count = parameter_count(replace(model, hidden=width).filled(attention=reach))
        read = passes(width, count) * characters
        if count > PARAMETERS_PER_CHARACTER * characters or read < READ_PER_PARAMETER * count:
            break
        best = width
    return best


def networks_for(share: Callable[[int], float]) -> int:
    """How many networks learn one after another, at most 8: as many as each can read the text often
    enough. `share(networks)` is the part of `most_passes_for` that each of them has time for.

    Networks that learn apart make different mistakes, so the mean of their predictions is better
    than each of them; but one larger network is better than two that have hardly begun.
    """
    for count in range(MOST_NETWORKS, 1, -1):
        if share(count) >= ENOUGH.get(count, ENOUGH_FOR_MORE):
            return count
    return 1


def most_passes_for(parameters: int, is_fine_tuning: bool = False) -> float:
    """Passes after which a text has no more to give: 40, and fewer for large networks, which
    remember more of each reading, and for networks that were trained before.
    """
    if is_fine_tuning:
        return FINE_TUNING_PASSES
    return MOST_PASSES * min(1.0, math.pow(FEW_PARAMETERS / parameters, 0.44))


def input_dropout_for(passes: float) -> float:
    """Share of the characters that are not seen: none in a first reading, a tenth where a text is
    read a dozen times or more.
    """
    return round(min(0.1, 0.008 * passes), 3) if passes > 2 else 0.0


def weight_decay_for(passes: float, rate: float, steps_a_pass: int) -> float:
    """AdamW's decay, such that weights forget within 12 / passes passes over the text, but not
    within less than four thirds or 300 steps.

    Measured in passes, this memory suits texts and batches of any size (Wang & Aitchison 2024);
    fewer steps would not be enough to learn from.
    """
    in_a_step = min(min(passes / 12, 0.75) / steps_a_pass, 1 / LEAST_MEMORY)
    return round(min(MOST_DECAY, in_a_step / rate), 4)


def dropout_for(passes: float, parameters: int, characters: int) -> float:
    """Share of a layer's outputs to drop, where the two above are not enough: in large networks
    that read a short text often.
    """
    often = passes * parameters / characters / 70
    return round(min(0.5, 0.1 * math.log2(often)), 2) if often > 1 else 0.0


def optimizer_for(passes: float, is_fine_tuning: bool = False) -> Literal["soap", "adamw"]:
    """SOAP for a run of few passes over the text; AdamW for others, and for a network that was
    trained before.
    """
    return "soap" if passes <= FEW_PASSES and not is_fine_tuning else "adamw"


def fine_tuning_factor(streams: int) -> float:
    """Share of the usual learning rate for a network that starts from trained weights. It grows
    with the root of the batch size (Malladi et al. 2022).
    """
    return min(1.0, 0.1 * math.sqrt(streams))


def learning_rate_for(width: int) -> float:
    """The peak of Adam's rate: wide layers want smaller steps."""
    return round(TYPICAL_RATE * math.sqrt(TYPICAL_WIDTH / max(width, 64)), 4)
