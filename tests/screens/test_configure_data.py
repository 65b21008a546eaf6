"""Looks at the data: whose answer counts when looks are stopped and begun."""

from __future__ import annotations

from typing import Any

import pytest

from qtui.config import form as forms
from qtui.runs.prepare import Look
from qtui.screens.configure import data
from qtui.screens.configure.data import DataLook


class Looking:
    """In place of a thread with a worker."""

    def __init__(self, *_: Any) -> None:
        self.cancelled = False

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        self.cancelled = True


def test_the_answer_of_a_look_that_was_stopped_is_not_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "Looking", Looking)
    first = forms.blank()
    second = first.typed("training.seed", "7")
    looks, answer = DataLook(), Look({}, ())
    looks.begin(first, lambda *_: None)
    looks.stop()
    assert not looks.take(first, answer)  # it was on its way when the look was stopped
    looks.begin(second, lambda *_: None)
    assert not looks.take(first, answer)
    assert looks.going_on
    assert looks.take(second, answer)
    assert looks.look is answer
    assert not looks.going_on
