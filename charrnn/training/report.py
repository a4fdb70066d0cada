"""What a step of training reports."""

from dataclasses import dataclass

from charrnn.training.recovery import FallBack


@dataclass(frozen=True)
class Report:
    """What one step did. Losses are in nats per character; this step trained on `characters` in
    `seconds`.

    `validation_loss` and `train_loss` (the mean since the last validation) are set after a
    validation, `sample` after a sample. `ended` says what ended the run with this step: "epochs",
    "steps", "patience" (validations without a new best) or "time". If `fell_back` is set, the step
    failed: the run is back at the earlier step `step`, whose smoothed loss and learning rate are
    given here, while `loss` and `gradient_norm` are those of the failed step, NaN if unknown.
    `overfitting` is true for at most one validation.
    """

    step: int
    total_steps: int
    epoch: float
    characters: int
    seconds: float
    loss: float
    smoothed_loss: float
    gradient_norm: float
    learning_rate: float
    validation_loss: float | None = None
    train_loss: float | None = None
    is_best: bool = False
    sample: str | None = None
    ended: str | None = None
    overfitting: bool = False
    fell_back: FallBack | None = None

    def __repr__(self) -> str:
        return f"Report(step {self.step:,} of {self.total_steps:,}, loss {self.loss:.4f})"

    @property
    def chars_per_second(self) -> float:
        """Training speed of this step."""
        return self.characters / self.seconds if self.seconds > 0 else 0.0
