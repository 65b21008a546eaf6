"""What happens at the boundaries of a step: metrics out, requests in."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qtui.runs.events import Phase
from qtui.stages.control import Control
from qtui.stages.training.journal import Journal
from qtui.stages.training.trainer import SurvivingTrainer

_SUMMARY = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss")


class Reporter(TrainerCallback):
    """Writes metrics and progress as events."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.journal.phase(Phase.TRAINING, f"{state.max_steps} steps")
        self.journal.progress("train", state.global_step, state.max_steps)
        self.journal.start_window()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        values = {
            name: float(value)
            for name, value in (logs or {}).items()
            if isinstance(value, int | float) and name != "epoch"
        }
        if values and not any(name in values for name in _SUMMARY):
            self.journal.metrics(state.global_step, state.epoch, values)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.journal.progress("train", state.global_step, state.max_steps)


class Boundary(TrainerCallback):
    """Answers requests at the end of a step, or inside one when it is a long one.

    Also sees to it that a run ends with an evaluation and a checkpoint, that a checkpoint ends a
    line of metrics (so that a resumed run logs the same lines), and that the best step is kept.
    """

    trainer: SurvivingTrainer

    def __init__(self, journal: Journal, control: Control, *, has_validation: bool) -> None:
        self.journal = journal
        self.requests = control
        self.has_validation = has_validation

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.trainer.remember_boundary()
        self.requests.poll()
        if state.global_step >= state.max_steps:
            control.should_evaluate = self.has_validation
            control.should_save = True
        if self.requests.save_now:
            self.requests.save_now = False
            control.should_save = True
        # Whatever may become a checkpoint ends a line of metrics, also when the run is not stopped.
        if control.should_save or control.should_evaluate:
            control.should_log = True
        if self.requests.stop is not None:
            self.trainer.evaluation_due = control.should_evaluate
            control.should_log = True
            self._stop(control)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.requests.stop is not None:
            self.trainer.return_to_boundary()
            self._stop(control)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        best = state.best_metric if state.best_metric is not None else float("inf")
        if metrics.get("eval_loss", float("inf")) < best:
            control.should_save = True

    def _stop(self, control: TrainerControl) -> None:
        request = self.requests.stop
        assert request is not None
        control.should_training_stop = True
        control.should_evaluate = False
        control.should_save = request.save
        self.journal.phase(
            Phase.STOPPING, "saving a checkpoint" if request.save else "without saving"
        )
