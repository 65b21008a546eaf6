"""What an engine is: the seam between the server and whatever computes the tokens.

An engine holds one base model and any number of adapters of it. It takes a `Job` from any thread
and reports to the job's sink on a thread of its own: one `Began`, any number of `Piece`s, then
exactly one `Ended` or `Failed`. A sink returns at once and never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from qtui.errors import InputError, QtuiError


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; names and ranges are those of the OpenAI API and of vLLM."""

    max_tokens: int | None = None
    """Longest answer in tokens; none: what the context leaves."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    """Same seed, same draws, whatever else is being answered; none: any. The answer is the same
    too, unless what is computed beside it tips a rounding: numbers of 16 bits differ a little with
    the size of a batch, so a word may fall differently under load."""
    stop: tuple[str, ...] = ()
    """Texts before which the answer ends; they are not part of it."""
    json_schema: Mapping[str, Any] | None = None
    """The answer is JSON of this schema; an empty one means any JSON object."""
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    """False: the answer's text has its special tokens in it."""


@dataclass(frozen=True)
class Job:
    """One answer that is wanted."""

    model: str
    """Id of the base or of an adapter, as `Engine.models` names it, or `RUN` or `RUN@STEP` of the
    workspace."""
    prompt: str | Sequence[Mapping[str, Any]]
    """A text to go on from, or messages for the model's chat template."""
    sampling: Sampling = field(default_factory=Sampling)
    tools: Sequence[Mapping[str, Any]] = ()
    continue_final_message: bool = False
    """Whether the last message is the beginning of the answer."""


@dataclass(frozen=True)
class Began:
    """The job has a place; its prompt has been read."""

    prompt_tokens: int
    prompt: str
    """The prompt as the model sees it, special tokens included."""


@dataclass(frozen=True)
class Piece:
    """More of the answer. Whole characters only; may be empty while one is incomplete."""

    text: str
    tokens: int = 1


@dataclass(frozen=True)
class Ended:
    """The answer is complete."""

    reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Failed:
    """There is no answer, or no more of it."""

    error: QtuiError


Report = Began | Piece | Ended | Failed
Sink = Callable[[Report], None]


class RefusedError(InputError):
    """A job that cannot be done as asked; `code` and `param` are those of OpenAI's errors."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        param: str | None = None,
        status: int = 400,
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.param = param
        self.status = status


class GoneError(QtuiError):
    """The engine has died; nothing can be answered until the server is started again."""


def unknown_model(name: str, known: Sequence[str], why: str = "") -> RefusedError:
    """The error for a model id that means nothing here."""
    served = ", ".join(known)
    reason = f": {why}" if why else ""
    return RefusedError(
        f"the model {name!r} is not served here{reason}",
        code="model_not_found",
        param="model",
        status=404,
        remedy=f"served are: {served}",
    )


def too_long(prompt_tokens: int, wanted: int, limit: int) -> RefusedError:
    """The error for a prompt that leaves no room: `limit` tokens with `wanted` for the answer."""
    return RefusedError(
        f"this model's context is {limit:,} tokens; the prompt has {prompt_tokens:,}"
        + (f" and max_tokens asks for {wanted:,} more" if wanted else ""),
        code="context_length_exceeded",
        param="messages",
        remedy="shorten the prompt or lower max_tokens",
    )


@dataclass(frozen=True)
class Served:
    """A model that requests may name."""

    id: str
    base: str | None
    """Id of the base for an adapter; none for the base itself."""
    root: str
    """Hub id or folder that it was loaded from."""
    max_context: int


class Ticket(Protocol):
    """A job that was taken."""

    def cancel(self) -> None:
        """End it as soon as may be, with `Ended(reason="cancelled")`; from any thread."""


class Engine(Protocol):
    """Computes tokens. Every method may be called from any thread."""

    def models(self) -> tuple[Served, ...]:
        """The base first, then the adapters that are loaded or were named at the start."""

    def submit(self, job: Job, sink: Sink) -> Ticket:
        """Take `job`; what is wrong with it is said at once.

        May take milliseconds (the prompt is tokenised here) or, for an adapter that is first
        asked for, seconds: never call it on an event loop.

        Raises:
            RefusedError: it cannot be done as asked.
            GoneError: the engine has died.
        """

    def trouble(self) -> str:
        """Why nothing can be answered any more; an empty text while all is well."""

    def close(self) -> None:
        """End all jobs as cancelled and give everything back."""
