"""Reads prepared data for the screen, on a thread of its own; of several requests the newest wins.

The disk may be slow or hang, so nothing of this is done where keys are answered. Whoever turns
pages faster than they can be read sees the page that was asked for last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from qtui.errors import CorruptError, QtuiError
from qtui.runs.dataset import Dataset, Finding, Part, StoredRow, StoredTokens
from qtui.screens.data.asked import (
    Ask,
    Failed,
    FirstBatch,
    Gathered,
    News,
    NoRow,
    Opened,
    Page,
    Told,
)
from qtui.screens.data.found import Found
from qtui.screens.data.views import laid


class DataReader:
    """The data in `folder`, until closed. `deliver` is called on the reader's thread."""

    def __init__(self, folder: Path, deliver: Callable[[DataReader, News], None]) -> None:
        self._folder = folder
        self._deliver = deliver
        self._wake = threading.Condition()
        self._ask: Ask | None = None
        self._wanted: dict[str, int] = {}
        self._closed = False
        self._busy_since: float | None = None
        self._found: Found | None = None
        self._place = 0
        self._last: tuple[int, StoredRow, Part, StoredTokens | None] | None = None
        threading.Thread(target=self._run, name="read-data", daemon=True).start()

    def ask(self, ask: Ask) -> None:
        """Read a row, in place of the one that was asked for before and is not read yet."""
        with self._wake:
            self._ask = ask
            self._wake.notify()

    def ask_batch(self) -> None:
        """Read the first batch."""
        self._want("batch", 0)

    def ask_finding(self, number: int) -> None:
        """Read finding `number`."""
        self._want("finding", number)

    def _want(self, what: str, number: int) -> None:
        with self._wake:
            self._wanted[what] = number
            self._wake.notify()

    @property
    def waiting(self) -> float:
        """For how many seconds the disk has not answered."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Read no more; returns at once."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    # -- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        self._busy_since = time.monotonic()
        try:
            dataset = Dataset(self._folder)
        except (QtuiError, OSError) as error:
            self._tell(Failed(self._told(error)))
            return
        with dataset:
            self._tell(Opened(len(dataset), dataset.report))
            self._serve(dataset)

    def _serve(self, dataset: Dataset) -> None:
        """Answer until closed. Findings are gathered once the first row is on the screen, as long
        as nothing else is asked for."""
        gathered, gathering = Found(), None
        begun = False
        while True:
            asked, wanted = self._next(wait=not begun or gathering is None)
            if self._closed:
                return
            if asked is not None:
                self._place = asked.base + asked.steps
                self._answer(partial(self._page, dataset, asked), partial(self._no_page, asked))
                if not begun:
                    begun, gathering = True, gathered.gather(dataset)
            for what, number in wanted.items():
                named = "The first batch" if what == "batch" else "The finding"
                self._answer(
                    partial(self._other, dataset, what, number), partial(Failed, what=named)
                )
            if gathering is not None and asked is None:
                gathering = self._gather(gathering, gathered)

    def _next(self, *, wait: bool) -> tuple[Ask | None, dict[str, int]]:
        with self._wake:
            self._busy_since = None
            if wait:
                self._wake.wait_for(lambda: self._closed or self._ask or self._wanted)
            asked, self._ask = self._ask, None
            wanted, self._wanted = self._wanted, {}
        self._busy_since = time.monotonic()
        return asked, wanted

    def _answer(self, work: Callable[[], News], failed: Callable[[QtuiError], Failed]) -> None:
        try:
            news = work()
        except (QtuiError, OSError) as error:
            news = failed(self._told(error))
        except Exception as error:  # damage takes many forms, and none of them ends the dashboard
            unforeseen = CorruptError(
                f"this cannot be shown: {type(error).__name__}: {error}",
                remedy="prepare the data again",
            )
            news = failed(unforeseen)
        self._tell(news)

    def _gather(self, gathering: Iterator[None], gathered: Found) -> Iterator[None] | None:
        try:
            next(gathering)
            return gathering
        except StopIteration:
            self._found = gathered
            self._tell(Gathered(gathered))
        except (QtuiError, OSError) as error:
            self._tell(Failed(self._told(error), "The findings"))
        return None

    def _page(self, dataset: Dataset, ask: Ask) -> News:
        number = _number(dataset, ask)
        if number is None:
            return NoRow(ask)
        self._place = number
        if self._last is None or self._last[0] != number:
            self._last = (
                number, dataset.row(number), dataset.part(number), dataset.tokens(number),
            )  # fmt: skip
        _, row, part, tokens = self._last
        text = laid(row, tokens, ask.look, ask.width, unicode=ask.unicode)
        return Page(ask, number, row, part, tokens, text, self._of(dataset, number))

    def _no_page(self, ask: Ask, error: QtuiError) -> Failed:
        return Failed(error, "The row", ask, self._place)

    def _of(self, dataset: Dataset, number: int) -> tuple[Finding, ...]:
        if self._found is None:
            return ()
        kind = self._found.all
        return tuple(dataset.finding(kind.numbers[at]) for at in kind.of(number)[:_SHOWN])

    def _other(self, dataset: Dataset, what: str, number: int) -> News:
        if what == "finding":
            return Told(number, dataset.finding(number))
        batch = dataset.batch()
        rows = {row.row for sequence in (batch.rows if batch else ()) for row in sequence}
        return FirstBatch(batch, {at: dataset.tokens(at) for at in rows if 0 <= at < len(dataset)})

    def _told(self, error: QtuiError | OSError) -> QtuiError:
        """The error, in which files are named without the run's folder."""
        message = error.message if isinstance(error, QtuiError) else str(error.strerror or error)
        remedy = error.remedy if isinstance(error, QtuiError) else "prepare the data again"
        return CorruptError(message.replace(f"{self._folder}/", ""), remedy=remedy)

    def _tell(self, news: News) -> None:
        self._busy_since = None
        if not self._closed:
            with suppress(RuntimeError):  # the dashboard is being closed
                self._deliver(self, news)


_SHOWN = 20
"""Findings of one row that are read."""


def _number(dataset: Dataset, ask: Ask) -> int | None:
    """The row that is meant, as near as there is one; None: there is none at all."""
    last, parts = len(dataset) - 1, ask.parts
    if last < 0:
        return None
    if not parts:
        return min(max(ask.base + ask.steps, 0), last)
    at = place = ask.base
    found = 0 <= at <= last and dataset.part(at) in parts
    turn = dataset.next_of if ask.steps > 0 else dataset.previous_of
    for _ in range(abs(ask.steps)):
        behind = turn(parts, place)
        if behind is None:
            break
        at, found, place = behind, True, behind
    if found:
        return at
    behind = dataset.next_of(parts, ask.base)
    return dataset.previous_of(parts, ask.base) if behind is None else behind
