"""One answer on its way: what it is drawn with, the text of its tokens, and how it ends.

Promises: of the pieces and the end that its sink hears, one belongs to each token; nothing comes
behind the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from qtui.errors import QtuiError
from qtui.stages.inference.engine import Ended, Failed, GoneError, Piece, RefusedError, Sink
from qtui.stages.inference.prompts import Prompt
from qtui.stages.inference.sampling import Drawn
from qtui.stages.inference.text_stream import TextStream


@dataclass(eq=False)
class Answer:
    """One job on its way; also the ticket that its sender holds."""

    sink: Sink
    prompt: Prompt
    drawn: Drawn
    text: TextStream
    adapter: str | None
    """Name of the adapter inside the model; none for the base."""
    ends: frozenset[int]
    """Tokens that complete it; they are not part of its text."""
    budget: int
    """Tokens that it may have."""
    shows_special: bool
    wake: Callable[[], None]
    over: Callable[[], None] = lambda: None
    """Called once, when it has ended or failed."""
    tokens: int = 0
    cancelled: bool = False

    def cancel(self) -> None:
        """End it as soon as may be; from any thread."""
        self.cancelled = True
        self.wake()

    def take(self, token: int) -> Literal["stop", "length"] | None:
        """Give the text of its next token; returns why it is complete, if it is.

        Raises RefusedError when the token does not follow its grammar.
        """
        if self.budget == 0:
            return "length"
        grammar = self.drawn.grammar
        if grammar is not None:
            grammar.check()
        self.tokens += 1
        self.drawn.seen.append(token)
        ends = token in self.ends
        text = "" if ends and not self.shows_special else self.text.add(token)
        reason: Literal["stop", "length"] | None = "stop" if ends or self.text.stopped else None
        if reason is None and grammar is not None:
            grammar.take(token)
            if grammar.over:
                reason = "stop"
        if reason is None and self.tokens >= self.budget:
            reason = "length"
        if reason is not None:
            text += self.text.end()
            reason = "stop" if self.text.stopped else reason
        self.sink(Piece(text))
        return reason

    def end(self, reason: Literal["stop", "length", "cancelled"]) -> None:
        """Say that it is complete, or was given up."""
        self.over()
        self.sink(Ended(reason, len(self.prompt.ids), self.tokens))

    def fail(self, error: QtuiError) -> None:
        """Say why there is no more of it."""
        self.over()
        self.sink(Failed(error))


def gone(why: str) -> GoneError:
    """The error of every job once the engine has died of `why`."""
    return GoneError(
        f"the engine has ended: {why}",
        remedy="start the server again; worker.log in its run's folder has the whole traceback",
    )


def out_of_memory() -> RefusedError:
    return RefusedError(
        "there is not enough memory for this request beside the others",
        code="out_of_memory",
        status=503,
        remedy="ask again with a shorter prompt or a lower max_tokens, or when less is going on; "
        "a server started with a lower max_concurrent or max_context keeps more in hand",
    )


def no_numbers() -> QtuiError:
    return QtuiError(
        "the model's answer is no numbers (NaN): something in it is out of the range of its type",
        remedy="serve it with dtype bfloat16 or float32; an adapter whose training diverged "
        "answers like this too",
    )
