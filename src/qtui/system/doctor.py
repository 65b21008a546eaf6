"""`doctor`: what is missing on this machine, and the exact command that mends each thing.

Looks and asks only: nothing heavy is imported, nothing is changed, no secret is shown, and a
driver or a volume that hangs costs seconds, not for ever.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from qtui.system.doctor_gpu import gpu_findings
from qtui.system.doctor_place import place_findings
from qtui.system.finding import Finding, Level
from qtui.system.gpu import read_once
from qtui.system.host import Memory, container, cpus, memory
from qtui.system.packages import Package, pip, required, torch_build
from qtui.system.sizes import GB, gigabytes
from qtui.system.terminal_abilities import TerminalAbilities, terminal_abilities

__all__ = ["Finding", "Level", "examine"]

_OLDEST_PYTHON = (3, 11)
_LEAST_MEMORY = 4 * GB


def examine(workspace: Path, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Everything found on this machine for runs in `workspace`, in the order to mend it."""
    packages = required("train")
    return [
        _python(),
        *package_findings(packages),
        *gpu_findings(read_once(), torch_build(), environment),
        memory_finding(memory(), cpus(), container(environment)),
        *place_findings(workspace, environment),
        *terminal_findings(terminal_abilities(environment)),
        *_programs(environment),
    ]


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding(
            "error",
            f"Python {version} is too old",
            "qtui needs 3.11 or newer",
            "uv venv --python 3.11 .venv",
        )
    return Finding("ok", f"Python {version}")


def package_findings(packages: tuple[Package, ...]) -> list[Finding]:
    """Findings about the packages that training needs."""
    if not packages:
        return [
            Finding(
                "warning",
                "qtui itself is not installed as a package: what it needs cannot be checked",
                "",
                f"{pip()} install -e '.[train]'",
            )
        ]
    findings = []
    missing = [package for package in packages if package.installed is None]
    if missing:
        findings.append(
            Finding(
                "error",
                f"not installed: {', '.join(package.name for package in missing)}",
                "needed for training; the dashboard works without",
                _install(missing),
            )
        )
    findings += [
        Finding(
            "error",
            f"{package.name} {package.installed} is not a version that qtui works with",
            f"it was tested with {package.requirement}",
            _install([package]),
        )
        for package in packages
        if package.installed is not None and not package.good
    ]
    good = [f"{package.name} {package.installed}" for package in packages if package.good]
    if good:
        findings.append(Finding("ok", ", ".join(good)))
    return findings


def _install(packages: list[Package]) -> str:
    names = " ".join(shlex.quote(package.requirement) for package in packages)
    return f"{pip()} install {names}"


def memory_finding(found: Memory, processors: float, around: str) -> Finding:
    """A finding about the memory and processors that may be used."""
    limited = f", limited by the container ({around or 'control group'})" if found.limited else ""
    words = (
        f"{found.available / GB:.1f} of {gigabytes(found.total)} memory free{limited}, "
        f"{processors:g} processors"
    )
    if found.available < _LEAST_MEMORY:
        return Finding(
            "warning",
            words,
            "loading a model needs its largest file in memory: the process may be killed",
            "ps aux --sort=-rss | head",
        )
    return Finding("ok", words)


def terminal_findings(found: TerminalAbilities) -> list[Finding]:
    """Findings about what the terminal can show."""
    if not found.is_terminal:
        return [Finding("note", "output does not go to a terminal: the dashboard needs one")]
    findings = []
    if not found.unicode:
        findings.append(
            Finding(
                "warning",
                f"the terminal's encoding is {found.encoding}: shown in plain ASCII",
                "the locale is not a UTF-8 one",
                "export LANG=C.UTF-8 LC_ALL=C.UTF-8",
            )
        )
    if found.term in ("", "dumb"):
        findings.append(
            Finding(
                "warning",
                f"TERM is {found.term or 'not set'}: the dashboard cannot draw",
                "",
                "export TERM=xterm-256color",
            )
        )
    elif found.colours < 256:
        findings.append(
            Finding(
                "note",
                f"{found.colours or 'no'} colours",
                "fewer than most terminals have; everything works",
                "export TERM=xterm-256color COLORTERM=truecolor",
            )
        )
    if found.columns < 80 or found.lines < 24:
        findings.append(
            Finding(
                "note",
                f"the terminal is {found.columns}x{found.lines}",
                "the dashboard is made for 80x24 and above",
            )
        )
    if not findings:
        findings.append(
            Finding(
                "ok",
                f"terminal {found.term}, {found.columns}x{found.lines}, "
                f"{found.colours:,} colours, UTF-8",
            )
        )
    return findings


def _programs(environment: Mapping[str, str]) -> list[Finding]:
    findings = []
    if shutil.which("git", path=environment.get("PATH")) is None:
        findings.append(
            Finding(
                "note",
                "git is not installed",
                "runs cannot record which commit they were started from",
                "sudo apt-get install -y git",
            )
        )
    if shutil.which("tmux", path=environment.get("PATH")) is None:
        findings.append(
            Finding(
                "note",
                "tmux is not installed",
                "not needed: runs survive a lost connection; it keeps the dashboard itself open",
                "sudo apt-get install -y tmux",
            )
        )
    return findings
