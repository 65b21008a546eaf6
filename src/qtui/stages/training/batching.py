"""Whether the rows of a batch are laid end to end or padded to one length, and who attends to them.

Laid end to end (padding-free), no position is wasted; but rows must not see each other. Where a
model's config says that they cannot, it is done; `check` then proves it on the loaded model with
three short rows, because a config does not say everything (OPT, for one, hides the borders of its
rows from transformers' mask). Padded rows are batched by length, so that little is wasted; rows
laid end to end come in random order, which learns better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from qtui.config.models import FineTuneConfig, TrainingConfig
from qtui.errors import InputError
from qtui.stages.training.models import evaluation_mode, load_config
from qtui.stages.training.segments import SEGMENTS

TOLERANCE = 0.1
"""How far a token's logits may lie from those of its row alone, as a share of their length.
Seen on two dozen architectures: 0.007 in bfloat16 where rows are apart, 0.2 and more where not."""

_SHORT_ROWS = (24, 9, 17)
_WINDOWED = ("sliding_attention", "chunked_attention")


@dataclass(frozen=True)
class Batching:
    """How rows become batches."""

    padding_free: bool
    """Rows are laid end to end; else padded on the right."""
    attention: str | None
    """The kernel to load the model with; none leaves it to transformers."""
    padding_matters: bool = False
    """Whether the model must be told which positions are padding."""
    reason: str = ""
    """Why rows are padded though the run file leaves it open."""

    def sampling(self, wanted: str) -> str:
        """The order of rows, where the run file leaves it open: see the module's docstring."""
        if wanted != "auto":
            return wanted
        return "random" if self.padding_free else "group_by_length"


def decide(config: FineTuneConfig, path: Path) -> Batching:
    """How to batch for the model in `path`, from its config alone.

    Raises:
        InputError: the run file asks for what this model cannot do.
    """
    model, training = config.model, config.training
    wanted, kernel = training.padding_free, model.attn_implementation
    shape = load_config(path, model)
    code = _code(shape, own_code=model.trust_remote_code)
    mixed = _why_rows_mix(shape, code)
    ours = _why_not_ours(shape, code, training.max_seq_length)
    own = SEGMENTS if kernel is None and mixed is None and ours is None else kernel
    # Causal attention never looks at padding behind a row. A model that is more than that, or
    # that is not known, gets the mask.
    plain = mixed is None and code is not None and shape.get_text_config() is shape
    padded = Batching(False, kernel, padding_matters=not plain)
    flat = Batching(True, own, padding_matters=not plain)
    if training.packing:
        if mixed is not None:
            raise _refused("training.packing", model.model_name, mixed)
        return flat
    if wanted is True:
        if mixed is not None:
            raise _refused("training.padding_free", model.model_name, mixed)
        if own is None:
            knows = "or name a kernel in model.attn_implementation that can, such as sdpa"
            raise _refused("training.padding_free", model.model_name, str(ours), knows)
        return flat
    if wanted is False:
        return padded
    reason = mixed or _why_left_alone(training, kernel) or (ours if kernel is None else None)
    return flat if reason is None else replace(padded, reason=reason)


def check(model: Any, batching: Batching, config: FineTuneConfig) -> Batching:
    """`batching`, if short rows laid end to end give what they give alone; else with padding.

    Raises:
        InputError: they do not, and the run file leaves no choice.
    """
    if not batching.padding_free:
        return batching
    error, mixed = crossing(model)
    if error <= min(TOLERANCE, mixed / 4):
        return batching
    reason = f"rows laid end to end change its answers by {error:.0%}"
    for name in ("packing", "padding_free"):
        if getattr(config.training, name) is True:
            raise _refused(f"training.{name}", config.model.model_name, reason)
    if batching.attention == SEGMENTS:
        model.set_attn_implementation("sdpa")
    kernel = config.model.attn_implementation
    return replace(batching, padding_free=False, attention=kernel, reason=reason)


def crossing(model: Any) -> tuple[float, float]:
    """How far rows laid end to end are from each alone, and from one row that sees everything.

    Both are relative distances of the logits of all rows after the first.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [
        ((torch.arange(length) * 7919 + 31 * length) % vocabulary).tolist()
        for length in _SHORT_ROWS
    ]
    flat = flattened(rows)
    joined = {"input_ids": flat["input_ids"]}
    with evaluation_mode(model):
        alone = torch.cat([_logits(model, {"input_ids": torch.tensor([row])}) for row in rows])
        together, mixed = _logits(model, flat), _logits(model, joined)
    later = slice(_SHORT_ROWS[0], None)
    return (
        float((together - alone)[later].norm() / alone[later].norm()),
        float((mixed - alone)[later].norm() / alone[later].norm()),
    )


def flattened(rows: Sequence[list[int]]) -> dict[str, Any]:
    """`rows` of token ids laid end to end, as the trainer's collator does it, without labels."""
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch: dict[str, Any] = collate([{"input_ids": row} for row in rows])
    del batch["labels"]
    return batch


def _logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    there = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
    logits: torch.Tensor = model(**there, use_cache=False).logits
    return logits[0].float()


def _code(config: Any, *, own_code: bool) -> Any:
    """transformers' class for the model; none where it runs on other code.

    Args:
        own_code: whether code that comes with the model runs.
    """
    if own_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        return None
    known = type(config) in AutoModelForCausalLM._model_mapping
    return AutoModelForCausalLM._model_mapping[type(config)] if known else None


def _why_rows_mix(config: Any, code: Any) -> str | None:
    """Why one row could see another whatever the kernel; none where only attention could."""
    text = config.get_text_config()
    if code is not None and code._is_stateful:
        return "it carries a state from token to token"
    types = set(getattr(text, "layer_types", None) or ())
    other = sorted(types - {"full_attention", *_WINDOWED})
    if other:
        return f"it has layers of the type {', '.join(other)}"
    return None if _is_causal(text) else "its attention looks ahead"


def _why_not_ours(config: Any, code: Any, max_length: int) -> str | None:
    """Why `segments` would not be the model's own attention; none where it is."""
    text = config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        size = getattr(text, name, None)
        if size is not None and size < max_length and _uses_window(text):
            return f"it attends to the last {size} tokens only ({name})"
    if getattr(text, "attn_logit_softcapping", None) is not None:
        return "it caps its attention scores (attn_logit_softcapping)"
    if text is not config:
        return "it is more than a text model"
    if code is None:
        return "its code is not part of transformers"
    if not (code._supports_sdpa and code._supports_attention_backend):
        return "transformers has no sdpa attention for it"
    return None


def _uses_window(config: Any) -> bool:
    types = getattr(config, "layer_types", None)
    if types is not None:
        return any(kind in _WINDOWED for kind in types)
    return bool(getattr(config, "use_sliding_window", True))


def _why_left_alone(training: TrainingConfig, kernel: str | None) -> str | None:
    """Why the run file's other settings speak for padding; none where they do not."""
    if training.neftune_noise_alpha is not None:
        return "NEFTune scales its noise by the length of a row"
    if kernel is not None and not kernel.startswith("flash"):
        return f"model.attn_implementation is {kernel}, which needs a mask over the whole batch"
    return None


def _is_causal(config: Any) -> bool:
    return getattr(config, "is_causal", True) is not False and not getattr(
        config, "use_bidirectional_attention", False
    )


def _refused(setting: str, model: str, reason: str, way_out: str = "") -> InputError:
    return InputError(
        f"{setting} is true, but {model} cannot keep rows apart: {reason}",
        remedy="; ".join(filter(None, (f"leave {setting} out: rows are then padded", way_out))),
    )
