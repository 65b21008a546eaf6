"""What is noted of a request on its way: for its log line and for the figures."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtui.stages.inference.server.answers import Answer

KEY = "qtui"


@dataclass
class Trace:
    """One request. `contents`: whether its texts may be written down."""

    method: str
    route: str
    """The route's template, or empty where there is none: never what a stranger made up."""
    contents: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    arrived: float = field(default_factory=time.time)
    """Unix time in seconds."""
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    model: str = ""
    prompt: str = ""
    output: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = ""
    error: str = ""
    """Code of the error that it was refused or ended with."""
    gone: bool = False
    """Whether the client went away before the end."""
    answer: Answer | None = None

    def seconds(self) -> float:
        """Since it came."""
        return time.monotonic() - self.began

    def line(self) -> dict[str, Any]:
        """The request as the log has it; seconds are counted from its arrival."""
        answer = self.answer
        line: dict[str, Any] = {
            "time": round(self.arrived, 3),
            "id": self.id,
            "method": self.method,
            "route": self.route,
            "model": self.model,
            "status": self.status,
            "seconds": round(self.seconds(), 4),
        }
        if answer is not None:
            line |= {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens or answer.tokens,
                "queue_seconds": _since(self.began, answer.began),
                "first_token_seconds": _since(self.began, answer.first),
                "finish_reason": self.finish,
                "client_gone": self.gone,
            }
        if self.error:
            line["error"] = self.error
        if self.contents and answer is not None:
            line |= {"prompt": self.prompt, "output": self.output}
        return line


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - start, 4)


def trace_of(scope: Any) -> Trace:
    """The trace that the gate put into a request's scope."""
    trace: Trace = scope["state"][KEY]
    return trace
