"""Supervised fine-tuning, from a run's frozen config to its adapter: the main path.

Read `train` from top to bottom: what the model will see is prepared and checked before any
weight is loaded; then base model, adapter, trainer, training, result. A run that has checkpoints
goes on from the newest complete one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import EarlyStoppingCallback

from qtui import __version__
from qtui.config.models import FineTuneConfig
from qtui.errors import InputError, QtuiError
from qtui.runs.events import ArtifactEvent, Phase, ResumedEvent
from qtui.runs.folder import Run
from qtui.stages.control import Control, StopNow
from qtui.stages.data.prepare import Prepared
from qtui.stages.training import (
    adapter,
    arguments,
    batching,
    checkpoints,
    hub,
    recovery,
    segments,
    trackers,
    weights,
)
from qtui.stages.training.callbacks import Boundary, Reporter
from qtui.stages.training.journal import Journal
from qtui.stages.training.model_rows import prepared_rows, require_rows
from qtui.stages.training.models import load_model, load_tokenizer, machine_for
from qtui.stages.training.outcome import Outcome, stop_message, summarise
from qtui.stages.training.samples import Prompt, answer
from qtui.stages.training.trainer import SurvivingTrainer
from qtui.system.estimate import decide_checkpointing
from qtui.system.host import memory
from qtui.system.shapes import shape_of


@dataclass(frozen=True)
class Past:
    """Earlier lives of a run, as its log tells them."""

    began: bool = False
    """Whether anything was measured or sampled yet."""
    sampled: bool = False
    """Whether the base model has answered the held-out prompts."""
    restarts: int = 0
    """How often it was begun anew for want of memory."""


def train(
    run: Run,
    config: FineTuneConfig,
    journal: Journal,
    control: Control,
    *,
    past: Past,
) -> Outcome:
    """Train as `config` says; returns how it ended.

    Args:
        config: the run's, with the overrides of earlier restarts in force.
        past: what the run's log says of earlier lives of it.

    Raises:
        QtuiError: what went wrong, and the way out.
        StopNow: the run was asked to stop where nothing is to be saved.
        Restart: memory ran out; a smaller batch is worth a try.
    """
    began = time.monotonic()
    _quiet()
    trackers.set_up(config.training.report_to, run)
    machine = machine_for(config.training.device)
    if not machine.is_cuda:
        journal.say("no GPU in use: this run trains on the CPU", "warning")

    path = base_model(config, journal, control)
    tokenizer = load_tokenizer(path, config.model)

    prepared = prepared_rows(run, config, path, tokenizer, journal, control)
    require_rows(config, prepared)

    journal.phase(Phase.LOADING_MODEL, config.model.model_name)
    checkpointing = _gradient_checkpointing(config, path, machine, journal)
    try:
        model, batches = _model(config, path, machine, journal)
        journal.phase(Phase.CONFIGURING_LORA, config.model.method)
        trainer = _trainer(
            run,
            config,
            machine,
            model,
            tokenizer,
            prepared,
            batches,
            checkpointing,
            journal,
            control,
        )
        resume_from = _resume(run, trainer, journal, past)
    except Exception as error:
        if recovery.is_out_of_memory(error):
            raise recovery.does_not_fit(config.model, error) from error
        raise

    # From here on there is something to keep: requests are answered at the boundaries of steps.
    control.shield()
    cut_short = False
    try:
        if resume_from is None or not past.sampled:
            # Also when it was stopped before: the adapter is still as it was made, adding nothing.
            trainer.on_evaluated(0)
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except StopNow:
        cut_short = True
    except Exception as error:
        if recovery.is_out_of_memory(error):
            raise _out_of_memory(config, past.restarts, checkpointing, error) from error
        raise
    if cut_short and control.stop is not None and control.stop.save:
        trainer.save_stopped()  # the step before the evaluation that was cut short
    summary = summarise(trainer, journal, config, path, machine, checkpointing, began)
    if cut_short or (control.stop is not None and trainer.to_be_continued):
        return Outcome("stopped", trainer.state.global_step, stop_message(run), summary)

    journal.phase(Phase.SAVING_ADAPTER)
    _save_result(trainer, run, config, path, journal)
    return Outcome("completed", trainer.state.global_step, _end_message(trainer), summary)


def _save_result(
    trainer: SurvivingTrainer, run: Run, config: FineTuneConfig, path: Path, journal: Journal
) -> None:
    """Write the adapter (or model) into the run, and where `training.output_dir` says."""
    step = _best_weights(trainer, run, config, journal)
    result = run.adapter if config.model.method != "full" else run.path / "model"
    try:
        size = adapter.save(
            trainer,
            result,
            base=_portable_name(config, path),
            local_base=path,
            revision=config.model.revision,
            provenance={
                "qtui": __version__,
                "run": run.id,
                "method": config.model.method,
                "step": step,
                "base_model": config.model.model_name,
                "base": weights.identity(path),
            },
        )
        journal.log.write(ArtifactEvent(kind=result.name, path=result.name, size=size))
        if config.training.output_dir:
            copied = adapter.copy_out(result, config.training.output_dir)
            journal.say(f"the result was also copied to {copied}")
    except Exception as error:
        if checkpoints.is_disk_full(error):
            raise checkpoints.disk_full(run.checkpoints, trainer.checkpoint_size) from error
        raise


def _end_message(trainer: SurvivingTrainer) -> str:
    state = trainer.state
    if state.global_step < state.max_steps:
        return (
            f"training is complete: the eval loss did not get better, so it ended at step "
            f"{state.global_step} of {state.max_steps}"
        )
    return "training is complete"


def _quiet() -> None:
    """No progress bars in the log, no caches outside the run."""
    datasets.disable_progress_bars()
    datasets.disable_caching()
    transformers.utils.logging.disable_progress_bar()


def base_model(config: FineTuneConfig, journal: Journal, control: Control) -> Path:
    """The folder of the base model, downloaded if need be, its files looked at."""
    path = hub.fetch(
        config.model.model_name,
        revision=config.model.revision,
        trust_remote_code=config.model.trust_remote_code,
        progress=lambda done, total: journal.progress("download", done, total, "bytes"),
        log=journal.say,
        stopped=control.stopped,
    )
    control.check()
    weights.check(path, trust_remote_code=config.model.trust_remote_code)
    if config.model.trust_remote_code:
        journal.say("trust_remote_code is on: Python code that came with the model runs", "warning")
    return path


def _gradient_checkpointing(
    config: FineTuneConfig, path: Path, machine: arguments.Machine, journal: Journal
) -> bool:
    """What the run file says; for auto, whether activations would fit without it."""
    setting = config.training.gradient_checkpointing
    if setting != "auto":
        return setting
    free = torch.cuda.mem_get_info()[0] if machine.is_cuda else memory().available
    device = "cuda" if machine.is_cuda else "cpu"
    try:
        decision = decide_checkpointing(config, shape_of(str(path)), device, free)
    except QtuiError as error:
        journal.say(f"gradient_checkpointing: auto → on; no estimate can be made: {error}")
        return True
    journal.say(
        "gradient_checkpointing: auto → "
        + ("on, to save memory" if decision else "off, activations fit")
    )
    return decision


def _model(
    config: FineTuneConfig, path: Path, machine: arguments.Machine, journal: Journal
) -> tuple[Any, batching.Batching]:
    """The base model, and how its rows become batches: decided, proved and said."""
    planned = batching.decide(config, path)
    segments.register()
    model = load_model(path, config.model, machine, attention=planned.attention)
    proved = batching.check(model, planned, config)
    if config.training.padding_free == "auto" and not config.training.packing:
        journal.say(
            "padding_free: auto → "
            + ("on" if proved.padding_free else f"off, rows are padded: {proved.reason}")
        )
    return model, proved


def _trainer(
    run: Run,
    config: FineTuneConfig,
    machine: arguments.Machine,
    model: Any,
    tokenizer: Any,
    prepared: Prepared,
    batches: batching.Batching,
    gradient_checkpointing: bool,
    journal: Journal,
    control: Control,
) -> SurvivingTrainer:
    """The trainer with everything that a run needs around it."""
    run.checkpoints.mkdir(exist_ok=True)
    checkpoints.tidy(run.checkpoints)
    has_validation = prepared.validation is not None and len(prepared.validation) > 0
    boundary = Boundary(journal, control, has_validation=has_validation)
    callbacks: list[Any] = [Reporter(journal), boundary]
    if config.training.early_stopping_patience is not None:
        callbacks.append(arguments.early_stopping(config.training))
    prompts = [
        Prompt(tuple(messages), reference)
        for messages, reference in prepared.sample_prompts[: config.evaluation.num_samples]
    ]
    base = _portable_name(config, Path(model.config._name_or_path))

    def show_samples(step: int) -> None:
        if step == 0 and prompts:  # on a slow machine this is the first thing that takes long
            journal.say(f"the base model answers {len(prompts)} held-out prompts, to compare with")
        answers = answer(
            trainer.model,
            tokenizer,
            prompts,
            max_new_tokens=config.evaluation.sample_max_new_tokens,
            max_prompt_tokens=config.training.max_seq_length,
            chat_template=prepared.chat_template,
            stopped=control.stopped,
        )
        for prompt, text in answers:
            journal.sample(step, prompt.text, text, prompt.reference)
        left_out = len(prompts) - len(answers)
        if left_out and not control.stopped():
            journal.say(
                f"{left_out} of {len(prompts)} samples left out: longer than max_seq_length, or "
                "too big for the memory",
                "warning",
            )

    trainer = SurvivingTrainer(
        journal=journal,
        control=control,
        checkpoint_folder=run.checkpoints,
        on_evaluated=show_samples,
        refine=lambda folder: adapter.name_base(
            folder, base, Path(model.config._name_or_path), config.model.revision
        ),
        keep=config.training.save_total_limit,
        model=model,
        args=arguments.sft_config(
            config,
            machine,
            output_dir=run.checkpoints / checkpoints.STAGING,
            gradient_checkpointing=gradient_checkpointing,
            has_validation=has_validation,
            run_name=run.id,
            batching=batches,
        ),
        batching=batches,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation if has_validation else None,
        processing_class=tokenizer,
        peft_config=arguments.lora_config(config.model),
        callbacks=callbacks,
    )
    boundary.trainer = trainer
    checkpoints.tidy(run.checkpoints)  # made by the trainer, empty until it is needed
    return trainer


def _resume(run: Run, trainer: SurvivingTrainer, journal: Journal, past: Past) -> Path | None:
    """The checkpoint to go on from, its counts and debts taken over; none for a fresh start."""
    last = checkpoints.newest(run.checkpoints)
    if last is None:
        if past.began:
            journal.log.write(ResumedEvent(step=0, reason="no checkpoint"))
            journal.say("there is no checkpoint to go on from: beginning at step 0")
        return None
    folder, manifest = last
    journal.trained_tokens = manifest.trained_tokens
    journal.num_tokens = manifest.num_tokens
    trainer.checkpoint_size = manifest.size
    trainer.args.eval_on_start = manifest.evaluate
    _restore_patience(trainer, folder)
    journal.log.write(ResumedEvent(step=manifest.step, reason="checkpoint"))
    journal.say(f"going on from the checkpoint of step {manifest.step}")
    return folder


def _restore_patience(trainer: SurvivingTrainer, folder: Path) -> None:
    """Give the early-stopping callback the count it had."""
    state = json.loads((folder / "trainer_state.json").read_text())
    saved: Mapping[str, Any] = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, EarlyStoppingCallback):
            callback.early_stopping_patience_counter = saved.get("attributes", {}).get(
                "early_stopping_patience_counter", 0
            )


def _out_of_memory(
    config: FineTuneConfig, restarts: int, gradient_checkpointing: bool, error: BaseException
) -> recovery.Restart | recovery.OutOfMemoryError:
    """What to do next: begin anew with a smaller batch, or give up with advice."""
    smaller = recovery.smaller_batch(config.training)
    if smaller is not None and restarts < recovery.MAX_RESTARTS:
        return recovery.Restart("out_of_memory", smaller)
    return recovery.gave_up(config.training, restarts, gradient_checkpointing, error)


def _best_weights(
    trainer: SurvivingTrainer, run: Run, config: FineTuneConfig, journal: Journal
) -> int:
    """Load the best checkpoint's weights when the run file asks for them; returns their step."""
    last: int = trainer.state.global_step
    best: int | None = trainer.state.best_global_step
    if not config.training.load_best_model_at_end or not best or best == last:
        return last
    folder = run.checkpoints / checkpoints.folder_name(best)
    if checkpoints.read(folder) is None:
        raise InputError(
            f"the best checkpoint, of step {best}, is damaged or gone",
            remedy=f"qtui runs resume {run.id} --set training.load_best_model_at_end=false",
        )
    trainer._load_from_checkpoint(str(folder))
    journal.say(f"the result is the checkpoint of step {best}, which has the lowest eval loss")
    return best


def _portable_name(config: FineTuneConfig, path: Path) -> str:
    """What to call the base model in the adapter's config: its hub id, else its folder."""
    name = config.model.model_name
    local = name.startswith("builtin:") or Path(name).exists()
    return str(path) if local else name
