"""`qtui`, except that the servers it starts have no model: run as a program by tests."""

from __future__ import annotations

import sys

from qtui.cli.main import main
from qtui.runs import launch

WORKER = (sys.executable, "-m", "tests.chat.fake_worker")

if __name__ == "__main__":
    launch.WORKER = WORKER
    sys.exit(main())
