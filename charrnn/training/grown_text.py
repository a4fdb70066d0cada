"""Going on with a text that has grown at its end, such as a diary or a log.

Its streams and its parts are divided anew: the former validation part, at the old end, is partly
trained on from then on, and the losses before are no longer compared with.
"""

from dataclasses import replace

from charrnn.errors import CorpusError
from charrnn.text.corpus import Corpus, part_sizes
from charrnn.training.recovery import mark_good
from charrnn.training.run import Run


def growth(run: Run, corpus: Corpus) -> int:
    """How many characters a text has more than the run's, if it begins with all of that; else 0.

    The vocabulary, and texts in files for validation and testing, must be the run's.
    """
    parts = part_sizes(run.sources)
    if part_sizes(corpus.sources) != parts or corpus.vocab != run.vocab:
        return 0
    before = sum(source.characters for source in run.sources) - sum(parts.values())
    new = len(corpus) - sum(parts.values()) - before
    return new if new > 0 and corpus.sha256_of_first(before) == run.sha256 else 0


def take_up(run: Run, corpus: Corpus) -> None:
    """Let a run go on with a text that has grown: its streams start from a zero state at their
    places in the new text, and unless validation has files of its own, the best loss so far is
    forgotten.

    `CorpusError` for a text that has not grown, and for one whose documents would be drawn anew for
    validation, so that some that were trained on would be among them.
    """
    new, config = growth(run, corpus), corpus.config
    if not new:
        run.check_text(corpus)
        raise CorpusError("the text has not grown")
    if config.document_separator is not None and config.val_fraction + config.test_fraction > 0:
        raise CorpusError(
            f"the text has grown by {new:,} characters, and its documents would be drawn anew for "
            "validation; start a new run from this one's weights with `init_from` and another `out`"
        )
    run.sources, run.sha256 = corpus.sources, corpus.sha256
    run.steps_per_epoch = run.streams(corpus).steps
    run.check_text(corpus)
    run.state.reset()
    run.progress = replace(mark_good(run.progress), text_since=run.step)
    if "validation" not in part_sizes(corpus.sources):
        run.progress = replace(run.progress, best_loss=None, best_step=None)
