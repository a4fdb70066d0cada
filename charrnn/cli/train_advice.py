"""The advice that `charrnn train` gives while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charrnn.reporting.advice import Advice
    from charrnn.text.corpus import Corpus
    from charrnn.training.report import Report
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder


class Adviser:
    """Finds what is wrong with a run, each kind of thing once, and records it in the run's folder,
    where `charrnn watch` reads it and a resumed run finds what was said.
    """

    def __init__(self, run: Run, corpus: Corpus, folder: RunFolder) -> None:
        self._run, self._corpus, self._folder = run, corpus, folder
        self._entries = folder.advice_until(run.step)
        self._has_begun = False

    def news(self, report: Report) -> list[Advice]:
        """What has not been said, after the first step, when the run is in its folder, and after
        validations.

        Gates and units are looked at after the first validation, the second, the fourth, the
        eighth, ... and the last, since that takes a part of a training step.
        """
        from charrnn.reporting.advice import advice

        if self._has_begun and report.train_loss is None:
            return []
        self._has_begun = True
        run, count = self._run, len(self._run.validations)
        looks = count & (count - 1) == 0 or run.is_finished
        said = {entry["kind"] for entry in self._entries}
        found = advice(run, self._corpus if looks else None)
        found = [each for each in found if each.kind not in said]
        if found:
            self._entries += [
                {"step": run.step, "kind": each.kind, "text": each.text} for each in found
            ]
            self._folder.write_advice(self._entries)
        return found
