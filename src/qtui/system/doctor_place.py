"""Whether runs can live where they are meant to: disk, locks, the hub's cache, shared memory."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qtui.system.disk import Disk, disk
from qtui.system.finding import Finding
from qtui.system.host import pod
from qtui.system.hub_cache import hub_cache, token_source
from qtui.system.sizes import GB, gigabytes
from qtui.terminal import clean_line

_LEAST_WORKSPACE = 1 * GB
_GOOD_WORKSPACE = 10 * GB
_GOOD_CACHE = 20 * GB
_INCREDIBLE = 50_000 * GB
_VOLUME = Path("/workspace")

_LOCK_FROM_OUTSIDE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(0)
sys.exit(3)
"""


def place_findings(
    workspace: Path, environment: Mapping[str, str] = os.environ, timeout: float = 5.0
) -> list[Finding]:
    """Findings about the workspace, the hub's cache and login, and shared memory."""
    workspace = workspace.absolute()
    room = disk(workspace, timeout=timeout)
    findings = [_workspace_room(workspace, room)]
    if room.free is not None:
        findings += _writable(workspace, timeout)
    findings += _hub(environment, timeout)
    findings += _volume(workspace, environment)
    return findings + _shared_memory(timeout)


def _workspace_room(workspace: Path, room: Disk) -> Finding:
    shown = clean_line(str(workspace))
    if room.free is None:
        return Finding(
            "error",
            f"workspace {shown}: {room.why}",
            "a network volume that is gone, or a path that may not be read",
            f"df -h {shlex.quote(shown)}",
        )
    free = f"{gigabytes(room.free)} free in the workspace ({shown})"
    if room.free < _LEAST_WORKSPACE:
        return Finding("error", free, "checkpoints will not fit", f"df -h {shlex.quote(shown)}")
    if room.free < _GOOD_WORKSPACE:
        return Finding(
            "warning", free, "enough for adapters, not for full fine-tuning or merged models"
        )
    if room.free > _INCREDIBLE:
        return Finding(
            "note", free, "that is the whole storage cluster's: your volume's own quota is not told"
        )
    return Finding("ok", free)


def _writable(workspace: Path, timeout: float) -> list[Finding]:
    """Try what a run does: make a file and lock it against another process."""
    shown = clean_line(str(workspace))
    place = workspace
    while not place.is_dir() and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".qtui-doctor-") as file:
            return [_lockable(Path(file.name), file.fileno(), shown, timeout)]
    except OSError as error:
        return [
            Finding(
                "error",
                f"the workspace cannot be written to ({shown}): {error.strerror}",
                "",
                f"mkdir -p {shlex.quote(shown)} && sudo chown $USER {shlex.quote(shown)}",
            )
        ]


def _lockable(path: Path, fileno: int, shown: str, timeout: float) -> Finding:
    try:
        fcntl.lockf(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LOCK_FROM_OUTSIDE, str(path)],
            timeout=max(timeout, 20.0),
            check=False,
        )
        held = done.returncode == 0
        reason = "" if held else "two processes got the same lock"
    except (OSError, subprocess.TimeoutExpired) as error:
        held, reason = False, clean_line(str(error), 120)
    if held:
        return Finding("ok", "the workspace is writable and keeps file locks")
    return Finding(
        "error",
        f"the workspace's file system has no working file locks ({shown})",
        f"{reason}; without them qtui cannot tell whether a run is alive",
        "qtui --workspace ~/qtui  # a folder on a local disk",
    )


def _hub(environment: Mapping[str, str], timeout: float) -> list[Finding]:
    cache = hub_cache(environment)
    shown = clean_line(str(cache))
    room = disk(cache, timeout=timeout)
    if room.free is None:
        findings = [
            Finding(
                "warning",
                f"the hub's cache {shown}: {room.why}",
                "models cannot be downloaded to it",
                "export HF_HOME=~/.cache/huggingface",
            )
        ]
    elif room.free < _GOOD_CACHE:
        findings = [
            Finding(
                "note",
                f"{gigabytes(room.free)} free in the hub's cache ({shown})",
                "an 8B model is a download of 16 GB",
                "hf cache prune  # or: export HF_HOME=/a/larger/disk",
            )
        ]
    else:
        findings = [Finding("ok", f"{gigabytes(room.free)} free in the hub's cache ({shown})")]
    source = token_source(environment)
    if source is not None:
        findings.append(Finding("ok", f"logged in to the hub (token in {clean_line(source)})"))
    else:
        findings.append(
            Finding(
                "note",
                "not logged in to the hub",
                "needed for gated models (Llama, Gemma) and for uploading only",
                "hf auth login",
            )
        )
    if environment.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        findings.append(
            Finding(
                "note",
                "HF_HUB_OFFLINE is set: only models in the cache can be used",
                "",
                "unset HF_HUB_OFFLINE",
            )
        )
    return findings


def _volume(workspace: Path, environment: Mapping[str, str]) -> list[Finding]:
    """On a rented pod: what is not on its volume is gone with the pod."""
    rented = pod(environment)
    if not rented or not _VOLUME.is_dir():
        return []
    findings = []
    if not workspace.is_relative_to(_VOLUME):
        findings.append(
            Finding(
                "warning",
                f"{rented}: the workspace is not on the pod's volume",
                "runs outside of it are lost when the pod is stopped",
                f"cd {_VOLUME} && qtui",
            )
        )
    if not hub_cache(environment).is_relative_to(_VOLUME):
        findings.append(
            Finding(
                "note",
                f"{rented}: the hub's cache is not on the pod's volume",
                "models will be downloaded again on the next pod",
                f"export HF_HOME={_VOLUME}/.cache/huggingface",
            )
        )
    return findings


def _shared_memory(timeout: float) -> list[Finding]:
    place = Path("/dev") / "shm"
    room = disk(place, timeout=timeout)
    if not place.is_dir() or room.total is None or room.total >= GB:
        return []
    return [
        Finding(
            "note",
            f"{place} is only {room.total / 1_000_000:.0f} MB",
            "too small for training.dataloader_num_workers above 0",
            "docker run --shm-size=8g …",
        )
    ]
