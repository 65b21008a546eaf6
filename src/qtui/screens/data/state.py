"""What the data screen knows and shows at a moment; changed by the screen alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from qtui.errors import QtuiError
from qtui.runs.data_choices import Choices
from qtui.runs.dataset import Finding
from qtui.runs.preparing import KIND
from qtui.runs.series import History
from qtui.screens.data import facts
from qtui.screens.data.asked import Ask, Page
from qtui.screens.data.batches import BatchView
from qtui.screens.data.facts import KindOf
from qtui.screens.data.found import ALL, Found, Kind
from qtui.screens.data.subject import Subject
from qtui.screens.data.views import Look

Shows = Literal["row", "batch", "charts", "sources"]


@dataclass
class State:
    """`busy` says what is waited for since `since` (monotonic); `trouble` what went wrong.

    Of data that are open: `rows`, `report`, `found` (none until all findings were read). `page` is
    the row that is shown, `ask` what was asked for last, `steps` the rows turned since `page`.
    `kind` is the place of the chosen kind in `kinds` and `place` that of the finding in it that
    was jumped to.
    """

    subject: Subject = field(default_factory=Subject)
    busy: str = ""
    since: float = field(default_factory=time.monotonic)
    trouble: tuple[str, QtuiError] | None = None
    history: History | None = None
    unavailable: str = ""
    """Why the run that prepares them cannot be read now."""
    opened: bool = False
    rows: int = 0
    report: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    """The folder that all sources are in."""
    shows: Shows = "row"
    look: Look = field(default_factory=Look)
    filter: int = 0
    page: Page | None = None
    unreadable: tuple[int, QtuiError] | None = None
    """Which row cannot be shown, in place of `page`, and why."""
    ask: Ask | None = None
    at: int = 0
    steps: int = 0
    found: Found | None = None
    kind: int = 0
    place: int | None = None
    told: Finding | None = None
    batch: BatchView | None = None
    choices: Choices = field(default_factory=Choices)
    slow: float = 0.0
    """For how many seconds the disk has not answered."""

    @property
    def following(self) -> bool:
        """Whether a preparation goes on."""
        return self.history is not None

    @property
    def may_cancel(self) -> bool:
        """Whether what goes on is a preparation and nothing more."""
        return self.following and self.subject.kind == KIND

    @property
    def kinds(self) -> list[KindOf]:
        """The kinds of findings behind one that stands for all."""
        listed = facts.kinds(self.report, self.found)
        return [KindOf(ALL, "", sum(kind.count for kind in listed)), *listed]

    @property
    def chosen_kind(self) -> Kind | None:
        """The findings of the chosen kind; none while they were not read."""
        kinds = self.kinds
        if self.found is None or self.kind >= len(kinds):
            return None
        return self.found.kind(kinds[self.kind].name)

    def next_place(self, by: int) -> int | None:
        """The place of the next finding of the chosen kind, from the row that is shown on (the
        one before for `by` -1); from the other end when there is no more. None: there is none."""
        kind = self.chosen_kind
        if kind is None or not kind.rows:
            return None
        last = len(kind.rows) - 1
        if self.place is not None and kind.rows[self.place] in (self.at, -1):
            place: int | None = self.place + by
        elif self.place is None and by > 0:  # that of this very row, or of a whole file
            place = kind.behind(self.at - 1 if self.at > 0 else -2, 1)
        else:
            place = kind.behind(self.at, by)
        if place is None or not 0 <= place <= last:
            return 0 if by > 0 else last
        return place

    def pending(self) -> int:
        """How many rows the next preparation treats otherwise than this one did."""
        frozen = self.subject.frozen
        keys = {*frozen.drop, *frozen.keep, *self.choices.drop, *self.choices.keep}
        return sum(frozen.of(key) != self.choices.of(key) for key in keys)

    def choice_words(self, key: str) -> str:
        """What the next preparation does with the row; empty where it is as in this one."""
        wanted = self.choices.of(key)
        if not key or wanted == self.subject.frozen.of(key):
            return ""
        words = {"drop": "will be dropped", "keep": "will be kept", None: "will be judged anew"}
        return words[wanted]
