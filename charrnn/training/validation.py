"""The validation loss that training shows."""

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.evaluation.evaluate import Progress, evaluate, members_of
from charrnn.network.model import Models, Panels
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import follows_separator

VALIDATED = 200_000
"""At most this many characters of the validation text are read in training; `charrnn eval` reads
all of it.
"""


def validation_loss(
    model: Models | Mixture,
    corpus: Corpus,
    workers: Workers,
    *,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> float | None:
    """The loss on the corpus's validation text with carried state, in nats per character; None if
    there is too little text. `model`, `panels` and `progress` as for `evaluate`.
    """
    text, starts = corpus.validation[:VALIDATED], corpus.validation_starts
    if len(text) < 2:
        return None
    if starts is not None:
        starts = starts[starts <= len(text)]
    openings = []
    if follows_separator(starts):
        openings = [StartStates.zero(each, corpus.separator_end) for each in members_of(model)]
    return evaluate(
        model,
        text,
        starts=starts,
        openings=openings,
        workers=workers,
        panels=panels,
        progress=progress,
    ).nats_per_char
