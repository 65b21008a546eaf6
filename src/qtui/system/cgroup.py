"""What the container or job that this process runs in is allowed: processors and memory.

A pod sees all of its host's processors and memory in /proc; what it may use is in its control
group. Both forms are read (v1 and v2), from this process's own group up to the root, since a
limit on any ancestor counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc/self/cgroup")

# v1 writes a number near 2^63 for "no limit".
_NO_LIMIT = 1 << 60


class Limits(msgspec.Struct, frozen=True):
    """Limits of the control group; None where there is none. Memory in bytes."""

    cpus: float | None = None
    memory: int | None = None
    memory_used: int | None = None
    """In use against `memory`, without file pages that can be dropped."""


def limits(root: Path = _ROOT, proc: Path = _PROC) -> Limits:
    """The tightest limits that apply to this process; all None where there are no groups."""
    groups = _groups(proc)
    cpus: list[float] = []
    memory: list[tuple[int, int | None]] = []
    for folder in _folders(root, groups.get("", "/")):
        cpus += _quota_v2(folder)
        memory += _memory(folder, "memory.max", "memory.current", "inactive_file")
    for folder in _folders(root / "cpu", groups.get("cpu", "/")):
        cpus += _quota_v1(folder)
    for folder in _folders(root / "memory", groups.get("memory", "/")):
        memory += _memory(
            folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        )
    tightest = min(memory, default=(None, None), key=lambda pair: _left(*pair))
    return Limits(min(cpus, default=None), *tightest)


def _left(limit: int | None, used: int | None) -> int:
    return (limit or 0) - (used or 0)


def _groups(proc: Path) -> dict[str, str]:
    """Controller to path; v2 has the controller "". Each line is `number:controllers:path`."""
    found: dict[str, str] = {}
    try:
        text = proc.read_text()
    except OSError:
        return found
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _folders(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and its ancestors up to the mount, those that exist.

    In a container the path is often the host's and not there: then only the mount is read.
    """
    own = mount / path.lstrip("/")
    for folder in (own, *own.parents):
        if folder == mount or mount in folder.parents:
            yield folder


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None  # not there, or "max"


def _quota_v2(folder: Path) -> list[float]:
    try:
        quota, period = folder.joinpath("cpu.max").read_text().split()
    except (OSError, ValueError):
        return []
    return [] if quota == "max" else [int(quota) / int(period)]


def _quota_v1(folder: Path) -> list[float]:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return [quota / period] if quota and period and quota > 0 else []


def _memory(folder: Path, limit: str, usage: str, droppable: str) -> list[tuple[int, int | None]]:
    allowed = _number(folder / limit)
    if allowed is None or allowed > _NO_LIMIT:
        return []
    used = _number(folder / usage)
    if used is None:
        return [(allowed, None)]
    return [(allowed, max(used - _stat(folder / "memory.stat", droppable), 0))]


def _stat(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
