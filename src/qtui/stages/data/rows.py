"""What passes between the data stages: rows, and findings about them.

A row always knows where it came from. A finding never loses count: all are counted by kind, and
the first few of each kind are kept with their place, so that a file with a million broken lines
costs no more memory than one with ten.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from qtui.terminal import clean_line

Level = Literal["error", "warning", "note"]
Message = dict[str, Any]
KEPT_OF_A_KIND = 20
MESSAGE_WIDTH = 400


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation.

    `messages` are {"role", "content"} with role system, user, assistant or tool and content
    text; an assistant's may also hold `tool_calls` and `reasoning_content`. `source` and `line`
    (from 1) say where it was read; `tools` are JSON schemas offered to the model.
    """

    messages: tuple[Message, ...]
    source: str
    line: int
    tools: tuple[dict[str, Any], ...] | None = None

    def key(self) -> bytes:
        """Hash of what is said (white space folded): equal for two copies of a conversation."""
        said = [
            [
                message["role"],
                " ".join(message["content"].split()),
                *(message[key] for key in ("reasoning_content", "tool_calls") if key in message),
            ]
            for message in self.messages
        ]
        text = json.dumps([said, self.tools] if self.tools else said, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing worth knowing about the data. error: the row (or file) is not used."""

    level: Level
    kind: str
    message: str
    source: str = ""
    line: int = 0

    def where(self) -> str:
        """`file:line`, as far as known; safe to show."""
        place = clean_line(self.source)
        return f"{place}:{self.line}" if self.line else place

    def __str__(self) -> str:
        where = self.where()
        return f"{where}: {self.message}" if where else self.message


@dataclass
class Findings:
    """All findings of one preparation: counted in full, kept up to a few of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Finding] = field(default_factory=list)

    def add(self, level: Level, kind: str, message: str, source: str = "", line: int = 0) -> None:
        """Count one finding; keep it while there are few of its kind. Foreign text is made safe."""
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT_OF_A_KIND:
            text = clean_line(message, MESSAGE_WIDTH)
            self.kept.append(Finding(level, kind, text, clean_line(source), line))

    def errors(self) -> list[Finding]:
        """The kept findings that cost a row or a file."""
        return [finding for finding in self.kept if finding.level == "error"]
