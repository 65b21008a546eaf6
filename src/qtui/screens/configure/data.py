"""The look at the data that the configure screen shows: asked for, going on, there, out of date."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from textual.content import Content

from qtui.config.fields import fields
from qtui.config.form import Form
from qtui.errors import QtuiError
from qtui.runs.prepare import Look, Looking
from qtui.screens.configure import pane

MATTERS = frozenset(
    {field.key for field in fields() if field.section == "data"}
    | {
        "model.model_name",
        "model.revision",
        "training.max_seq_length",
        "training.assistant_only_loss",
        "training.seed",
    }
)
"""Settings on which the prepared data depend."""


class DataLook:
    """The newest look at the data, and the one that goes on."""

    def __init__(self) -> None:
        self.look: Look | None = None
        self._form: Form | None = None
        self._looking: Looking | None = None
        self._asked: Form | None = None
        self._row = 0

    @property
    def going_on(self) -> bool:
        """Whether a worker reads the data now."""
        return self._looking is not None

    def begin(self, form: Form, done: Callable[[Form, Look | QtuiError], object]) -> None:
        """Start a worker on the data of `form`, which has a config. `done` is called on a thread
        of its own, unless the look is stopped or another one is begun."""
        assert form.config is not None
        self.stop()
        command = ["qtui", "validate"]
        self._asked = form
        self._looking = Looking(form.config, command, lambda found: done(form, found))
        self._looking.start()

    def stop(self) -> None:
        """End the look that goes on, if there is one; returns at once."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def take(self, form: Form, found: Look | QtuiError) -> bool:
        """Keep what a look at the data of `form` found; not of one that was stopped meanwhile,
        or that another one has followed. Whether it was kept."""
        if self._looking is None or form is not self._asked:
            return False
        self._looking = None
        if isinstance(found, Look):
            self.look, self._form, self._row = found, form, 0
        return True

    def current(self, form: Form) -> bool:
        """Whether there is a look, and at just the data that `form` has."""
        before = self._form
        return before is not None and all(before.value(key) == form.value(key) for key in MATTERS)

    def report(self, form: Form) -> Mapping[str, Any] | None:
        """The report on the data of `form`, where there is one."""
        return self.look.report if self.look is not None and self.current(form) else None

    def turn(self, by: int) -> None:
        """Another one of the first rows."""
        last = len(self.look.rows) - 1 if self.look is not None else 0
        self._row = min(max(self._row + by, 0), max(last, 0))

    def shown(self, form: Form, *, unicode: bool) -> list[Content]:
        """The look as paragraphs; none where there is nothing to show."""
        if self._looking is not None:
            return pane.looking(self._looking.doing, time.monotonic() - self._looking.began)
        if self.look is None:
            return []
        stale = not self.current(form)
        return pane.data_pane(self.look, self._row, stale=stale, unicode=unicode)
