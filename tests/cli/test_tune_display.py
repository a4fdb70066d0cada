"""What `charrnn tune` prints of its result, without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from charrnn.cli.tune_display import print_tuned, unseen_text
from charrnn.tuning.trials import Trial
from charrnn.tuning.tuned import Tuned, Unseen


def trial(number: int, loss: float | None, ended: Any = "complete", **settings: Any) -> Trial:
    settings = {"learning_rate": 0.0123456, "cell": "gru"} | settings
    return Trial(number, settings, ended, 100, loss, 9, 100, 1.5, 5000.0, 2.0)


def tuned(*trials: Trial, unseen: Unseen | None = None, importance: Any = None) -> Tuned:
    best = trials[0] if trials[0].is_complete else None
    return Tuned(Path("x"), trials, best, {}, importance, unseen)


def test_how_far_the_best_is_from_the_recipe_is_said_as_it_is() -> None:
    both = trial(3, 1.5), trial(1, 1.6)
    clear = unseen_text(tuned(*both, unseen=Unseen(5000, 1.5, 1.75, 0.01)))
    assert clear == (
        "on 5,000 characters that tuning did not see: 1.5000 nats, 0.2500 better than the recipe's "
        "1.7500 (standard error 0.0100); another seed may differ by as much"
    )
    again = unseen_text(tuned(*both, unseen=Unseen(5000, 1.5, 1.75, 0.01, 2)))
    assert again.startswith("on 5,000 characters that tuning did not see, trained again from 2 ")
    assert again.endswith("the recipe's 1.7500 (standard error 0.0100)")
    chance = unseen_text(tuned(*both, unseen=Unseen(5000, 1.5, 1.51, 0.01)))
    assert chance.endswith("0.0100 better than the recipe's 1.5100 (standard error 0.0100); that "
                           "is no clear gain: the recipe will do")  # fmt: skip
    worse = unseen_text(tuned(*both, unseen=Unseen(5000, 1.6, 1.5, 0.01)))
    assert "0.1000 worse than the recipe's 1.5000" in worse and worse.endswith("; use the recipe")
    assert "what it gained is not known" in unseen_text(tuned(*both))
    recipe = tuned(trial(1, 1.5), trial(3, 1.6), unseen=Unseen(5000, 1.5, 1.5, 0.0))
    assert unseen_text(recipe).startswith("no trial was better than the recipe, which reaches 1.5")
    assert unseen_text(tuned(trial(1, None, "diverged"))) == "no trial came to its end"


def test_the_table_has_the_best_ten_and_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [trial(k, 1 + k / 10) for k in range(2, 14)] + [trial(1, 3.0)]
    trials += [trial(20, 2.0, "stopped"), trial(21, None, "diverged"), trial(22, None, "failed")]
    print_tuned(tuned(*trials, importance={"learning_rate": 0.75, "cell": 0.25}), "charrnn train x")
    shown = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in shown if line.strip()]
    assert rows[0] == ["trial", "loss", "(nats)", "rate", "cell", "passes", "chars/s"]
    assert [row[0] for row in rows[2:13]] == [*map(str, range(2, 12)), "1"]
    assert rows[2] == ["2", "1.2000", "0.0123", "gru", "1.5", "5,000"]
    assert "16 trials, 1 stopped early, 1 diverged, 1 failed" in shown
    assert "importance: rate 75%, cell 25%" in shown
    assert shown[-1] == "to train with the best: charrnn train x"
    print_tuned(tuned(*trials, unseen=Unseen(5000, 1.6, 1.5, 0.01)), "charrnn train x")
    assert "charrnn train" not in capsys.readouterr().out
