"""`python -m qtui.stages.inference.vllm_watch COMMAND…`: runs it, and ends it when we are gone.

vLLM is several processes that hold a whole GPU. This one stands between: it leads their process
group, reads a pipe whose other end is the worker's, and when that closes, however the worker ended,
asks all of them to end and kills what is left after a while. Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE = 10.0
"""Seconds between asking and killing."""


def main(command: list[str]) -> None:
    """Run `command` until it ends or standard input closes; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group is sent it, and this is one of it
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_heed)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", flush=True)  # noqa: T201
        sys.exit(1)
    while child.poll() is None and not _closed(0.1):
        pass
    if child.poll() is None:
        os.killpg(0, signal.SIGTERM)
        ends = time.monotonic() + GRACE
        while child.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)
    # What the command has left behind goes too, and this process with it.
    os.killpg(0, signal.SIGKILL)


def _heed() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _closed(seconds: float) -> bool:
    ready, _, _ = select.select([0], [], [], seconds)
    return bool(ready) and os.read(0, 4096) == b""


if __name__ == "__main__":
    main(sys.argv[1:])
