"""`qtui`, except that the worker it launches is `stepping_worker`: run as a program by tests."""

from __future__ import annotations

import sys

from qtui.cli.main import main
from qtui.runs import launch

if __name__ == "__main__":
    launch.WORKER = (sys.executable, "-m", "tests.e2e.stepping_worker")
    if "web" in sys.argv:  # the dashboards behind its tabs are as this one
        from qtui.cli import web

        web.DASHBOARD = (sys.executable, "-m", "tests.e2e.qtui_with_fake_worker")
    sys.exit(main())
