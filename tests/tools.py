"""Programs that tests drive for real (sshd, tmux, a C compiler), and what to do without them.

On a person's machine a test whose program is missing is skipped and says how to get it. Where
`QTUI_CI=1` is set (`.ci/run` sets it, after installing them) it fails instead: a check that
silently stopped running is worse than a red one.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

DEBIAN_PACKAGES = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "cc": "gcc libc6-dev",
    "gcc": "gcc libc6-dev",
}
"""Where a program's package is not called like the program."""


def need(program: str) -> str:
    """Return the path of `program`; skip the test without it, or fail it under QTUI_CI=1."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        package = DEBIAN_PACKAGES.get(program, program)
        missing(f"{program} is not installed (apt-get install {package})")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the running test for `reason`, or fail it under QTUI_CI=1."""
    if os.environ.get("QTUI_CI") == "1":
        pytest.fail(f"QTUI_CI=1 and {reason}", pytrace=False)
    pytest.skip(reason)
