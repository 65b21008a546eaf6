"""How long tokens take and what that costs, at the speed that an earlier run measured.

One place for all who say it before a run has begun: the form of a new run, and the report on
prepared data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtui.runs.recent import Speed, recent


@dataclass(frozen=True)
class Estimate:
    """`seconds` of training at `speed`; `cost` of them, None where an hour has no price."""

    seconds: float
    cost: float | None
    speed: Speed


def estimate(tokens: float, speed: Speed | None, price_per_hour: float | None) -> Estimate | None:
    """What training on `tokens` (padding not counted) takes; None where no speed is known.

    `price_per_hour` is the user's, in whatever money.
    """
    if speed is None:
        return None
    seconds = tokens / speed.tokens_per_second
    cost = seconds / 3600 * price_per_hour if price_per_hour else None
    return Estimate(seconds, cost, speed)


def last_speed(workspace: Path, model: str, method: str) -> Speed | None:
    """The speed of the newest run of `model` by `method` (qlora, lora, full) that measured any."""
    return recent(workspace).speeds.get((model, method))
