"""What `charrnn train` says when all networks of a run have been trained."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from charrnn.cli.terminal import json_text, loss_text, progress_bar, say
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.cli.options import Request
    from charrnn.text.corpus import Corpus
    from charrnn.training.run_folder import RunFolder


def show_together(folder: RunFolder, corpus: Corpus, request: Request) -> None:
    """Say how well the networks of a run predict together, and what to do next."""
    from charrnn.checkpoint.mixture import load_mixture
    from charrnn.runtime.threads import Workers
    from charrnn.text.vocab import NOUNS
    from charrnn.training.validation import validation_loss

    networks, path = load_mixture(folder.path), quoted(folder.path)
    with (
        closing(Workers(request.threads)) as workers,
        progress_bar(f"all {len(networks)} together", unit="char", quiet=request.quiet) as bar,
    ):
        loss = validation_loss(networks, corpus, workers, progress=bar)
    alone = [network.origin.loss for network in networks if network.origin.loss is not None]
    if request.as_json:
        about = {"run": str(folder.path), "networks": len(networks), "validation_loss": loss}
        print(json_text({**about, "alone": alone, "finished": True}), flush=True)
    if loss is not None:
        by_itself = f" (each alone {min(alone):.3f} to {max(alone):.3f})" if alone else ""
        text = loss_text(loss, NOUNS[corpus.vocab.unit])
        say(f"{len(networks)} networks together: validation loss {text}{by_itself}")
    if not request.quiet:
        say(f"see how the first one learned: charrnn report {path}")
    say(f"sample from all of them: charrnn sample {path}")
