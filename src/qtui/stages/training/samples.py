"""What the model answers to held-out prompts while it learns.

The same prompts at every evaluation, answered greedily, so that a reader sees the model change
and nothing else. Step 0 is the base model: a fresh adapter adds nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from qtui.stages.training.models import evaluation_mode
from qtui.stages.training.recovery import is_out_of_memory


@dataclass(frozen=True)
class Prompt:
    """A conversation up to the assistant's last turn, and what that turn says in the data."""

    messages: tuple[dict[str, Any], ...]
    reference: str

    @property
    def text(self) -> str:
        """The last thing said to the assistant, for people."""
        return str(self.messages[-1].get("content", "")) if self.messages else ""


class _Asked(StoppingCriteria):
    """Ends a generation between two tokens when the run is asked to stop."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.stopped = stopped

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((len(input_ids),), self.stopped(), device=input_ids.device)


def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    chat_template: str | None,
    stopped: Callable[[], bool],
) -> list[tuple[Prompt, str]]:
    """Greedy answers to the prompts, as one batch; none when asked to stop meanwhile.

    Prompts of more than `max_prompt_tokens` tokens are left out, and so are those whose answer
    does not fit into memory even alone: looking at a run must not end it.
    """
    rows = [
        (prompt, ids)
        for prompt in prompts
        if len(ids := _tokens(tokenizer, prompt, chat_template)) <= max_prompt_tokens
    ]
    answers: list[tuple[Prompt, str]] = []
    # All at once; where memory is short, one by one.
    batches = [rows] if rows else []
    while batches and not stopped():
        batch = batches.pop(0)
        try:
            texts = _generate(model, tokenizer, [ids for _, ids in batch], max_new_tokens, stopped)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            batches = [[row] for row in batch] if len(batch) > 1 else batches
            continue
        answers += [(prompt, text) for (prompt, _), text in zip(batch, texts, strict=True)]
    return [] if stopped() else answers


def _tokens(tokenizer: Any, prompt: Prompt, chat_template: str | None) -> list[int]:
    encoded = tokenizer.apply_chat_template(
        list(prompt.messages),
        chat_template=chat_template,
        add_generation_prompt=True,
        return_dict=True,
    )
    return list(encoded["input_ids"])


def _generate(
    model: Any,
    tokenizer: Any,
    rows: Sequence[list[int]],
    max_new_tokens: int,
    stopped: Callable[[], bool],
) -> list[str]:
    """Padded on the left by hand: the tokenizer's own side is the trainer's business."""
    longest = max(len(row) for row in rows)
    padding = [longest - len(row) for row in rows]
    ids = [[tokenizer.pad_token_id] * pad + row for pad, row in zip(padding, rows, strict=True)]
    mask = [[0] * pad + [1] * (longest - pad) for pad in padding]
    with evaluation_mode(model):
        output = model.generate(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
            stopping_criteria=StoppingCriteriaList([_Asked(stopped)]),
        )
    texts = tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)
    return [text.strip() for text in texts]
