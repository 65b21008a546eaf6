"""What every test starts from: an environment without the developer's own qtui settings."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# Under CI the same examples each time: a change is judged by what it changed. At home new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")

# Whoever starts the tests under nohup or in a shell's background hands ignored signals down to
# every program that they start.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_KEPT = {"QTUI_CI", "QTUI_VENV", "QTUI_PYTHON"}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """`QTUI_WORKSPACE` or `QTUI_TRAINING__SEED` in the caller's shell must not reach a test."""
    for name in os.environ:
        if name.startswith("QTUI_") and name not in _KEPT:
            monkeypatch.delenv(name)
