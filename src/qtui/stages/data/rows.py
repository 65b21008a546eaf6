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
from typing import Any

from qtui.runs.dataset import Finding, Level
from qtui.terminal import clean_line

Message = dict[str, Any]
KEPT_OF_A_KIND = 20
MESSAGE_WIDTH = 400


@dataclass(slots=True)
class Record:
    """One value as it was read, and where it starts.

    `line` is its line (or number) in the file, from 1. For a piece of a document `value` is
    {"text": …}, `page` its page from 1 (0: the file has none), `chunk` the number of the piece from
    1, and `headings` the headings that it stands under, the outermost first.
    """

    value: Any
    line: int
    page: int = 0
    chunk: int = 0
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row that can be learnt from: a conversation, a plain text, or a preference.

    `messages` are {"role", "content"} with role system, user, assistant or tool and content
    text; an assistant's may also hold `tool_calls` and `reasoning_content`. `source` and `line`
    (from 1) say where it was read; `tools` are JSON schemas offered to the model.

    `text` is a plain text, learnt as a whole without a chat template; `messages` is then empty.
    `rejected` are the messages of the worse answer of a preference pair, in place of those that
    follow the last one that both share; `label` is the thumb (up: True) of a KTO row.
    `page`, `chunk` and `headings` are as in `Record`, `group` the value of `data.group_by`.
    """

    messages: tuple[Message, ...]
    source: str
    line: int
    tools: tuple[dict[str, Any], ...] | None = None
    text: str | None = None
    rejected: tuple[Message, ...] | None = None
    label: bool | None = None
    page: int = 0
    chunk: int = 0
    headings: tuple[str, ...] = ()
    group: str = ""

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
