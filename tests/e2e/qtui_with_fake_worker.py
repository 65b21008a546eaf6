"""`qtui`, except that the worker it launches is `stepping_worker`: run as a program by tests."""

from __future__ import annotations

import sys

from qtui.cli.main import main
from qtui.runs import launch

if __name__ == "__main__":
    launch.WORKER = (sys.executable, "-m", "tests.e2e.stepping_worker")
    sys.exit(main())
