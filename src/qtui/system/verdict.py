"""Whether a run fits into the memory that is free, and what to change when it does not.

Each suggestion is a change to the run file that was estimated again: one that is offered as
enough has its high end within what is free. They are tried in the order of what they cost the
result: first what only costs time, then what changes what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.system.estimate import Estimate, estimate
from qtui.system.sizes import gigabytes

_SHORTEST = 256
_SMALLEST_RANK = 8


class Suggestion(msgspec.Struct, frozen=True):
    """Settings to change (dotted key to value), what they save and whether they are enough."""

    settings: dict[str, Any]
    words: str
    saves: int
    high: int
    fits: bool

    @property
    def flags(self) -> str:
        """The change as command-line flags."""
        return " ".join(f"--set {key}={_yaml(value)}" for key, value in self.settings.items())


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`fits` when even the high end does; `tight` when the likely value does; else `no`."""

    result: str
    sentence: str
    spare: int
    """Free bytes less the high end; below 0 when it does not fit for sure."""
    suggestions: tuple[Suggestion, ...] = ()

    def __str__(self) -> str:
        return self.sentence


def verdict(needed: Estimate, free: int) -> Verdict:
    """Judge `needed` against `free` bytes; suggestions are given unless it surely fits."""
    spare = free - needed.high
    if spare >= 0:
        sentence = (
            f"fits with {gigabytes(spare)} to spare: {gigabytes(needed.likely)} likely, at most "
            f"{gigabytes(needed.high)} of {gigabytes(free)} free"
        )
        return Verdict(result="fits", sentence=sentence, spare=spare)
    suggestions = suggest(needed, free)
    advice = _advice(suggestions)
    if needed.likely <= free:
        sentence = (
            f"tight: {gigabytes(needed.likely)} likely, but up to {gigabytes(needed.high)} of "
            f"{gigabytes(free)} free; {advice}"
        )
        return Verdict(result="tight", sentence=sentence, spare=spare, suggestions=suggestions)
    sentence = (
        f"too big by {gigabytes(needed.likely - free)}: {gigabytes(needed.likely)} likely "
        f"({gigabytes(needed.low)} to {gigabytes(needed.high)}) of {gigabytes(free)} free; {advice}"
    )
    return Verdict(result="no", sentence=sentence, spare=spare, suggestions=suggestions)


def suggest(needed: Estimate, free: int) -> tuple[Suggestion, ...]:
    """Single changes that save something, then the first combination of them that fits.

    At most six. The combination is left out when a single change is enough by itself.
    """
    singles = []
    for change in _CHANGES:
        settings = change(needed.config, needed)
        if not settings:
            continue
        suggestion = _tried(needed, settings, free)
        if suggestion is not None:
            singles.append(suggestion)
    if any(single.fits for single in singles):
        return tuple(sorted(singles, key=lambda single: not single.fits)[:6])
    together = _combined(needed, free)
    return (*((together,) if together else ()), *singles[:5])


def _combined(needed: Estimate, free: int) -> Suggestion | None:
    """Changes taken one after the other, each as often as it helps, until all fits."""
    settings: dict[str, Any] = {}
    current = needed
    for change in _CHANGES:
        for _ in range(16):
            step = change(current.config, current)
            if not step:
                break
            changed = _changed(current, step)
            if changed.high >= current.high:
                break
            settings.update(step)
            current = changed
            if current.high <= free:
                return _suggestion(needed, settings, current, free)
    return None


def _tried(needed: Estimate, settings: Mapping[str, Any], free: int) -> Suggestion | None:
    changed = _changed(needed, settings)
    if changed.high >= needed.high:
        return None
    return _suggestion(needed, dict(settings), changed, free)


def _suggestion(
    needed: Estimate, settings: dict[str, Any], changed: Estimate, free: int
) -> Suggestion:
    words = ", ".join(f"{key}: {_yaml(value)}" for key, value in settings.items())
    return Suggestion(
        settings=settings,
        words=words,
        saves=needed.likely - changed.likely,
        high=changed.high,
        fits=changed.high <= free,
    )


def _changed(needed: Estimate, settings: Mapping[str, Any]) -> Estimate:
    """`needed` estimated again with `settings` (dotted keys) in place."""
    values = {name: dict(section) for name, section in needed.config.items()}
    for key, value in settings.items():
        section, name = key.split(".")
        values[section][name] = value
    config = FineTuneConfig.model_validate(values)
    wanted = config.training.gradient_checkpointing
    checkpointing = needed.gradient_checkpointing if wanted == "auto" else wanted
    return estimate(
        config, needed.shape, device=needed.device, gradient_checkpointing=checkpointing
    )


def _checkpoint(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    if needed.gradient_checkpointing:
        return {}
    return {"training.gradient_checkpointing": True}


def _smaller_batch(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    training = values["training"]
    batch, accumulation = training["batch_size"], training["gradient_accumulation_steps"]
    if batch < 2:
        return {}
    # The effective batch stays what it was, or grows by less than a batch where it is odd.
    half = batch // 2
    return {
        "training.batch_size": half,
        "training.gradient_accumulation_steps": -(-batch * accumulation // half),
    }


def _smaller_evaluation(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    training = values["training"]
    rows = training["eval_batch_size"]
    return {"training.eval_batch_size": 1} if rows and rows > training["batch_size"] else {}


def _eight_bit(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    light = ("paged_adamw_8bit", "adamw_8bit", "adafactor", "sgd")
    optim = values["training"]["optim"]
    if optim in light or (optim == "auto" and needed.device.startswith("cuda")):
        return {}
    return {"training.optim": "paged_adamw_8bit"}


def _quantise(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    model = values["model"]
    if not model["use_qlora"]:
        settings: dict[str, Any] = {"model.use_qlora": True}
        if model["full_finetuning"]:
            settings["model.full_finetuning"] = False
        return settings
    return {} if model["bnb_4bit_use_double_quant"] else {"model.bnb_4bit_use_double_quant": True}


def _fused_attention(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    if values["model"]["attn_implementation"] != "eager" or needed.shape.attention_softcap:
        return {}
    return {"model.attn_implementation": "sdpa"}


def _no_dropout(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    return {"model.lora_dropout": 0.0} if values["model"]["lora_dropout"] > 0 else {}


def _shorter(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    length = values["training"]["max_seq_length"]
    return {"training.max_seq_length": max(length // 2, _SHORTEST)} if length > _SHORTEST else {}


def _lower_rank(values: Mapping[str, Any], needed: Estimate) -> dict[str, Any]:
    rank, alpha = values["model"]["lora_rank"], values["model"]["lora_alpha"]
    if rank <= _SMALLEST_RANK or values["model"]["full_finetuning"]:
        return {}
    half = max(rank // 2, _SMALLEST_RANK)
    return {"model.lora_rank": half, "model.lora_alpha": alpha * half / rank}


_CHANGES: tuple[Callable[[Mapping[str, Any], Estimate], dict[str, Any]], ...] = (
    _checkpoint,
    _smaller_batch,
    _smaller_evaluation,
    _fused_attention,
    _eight_bit,
    _no_dropout,
    _quantise,
    _shorter,
    _lower_rank,
)


def _advice(suggestions: tuple[Suggestion, ...]) -> str:
    enough = [suggestion for suggestion in suggestions if suggestion.fits]
    if not enough:
        return "no setting makes it fit: take a smaller model or a larger GPU"
    return " or ".join(
        f"set {suggestion.words} (saves {gigabytes(suggestion.saves)})" for suggestion in enough[:2]
    )


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
