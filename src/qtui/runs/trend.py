"""The course of a run's loss from its beginning to now, at a cost that does not grow with its log.

A short log is read whole. Of a long one only some places are, at even distances: enough for a row
of small bars, and for how fast the run goes. The lines are told by how `EventLog` begins them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

POINTS = 24
"""Values of a trend at most; also the places at which a long log is read."""

WINDOW = 2048
"""Bytes that are read at each place; a log of no more than all of them is read whole."""

_METRICS = b'{"type":"metrics"'
_RESUMED = b'{"type":"resumed"'
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DECODED = 36  # lines of a log that is read whole
_PAUSE = 5.0  # times the usual pace: the run did not go on in between

_Point = tuple[float, int, float]  # time, step, loss


class _Values(msgspec.Struct, frozen=True, gc=False):
    loss: float | None = None


class _Step(msgspec.Struct, frozen=True, gc=False):
    """What is wanted of a `metrics` or a `resumed` event."""

    time: float
    step: int
    values: _Values = _Values()


_decoder = msgspec.json.Decoder(_Step)


@dataclass(frozen=True)
class Trend:
    """`losses` oldest first, each the mean of neighbouring ones, at most `POINTS`;
    `seconds_per_step` with evaluations, none before the second loss."""

    losses: list[float]
    seconds_per_step: float | None = None


def trend(path: Path) -> Trend:
    """The trend of the log at `path`; of no losses where there are none or no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Trend([])
    try:
        size = os.fstat(fd).st_size
        if size <= POINTS * WINDOW:
            parts = _parts(_valid([_points(os.pread(fd, size, 0))])[0])
        else:
            last = size - WINDOW
            places = [last * place // (POINTS - 1) for place in range(POINTS)]
            parts = _valid([_last_points(os.pread(fd, WINDOW, place)) for place in places])
    finally:
        os.close(fd)
    parts = [part for part in parts if part]
    means = [sum(loss for _, _, loss in part) / len(part) for part in parts]
    return Trend(means, _pace([*(part[0] for part in parts), *(part[-1] for part in parts[-1:])]))


def _points(text: bytes) -> list[_Point]:
    """The losses on the lines of a whole log, without those that a resume took back; of many
    lines only some, at even distances."""
    whole = text[: text.rfind(b"\n") + 1]
    lines = [line for line in whole.split(b"\n") if line.startswith((_METRICS, _RESUMED))]
    distance = max(len(lines) / _DECODED, 1.0)
    wanted = {len(lines) - 1 - int(number * distance) for number in range(_DECODED)}
    points: list[_Point] = []
    for number, line in enumerate(lines):
        if line.startswith(_RESUMED):
            back = _read(line)
            while back is not None and points and points[-1][1] > back.step:
                points.pop()
        elif number in wanted:
            points += _point(line)
    return points


def _last_points(text: bytes) -> list[_Point]:
    """The last two losses in a piece of a log that begins and ends anywhere."""
    points: list[_Point] = []
    end = text.rfind(b"\n")
    while len(points) < 2 and (begin := text.rfind(b"\n" + _METRICS, 0, end)) >= 0:
        points += _point(text[begin + 1 : text.find(b"\n", begin + 1)])
        end = begin
    return points[::-1]


def _point(line: bytes) -> list[_Point]:
    """The loss on a line, in a list; an empty one where there is none."""
    found = _read(line)
    if found is None or found.values.loss is None:
        return []
    return [(found.time, found.step, found.values.loss)]


def _read(line: bytes) -> _Step | None:
    try:
        return _decoder.decode(line)
    except _UNREADABLE:
        return None


def _valid(parts: list[list[_Point]]) -> list[list[_Point]]:
    """Without the losses of steps that come again later in the log: they were trained again."""
    kept: list[list[_Point]] = []
    first: float = float("inf")
    for part in reversed(parts):
        chosen: list[_Point] = []
        for point in reversed(part):
            if point[1] < first:
                chosen.append(point)
                first = point[1]
        kept.append(chosen[::-1])
    return kept[::-1]


def _parts(points: list[_Point]) -> list[list[_Point]]:
    """`points` in `POINTS` parts of about one length."""
    count = min(len(points), POINTS)
    ends = [len(points) * part // count for part in range(count + 1)] if count else [0]
    return [points[a:b] for a, b in pairwise(ends)]


def _pace(points: list[_Point]) -> float | None:
    """Seconds a step, without the time in which the run did not go on."""
    pairs = [
        (later[0] - earlier[0], later[1] - earlier[1])
        for earlier, later in pairwise(points)
        if later[1] > earlier[1] and later[0] > earlier[0]
    ]
    if not pairs:
        return None
    usual = sorted(seconds / steps for seconds, steps in pairs)[len(pairs) // 2]
    going = [(seconds, steps) for seconds, steps in pairs if seconds / steps <= _PAUSE * usual]
    return sum(seconds for seconds, _ in going) / sum(steps for _, steps in going)
