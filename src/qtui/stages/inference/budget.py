"""How long an answer may be, and prompts that leave no room for one."""

from __future__ import annotations

from qtui.stages.inference.engine import RefusedError, too_long


def budget(prompt: int, wanted: int | None, *, context: int, longest_prompt: int | None) -> int:
    """Tokens that an answer to `prompt` tokens may have; `wanted` is its max_tokens.

    `context` holds prompt and answer together, `longest_prompt` is what the server takes.

    Raises RefusedError when there is no room for it.
    """
    if longest_prompt is not None and prompt > longest_prompt:
        raise RefusedError(
            f"the prompt has {prompt:,} tokens; this server takes {longest_prompt:,}",
            code="context_length_exceeded",
            param="messages",
            remedy="shorten the prompt",
        )
    left = context - prompt
    if left < (1 if wanted is None else wanted):
        raise too_long(prompt, wanted or 0, context)
    return left if wanted is None else wanted
