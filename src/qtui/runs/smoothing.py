"""The exponential moving average that charts of training are smoothed with."""

from __future__ import annotations

from collections.abc import Sequence

_SETTLED = 1e-17  # a share of the first value that no longer changes a sum of doubles


def smooth(
    values: Sequence[float | None], weight: float, *, before: float = 0.0, count: int = 0
) -> list[float | None]:
    """The average of `values` so far, older ones weighing less by `weight` (0 to below 1) a point.

    Debiased as in TensorBoard (and Adam: Kingma and Ba, 2015, section 3): the first value counts
    in full instead of being pulled towards 0. `None` (not finite) stays where it is and counts
    for nothing. To go on where an earlier call ended, give its last average as `before` and the
    finite values it had as `count`.
    """
    finite = [value for value in values if value is not None]
    averages = _averages(finite, weight, before, count)
    if len(finite) == len(values):
        return [*averages]
    following = iter(averages)
    return [None if value is None else next(following) for value in values]


def _averages(values: Sequence[float], weight: float, average: float, count: int) -> list[float]:
    # s(t) = w s(t-1) + (1 - w) x(t), shown as s(t) / (1 - w^t), is the same as to move the shown
    # average towards x(t) by (1 - w) / (1 - w^t).
    averages: list[float] = []
    add = averages.append
    share = 1 - weight
    rest = weight**count
    for value in values:
        if rest < _SETTLED:
            break
        rest *= weight
        average += share / (1 - rest) * (value - average)
        add(average)
    for value in values[len(averages) :]:  # the divisor is 1 from here on
        average += share * (value - average)
        add(average)
    return averages
