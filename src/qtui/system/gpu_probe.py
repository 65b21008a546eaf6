"""`python -m qtui.system.gpu_probe`: prints a snapshot of the GPUs as one JSON line a second.

A process of its own because the driver's library cannot be trusted with ours: a crash in it
(SIGSEGV) would take the dashboard along, and a call that hangs in the kernel would keep any
process that made it from ever ending. Here both cost one small process, which its parent kills
and replaces. It ends by itself when its standard input closes, when nobody reads its output any
more, and (on Linux) when its parent dies while a call hangs.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

import msgspec

from qtui.system.gpu_readings import Snapshot
from qtui.system.nvml import Unreadable, collect, open_library

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Print one snapshot with `--once`, else one every `--interval=SECONDS` until stdin closes.

    After a snapshot that is not available it ends: whoever started it decides when to try again.
    """
    _die_with_parent()
    once = "--once" in arguments
    interval = 1.0
    for argument in arguments:
        if argument.startswith("--interval="):
            interval = float(argument.partition("=")[2])
    try:
        nvml = open_library()
        while True:
            _print(collect(nvml))
            if once or _input_closed(interval):
                return 0
    except Unreadable as error:
        _print(error.snapshot)
        return 0
    except BrokenPipeError:
        return 0


def _print(snapshot: Snapshot) -> None:
    line = msgspec.json.encode(snapshot) + b"\n"
    while line:
        line = line[os.write(1, line) :]


def _input_closed(seconds: float) -> bool:
    """Wait `seconds`; whether standard input was closed meanwhile."""
    ready, _, _ = select.select([0], [], [], seconds)
    return bool(ready) and os.read(0, 4096) == b""


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
