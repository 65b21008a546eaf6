"""Which settings may change when a run is resumed, and how such changes are read.

A run's config is frozen, so that what came of it can be told from what was asked for. Open to
change is what a person has to change to get a run that ended badly to its end: how far a step
goes, how much is in memory at once, where it runs, how often it reports and saves. What is
learnt from, what is learnt and the course of the run (model, adapter, data, seed, length,
schedule, optimiser) is not: that is another run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtui.config.checking import check
from qtui.config.fields import by_key
from qtui.config.load import resolve_dict
from qtui.config.overrides import from_flags
from qtui.config.paths import ALWAYS_PATHS, absolute
from qtui.config.problems import ConfigError, Problem
from qtui.config.sources import Layer, Place, Setting

RESUMABLE: frozenset[str] = frozenset(
    {
        "training.batch_size",
        "training.gradient_accumulation_steps",
        "training.eval_batch_size",
        "training.learning_rate",
        "training.max_grad_norm",
        "training.gradient_checkpointing",
        "training.load_best_model_at_end",
        "training.early_stopping_patience",
        "training.early_stopping_threshold",
        "training.save_total_limit",
        "training.save_steps",
        "training.eval_steps",
        "training.logging_steps",
        "training.device",
        "training.dataloader_num_workers",
        "training.report_to",
        "training.output_dir",
        "evaluation.num_samples",
        "evaluation.sample_max_new_tokens",
    }
)
"""The settings that a resumed run may have other than its frozen config."""


def overrides(resolved: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Read `section.name=value` assignments for a run that goes on; returns key → JSON value.

    They are read as after `--set` in any command and checked together with `resolved`, the run's
    config as it is in force (see `merged`). Raises ConfigError with every problem: a setting that
    may not change, a wrong value, a combination that cannot be run.
    """
    given: dict[str, Setting] = {}
    problems: list[Problem] = []
    for found in from_flags(assignments):
        if isinstance(found, Problem):
            problems.append(found)
        elif found.key in RESUMABLE:
            given[found.key] = found
        else:
            sentence = "cannot change in a run that has begun"
            problems.append(Problem(found.place.file, None, None, found.key, sentence))
    if not given and not problems:
        return {}
    config, invalid = check(_settings(resolved) | given)
    if config is None or problems:
        raise ConfigError([*problems, *invalid], remedy=_remedy())
    values = resolve_dict(config)
    flat = {key: values[field.section][field.name] for key, field in by_key().items()}
    flat |= {
        key: path
        for key, path in absolute(flat, lambda _: Path.cwd()).items()
        if key in given and key in ALWAYS_PATHS
    }
    return {key: flat[key] for key in by_key() if key in given}


def effective_batch(
    resolved: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """Keep the rows of a step what they were; returns further overrides and a sentence, or "".

    A step's rows are batch_size times gradient_accumulation_steps. With another product the
    resumed run would learn in other steps and begin at another row of the data. Where batch_size
    alone was changed, accumulation makes up for it; where it cannot, the sentence warns.

    Args:
        resolved: the run's config as it is in force.
        overrides: what is to change in it, as `overrides` returns it.
    """
    steps = "training.gradient_accumulation_steps"
    training = resolved.get("training", {})
    batch, accumulated = training.get("batch_size"), training.get("gradient_accumulation_steps")
    if not isinstance(batch, int) or not isinstance(accumulated, int):
        return {}, ""
    rows = batch * accumulated
    batch = overrides.get("training.batch_size", batch)
    taken = batch * overrides.get(steps, accumulated)
    if taken == rows:
        return {}, ""
    if steps not in overrides and rows % batch == 0:
        kept = rows // batch
        return {
            steps: kept
        }, f"{steps} becomes {kept}, so that a step still learns from {rows} rows"
    sentence = (
        f"a step will learn from {taken} rows instead of {rows}: the run goes on at another place "
        f"in the data, with other steps; batch_size times gradient_accumulation_steps = {rows} "
        "keeps both"
    )
    return {}, sentence


def merged(
    resolved: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """A copy of the config `resolved` with `overrides` (dotted key → value) in force."""
    values = {section: dict(settings) for section, settings in resolved.items()}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = value
    return values


def _settings(resolved: Mapping[str, Any]) -> dict[str, Setting]:
    """The run's own settings; what this version does not know is left for the worker to refuse.

    They count as a preset's, so that a contradiction is told at the setting that was given now.
    """
    return {
        key: Setting(key, value, Layer.PRESET, Place("run.json"))
        for section, values in resolved.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if (key := f"{section}.{name}") in by_key()
    }


def _remedy() -> str:
    names = [key for key in by_key() if key in RESUMABLE]
    return f"a resumed run may change {', '.join(names)}; start a new run for the rest"
