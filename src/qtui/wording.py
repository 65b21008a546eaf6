"""How values read: sizes, durations, numbers and the sign of each status.

One place, so that every command and every screen says the same thing in the same way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from qtui.system.sizes import size as size

# status: sign, sign in ASCII. Every other status is one of a living run.
_SIGNS: Mapping[str, tuple[str, str]] = {
    "queued": ("◌", "."),
    "completed": ("✓", "+"),
    "stopped": ("■", "#"),
    "failed": ("✗", "x"),
    "interrupted": ("!", "!"),
}
_LIVING = ("●", "*")


def status(value: str, *, unicode: bool = True) -> str:
    """A status as sign and word, such as `● training`."""
    fancy, plain = _SIGNS.get(value, _LIVING)
    return f"{fancy if unicode else plain} {value.replace('_', ' ')}"


def duration(seconds: float) -> str:
    """Seconds as 8s, 51m or 1h50m."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m{rest:02d}s" if minutes < 10 else f"{minutes}m"
    if whole < 172800:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def clock(at: float, form: str = "%H:%M:%S") -> str:
    """Unix time `at` as local time; an en dash for one that no calendar has: logs get damaged."""
    try:
        return time.strftime(form, time.localtime(at))
    except (OverflowError, OSError, ValueError):
        return "–"


def age(seconds: float) -> str:
    """How long ago, in one unit: 8s, 18m, 3h, 2d."""
    whole = max(int(seconds), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def number(value: float | None) -> str:
    """A measured value with as many digits as matter; a missing one as an en dash."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 0.01:
        return f"{value:.4g}"
    return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e")


def requests(count: int) -> str:
    """How much a server has answered, in the room of a step: `63 req`, `1.2k req`."""
    short = str(count) if count < 10_000 else f"{count / 1000:.3g}k"
    return f"{short} req" if count else "–"


def setting(value: object) -> str:
    """A setting's value as a run file has it: none, true, 1e-05, [wandb]."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(setting, value))}]"
    return str(value)


def trend(values: Sequence[float], width: int | None = None, *, unicode: bool = True) -> str:
    """Values as a row of small bars, eight heights (five in ASCII); of more than `width` some,
    at even distances from the first to the last."""
    if not values:
        return ""
    if width is not None and len(values) > width > 1:
        values = [values[round(n * (len(values) - 1) / (width - 1))] for n in range(width)]
    bars = "▁▂▃▄▅▆▇█" if unicode else "_.-=#"
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(bars[round((value - low) / span * (len(bars) - 1))] for value in values)


def bar(done: float, width: int, *, unicode: bool = True) -> str:
    """A progress bar of `width` columns, `done` between 0 and 1."""
    filled = round(min(max(done, 0.0), 1.0) * width)
    full, empty = ("━", "─") if unicode else ("#", "-")
    return full * filled + empty * (width - filled)
