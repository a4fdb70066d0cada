"""What `charrnn train` says when all networks of a run have been trained."""

from __future__ import annotations

import shlex
from contextlib import closing
from typing import TYPE_CHECKING

from charrnn.cli.terminal import json_text, loss_text, progress_bar, say

if TYPE_CHECKING:
    from charrnn.cli.options import Request
    from charrnn.text.corpus import Corpus
    from charrnn.training.run_folder import RunFolder


def show_together(folder: RunFolder, corpus: Corpus, request: Request) -> None:
    """Say how well the networks of a run predict together, and what to do next."""
    from charrnn.checkpoint.mixture import load_mixture
    from charrnn.checkpoint.start_states import StartStates
    from charrnn.evaluation.evaluate import evaluate
    from charrnn.runtime.threads import Workers
    from charrnn.text.documents import follows_separator
    from charrnn.training.loop import VALIDATED

    networks, path = load_mixture(folder.path), shlex.quote(str(folder.path))
    text, alone, loss = corpus.validation[:VALIDATED], list[float](), None
    if len(text) > 1:
        label = f"all {len(networks)} together"
        with (
            closing(Workers(request.threads)) as workers,
            progress_bar(label, unit="char", quiet=request.quiet) as bar,
        ):
            openings = []
            if follows_separator(corpus.validation_starts):
                openings = [StartStates.zero(n.model, corpus.separator_end) for n in networks]
            loss = evaluate(
                networks,
                text,
                starts=corpus.validation_starts,
                openings=openings,
                workers=workers,
                progress=bar,
            ).nats_per_char
        alone = [n.origin.loss for n in networks if n.origin.loss is not None]
    if request.as_json:
        about = {"run": str(folder.path), "networks": len(networks), "validation_loss": loss}
        print(json_text({**about, "alone": alone, "finished": True}), flush=True)
    if loss is not None:
        by_itself = f" (each alone {min(alone):.3f} to {max(alone):.3f})" if alone else ""
        say(f"{len(networks)} networks together: validation loss {loss_text(loss)}{by_itself}")
    if not request.quiet:
        say(f"see how the first one learned: charrnn report {path}")
    say(f"sample from all of them: charrnn sample {path}")
