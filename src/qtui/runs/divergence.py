"""Whether a training loss runs away from the best it had reached.

The rule: the median of the last `WINDOW` logged losses stands above the lowest such median by
more than `margin`, the largest of 30 % of it, 0.2, and four times the noise at the time of the
lowest. Noise is the distance between the first and the last decile of up to 100 losses, divided
by 2.563, which is what that distance measures of normal noise in standard deviations.

Why so: a median moves only when more than half of the window is bad, so single spikes and a
short burst say nothing, however high. A median of 25 values wanders by about a quarter of their
spread to either side, so a level that stays as it is keeps well within four times the noise;
deciles see the noise of skewed losses and of losses with two levels too, which the median
deviation does not. The 0.2 stops a loss near zero, where 30 % is nothing, from being watched too
closely. It is over when half of the way up has been taken back.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

WINDOW = 25
"""Logged losses whose median is taken."""

_FEWEST = 10
"""Logged losses before a level counts: a loss that runs away at once needs something to compare."""
_NOISE_WINDOW = 100
_SHARE = 0.3
_ABSOLUTE = 0.2
_NOISES = 4.0
_DECILES = 2.563


class Divergence:
    """Fed the logged losses of one run in their order.

    Attributes: `diverging`; `level` (the median now, NaN before there is one) and `lowest` (the
    lowest there was).
    """

    def __init__(self) -> None:
        self.diverging = False
        self.level = math.nan
        self.lowest = math.inf
        self._noise = 0.0
        self._lowest_step = 0
        self._losses: deque[tuple[int, float]] = deque(maxlen=_NOISE_WINDOW)
        self._window: deque[float] = deque(maxlen=WINDOW)  # the last of them

    @property
    def margin(self) -> float:
        """How far above `lowest` the level has to be."""
        return max(_SHARE * abs(self.lowest), _ABSOLUTE, _NOISES * self._noise)

    def take(self, step: int, loss: float) -> None:
        """The loss logged after `step`; it must be finite."""
        self._losses.append((step, loss))
        self._window.append(loss)
        if len(self._losses) < _FEWEST:
            return
        self.level = median(self._window)
        if self.level < self.lowest:
            self.lowest, self._lowest_step = self.level, step
            values = sorted(value for _, value in self._losses)
            tenth = len(values) // 10
            self._noise = (values[-1 - tenth] - values[tenth]) / _DECILES
        over = self.level - self.lowest
        self.diverging = over > (0.5 if self.diverging else 1.0) * self.margin

    def back_to(self, step: int) -> None:
        """Forget the losses after `step`: those steps are trained again."""
        kept = [pair for pair in self._losses if pair[0] <= step]
        self._losses = deque(kept, maxlen=_NOISE_WINDOW)
        self._window = deque((loss for _, loss in kept), maxlen=WINDOW)
        self.diverging = False
        if self._lowest_step > step:  # reached by steps that are undone: found anew
            self.lowest, self._lowest_step, self._noise = math.inf, 0, 0.0
            self._losses.clear()
            self._window.clear()
            for earlier, loss in kept:
                self.take(earlier, loss)
