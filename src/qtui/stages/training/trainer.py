"""TRL's SFT trainer, made to survive and to tell.

What is changed, and nothing else: the order of rows depends on seed and epoch alone; entropy and
token accuracy are not computed at each step; a loss or gradient that is not finite ends the run
before the optimiser sees it; checkpoints are complete or do not exist; a resumed adapter keeps
its type, so that the resumed run is the same computation; the evaluation loss is the mean over
tokens, whatever the batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute
import torch
from transformers import PrinterCallback, Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTTrainer
from trl.trainer.utils import add_fused_lm_head

from qtui.runs.events import CheckpointEvent, Phase
from qtui.stages.control import Control, StopNow
from qtui.stages.training import checkpoints, cpu_head, random_state
from qtui.stages.training.batching import Batching
from qtui.stages.training.journal import Journal
from qtui.stages.training.recovery import NonFiniteError

TRAINING_ARGS = "training_args.bin"
"""A pickle that the trainer leaves beside the weights; nothing needs it, so it is not kept."""


class LengthGroupedEpochs(LengthGroupedSampler):
    """Rows of like length together, in an order that depends on seed and epoch alone.

    The library's sampler draws from the global random state, which a resumed run does not have
    at the beginning of an epoch it did not begin. It also hands out each megabatch from its
    longest rows to its shortest, so that the last steps of a run see nothing but short rows; here
    the groups come in random order. The longest still comes first: if memory is too small for
    it, that shows at once.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        rows = list(super().__iter__())
        groups = [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        # The first holds the longest row, the last may be short of rows: they stay in place.
        order = [1 + at for at in torch.randperm(max(len(groups) - 2, 0), generator=self.generator)]
        shuffled = [*groups[:1], *(groups[at] for at in order), *groups[1:][-1:]]
        return itertools.chain.from_iterable(shuffled)


class SurvivingTrainer(SFTTrainer):
    """See the module's promises.

    Args:
        batching: how rows become batches.
        journal: where events go.
        control: what the world asks.
        checkpoint_folder: the run's `checkpoints/`.
        on_evaluated: called with the step after each evaluation, still outside training.
        refine: called with a staged checkpoint before it is sealed.
        keep: checkpoints kept.
    """

    def __init__(
        self,
        *,
        batching: Batching,
        journal: Journal,
        control: Control,
        checkpoint_folder: Path,
        on_evaluated: Callable[[int], None],
        refine: Callable[[Path], None],
        keep: int,
        **arguments: Any,
    ) -> None:
        self.batching = batching
        self.journal = journal
        self.control_requests = control
        self.checkpoint_folder = checkpoint_folder
        self.on_evaluated = on_evaluated
        self.refine = refine
        self.keep = keep
        self.evaluation_due = False
        self.checkpoint_size = 0
        self._eval_loss: list[torch.Tensor] = []
        self._eval_tokens: list[torch.Tensor] = []
        self._step_losses: list[torch.Tensor] = []
        self._boundary_state: random_state.RandomState | None = None
        super().__init__(**arguments)
        # Set here and not in TRL's arguments: there it goes only with packing, as TRL does not
        # know that our rows come cut to their length.
        self.data_collator.padding_free = batching.padding_free
        self.remove_callback(PrinterCallback)
        if not self.aux_loss_enabled:
            model = self.model
            base = model.get_base_model() if hasattr(model, "get_base_model") else model
            # The loss needs log-probabilities only; TRL's head also computes entropy and top-1.
            cpu_head.install()
            add_fused_lm_head(base, outputs=("log_probs",))

    # -- rows ------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(dataset)
        effective = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGroupedEpochs(effective, row_lengths(dataset), self.args.seed)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        batches, trained = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches and trained is not None:
            tokens = [_real_tokens(batch) for batch in batches]
            self.journal.count(torch.stack(tokens).sum(), trained)
        return batches, trained

    def _run_epoch(self, *arguments: Any, **keywords: Any) -> None:
        """Train nothing where nothing is left to train.

        The library looks at the number of steps only after it has taken one: a run that is taken
        up at its last step would take one too many.
        """
        if self.state.global_step >= self.state.max_steps or self.control.should_training_stop:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*arguments, **keywords)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both; a learning rate that was changed for the resumed run takes effect."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self.lr_scheduler is None:
            return
        peak = self.args.learning_rate
        if any(rate != peak for rate in self.lr_scheduler.base_lrs):
            self.lr_scheduler.base_lrs = [peak] * len(self.lr_scheduler.base_lrs)
            rates = [
                peak * factor(self.lr_scheduler.last_epoch)
                for factor in self.lr_scheduler.lr_lambdas
            ]
            self.lr_scheduler._last_lr = rates
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["initial_lr"], group["lr"] = peak, rate

    @property
    def to_be_continued(self) -> bool:
        """Whether steps, or an evaluation that is due, are left to a resumed run."""
        return self.state.global_step < self.state.max_steps or self.evaluation_due

    # -- loss ------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        if self.aux_loss_enabled:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not self.batching.padding_matters:
            # Rows are padded on the right: causal attention never looks at the padding behind it.
            # Without the mask, attention skips what lies above the diagonal.
            inputs = {name: value for name, value in inputs.items() if name != "attention_mask"}
        outputs = model(**{**inputs, "use_cache": False}, fused_lm_head=True)
        losses = -outputs.log_probs
        if self.args.loss_type == "dft":
            losses = losses * outputs.log_probs.exp().detach()
        trained = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        total = losses.sum()
        if not model.training:
            self._eval_loss.append(total.detach().float())
            self._eval_tokens.append(outputs.label_mask.sum())
        loss = total / torch.as_tensor(trained).clamp(min=1)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *arguments: Any, **keywords: Any) -> Any:
        loss = super().training_step(*arguments, **keywords)
        self._step_losses.append(loss.detach())
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        loss = torch.stack(self._step_losses).sum()
        self._step_losses.clear()
        # With float16 an infinite gradient is part of the method: the scaler skips that step.
        scaled = self.accelerator.scaler is not None
        finite = torch.isfinite(loss)
        if norm is not None and not scaled:
            finite = finite & torch.isfinite(torch.as_tensor(norm, device=loss.device))
        if not bool(finite):
            step = self.state.global_step + 1
            what = "loss" if not bool(torch.isfinite(loss)) else "gradient"
            raise NonFiniteError(
                f"the {what} is not finite at step {step}; the weights of step {step - 1} "
                "were not touched",
                remedy="qtui runs resume with --set training.learning_rate=… goes on from the "
                "last checkpoint; a rate of a third, or a lower training.max_grad_norm, usually "
                "helps, and so does a look at the rows of that step",
            )
        return norm

    # -- evaluation ------------------------------------------------------------------------

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:
        self.evaluation_due = True
        self.journal.phase(Phase.EVALUATING)
        with self.journal.pause(), random_state.untouched():
            metrics: dict[str, float] = super().evaluate(*arguments, **keywords)
            self.on_evaluated(self.state.global_step)
        self.evaluation_due = False
        self.journal.phase(Phase.TRAINING)
        return metrics

    def _evaluate(
        self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False
    ) -> dict[str, float]:
        metrics: dict[str, float] = super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)
        if skip_scheduler:
            # Made up for at a resume: the library looks for the best one only inside the loop.
            self._determine_best_metric(metrics=metrics, trial=trial)
        return metrics

    def evaluation_loop(self, *arguments: Any, **keywords: Any) -> EvalLoopOutput:
        self._eval_loss.clear()
        self._eval_tokens.clear()
        output = super().evaluation_loop(*arguments, **keywords)
        if self._eval_tokens:
            tokens = torch.stack(self._eval_tokens).sum().clamp(min=1)
            prefix = keywords.get("metric_key_prefix", "eval")
            output.metrics[f"{prefix}_loss"] = (torch.stack(self._eval_loss).sum() / tokens).item()
        return output

    # -- checkpoints -----------------------------------------------------------------------

    def remember_boundary(self) -> None:
        """Keep what a step's end leaves: a stop inside the next step saves this one."""
        self.journal.step_done()
        self._boundary_state = random_state.capture()

    def return_to_boundary(self) -> None:
        """Undo what an unfinished step did to the random state and the counts."""
        self.journal.step_undone()
        if self._boundary_state is not None:
            random_state.restore(self._boundary_state)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Stage, seal and announce a checkpoint; then let go of the oldest."""
        step = self.state.global_step
        staging = Path(self.args.output_dir)
        with self.journal.pause(), self.control_requests.shielded():
            checkpoints.tidy(self.checkpoint_folder)
            checkpoints.require_space(self.checkpoint_folder, self.checkpoint_size)
            staging.mkdir(parents=True)
            try:
                Trainer._save_checkpoint(self, model, trial)
                folder = staging / f"checkpoint-{step}"
                (folder / TRAINING_ARGS).unlink(missing_ok=True)
                self.refine(folder)
                self.journal.settle()
                target, manifest = checkpoints.complete(
                    folder,
                    self.checkpoint_folder,
                    step=step,
                    epoch=self.state.epoch,
                    trained_tokens=self.journal.trained_tokens,
                    num_tokens=self.journal.num_tokens,
                    evaluate=self.evaluation_due,
                )
            except Exception as error:
                written = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
                needed = max(self.checkpoint_size, written)
                checkpoints.tidy(self.checkpoint_folder)
                if checkpoints.is_disk_full(error):
                    raise checkpoints.disk_full(self.checkpoint_folder, needed) from error
                raise
            checkpoints.tidy(self.checkpoint_folder)
            self.checkpoint_size = manifest.size
            self.journal.log.write(
                CheckpointEvent(
                    step=step,
                    path=f"{self.checkpoint_folder.name}/{target.name}",
                    size=manifest.size,
                    metrics=_last_values(self.state.log_history, step),
                )
            )
            checkpoints.rotate(
                self.checkpoint_folder,
                keep=self.keep,
                saved_step=step,
                best_step=self.state.best_global_step,
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights and keep each parameter's type.

        PEFT loads an adapter as float32 where the first run trained bfloat16: another computation.
        """
        target = self.model if model is None else model
        types = {name: p.dtype for name, p in target.named_parameters() if p.requires_grad}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in target.named_parameters():
            if name in types and parameter.dtype != types[name]:
                parameter.data = parameter.data.to(types[name])

    def save_stopped(self) -> None:
        """A checkpoint of the last finished step, from outside the training loop."""
        self.return_to_boundary()
        self._save_checkpoint(self.model, None)

    def prediction_step(self, *arguments: Any, **keywords: Any) -> Any:
        if self.control_requests.stopped():
            raise StopNow
        return super().prediction_step(*arguments, **keywords)


def row_lengths(dataset: Any) -> list[int]:
    """Tokens of each row, from Arrow's offsets: reading every row would take minutes and gigabytes.

    Args:
        dataset: a `datasets.Dataset` with the column input_ids.
    """
    column = dataset.select_columns("input_ids").with_format("arrow")[:]["input_ids"]
    lengths: list[int] = pyarrow.compute.list_value_length(column).to_pylist()
    return lengths


def _real_tokens(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Tokens of a batch without padding, as a 0-d tensor on the batch's device."""
    if "attention_mask" in batch:
        return batch["attention_mask"].sum()
    return torch.tensor(batch["input_ids"].numel(), device=batch["input_ids"].device)


def _last_values(history: list[dict[str, Any]], step: int) -> dict[str, float | None]:
    """Loss and eval loss last logged at `step` or before."""
    values: dict[str, float | None] = {}
    for line in history:
        for name in ("loss", "eval_loss"):
            if name in line and line["step"] <= step:
                values[name] = float(line[name])
    return values
