"""What a resume takes back is taken back from the rule for a loss that runs away, too."""

from __future__ import annotations

import pytest

from qtui.runs.divergence import Divergence


def fed(losses: dict[int, float]) -> Divergence:
    rule = Divergence()
    for step, loss in losses.items():
        rule.take(step, loss)
    return rule


def test_a_low_that_was_undone_is_not_compared_with() -> None:
    rule = fed({step: 3.0 if step <= 150 else 0.5 for step in range(1, 301)})
    assert rule.lowest == pytest.approx(0.5)
    rule.back_to(150)
    for step in range(151, 201):
        rule.take(step, 3.0)
    assert rule.lowest == pytest.approx(3.0)
    assert not rule.diverging


def test_a_low_that_stands_is_compared_with() -> None:
    rule = fed(dict.fromkeys(range(1, 201), 0.5))
    rule.back_to(150)
    for step in range(151, 251):
        rule.take(step, 3.0)
    assert rule.lowest == pytest.approx(0.5)
    assert rule.diverging
