"""Bytes in words, counted in powers of 1000 as disks and the hub do."""

from __future__ import annotations

GB = 1_000_000_000


def gigabytes(size: float) -> str:
    """`size` bytes as `6.1 GB`."""
    return f"{size / GB:.1f} GB"


def size(count: float | None) -> str:
    """Bytes as 84 MB or 7.6 GB; `unknown` for none."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.1f} {unit}" if unit == "GB" else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
