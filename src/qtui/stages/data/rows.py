"""What passes between the data stages: rows, and findings about them.

A row always knows where it came from. A finding never loses count: all are counted by kind, and
the first few of each kind are kept with their place, so that a file with a million broken lines
costs no more memory than one with ten.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qtui.runs.dataset import Finding, Level
from qtui.terminal import clean_line

Message = dict[str, Any]
KEPT_OF_A_KIND = 20
"""Findings of a kind that the report shows."""
SUNK_OF_A_KIND = 2000
"""Findings of a kind that are written down with their row."""
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
        """16 bytes of hash of what is said (white space folded): equal for two copies of a row."""
        if self.text is not None:
            said: Any = " ".join(self.text.split())
        else:
            said = [_said(message) for message in self.messages]
            more = [self.tools, self.rejected and [_said(m) for m in self.rejected], self.label]
            if more != [None, None, None]:
                said = [said, *more]
        return hashlib.blake2b(_key_json(said), digest_size=16).digest()


def _said(message: Message) -> list[Any]:
    return [
        message["role"],
        " ".join(message["content"].split()),
        *(message[key] for key in ("reasoning_content", "tool_calls") if key in message),
    ]


def _key_json(value: Any) -> bytes:
    try:
        return _sorted_json.encode(value)
    except (OverflowError, TypeError, ValueError, msgspec.MsgspecError):
        return json.dumps(value, sort_keys=True, default=str).encode("utf-8", "surrogatepass")


_sorted_json = msgspec.json.Encoder(order="deterministic")


@dataclass
class Findings:
    """All findings of one preparation: counted in full, kept up to a few of each kind.

    `sink` gets every finding as a line of JSON, up to `SUNK_OF_A_KIND` of each kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    levels: dict[str, Level] = field(default_factory=dict)
    by_source: Counter[str] = field(default_factory=Counter)
    kept: list[Finding] = field(default_factory=list)
    sink: Callable[[bytes], object] | None = None

    def add(
        self,
        level: Level,
        kind: str,
        message: str,
        source: str = "",
        line: int = 0,
        row: int = -1,
    ) -> None:
        """Count one finding; keep it while there are few of its kind. Foreign text is made safe."""
        if self.counts[kind] >= SUNK_OF_A_KIND:
            self._count(level, kind, source)
            return
        text = clean_line(message, MESSAGE_WIDTH)
        self.take(Finding(level, kind, text, clean_line(source), line, row))

    def take(self, finding: Finding) -> None:
        """Count a finding whose texts are safe already; keep it while there are few of its kind."""
        self._count(finding.level, finding.kind, finding.source)
        number = self.counts[finding.kind]
        if number <= KEPT_OF_A_KIND:
            self.kept.append(finding)
        if self.sink is not None and number <= SUNK_OF_A_KIND:
            self.sink(msgspec.json.encode(finding) + b"\n")

    def _count(self, level: Level, kind: str, source: str) -> None:
        self.counts[kind] += 1
        self.levels.setdefault(kind, level)
        if source and level != "note":
            self.by_source[source] += 1

    def wanted(self, kind: str) -> bool:
        """Whether another finding of `kind` would be kept in full, and is worth its words."""
        return self.counts[kind] < SUNK_OF_A_KIND

    def count(self, level: Level, kind: str, number: int) -> None:
        """Count `number` findings without words."""
        if number:
            self.counts[kind] += number
            self.levels.setdefault(kind, level)

    def errors(self) -> list[Finding]:
        """The kept findings that cost a row or a file."""
        return [finding for finding in self.kept if finding.level == "error"]
