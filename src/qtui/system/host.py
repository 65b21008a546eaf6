"""The machine that this process runs on, as far as it may use it.

Processors and memory are what the container allows, not what its host has. Nothing here is
slow: disks, which can be, are in `disk`, GPUs in `gpu`.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from qtui.system.cgroup import Limits, limits
from qtui.system.disk import Disk, disk
from qtui.terminal import clean_line

__all__ = ["Disk", "Host", "Memory", "disk", "host", "memory"]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Host memory in bytes; `limited` when a container's limit is below what the host has."""

    total: int
    available: int
    limited: bool = False


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """This machine: `cpus` is how many processors may be used, `cpus_host` how many there are."""

    hostname: str
    platform: str
    python: str
    cpus: float
    cpus_host: int
    memory: Memory
    container: str
    """Kind of container (docker, podman, kubernetes, lxc, wsl, …), or empty."""
    pod: str
    """The provider and id of a rented pod, such as `runpod abc123`, or empty."""


def host(environment: Mapping[str, str] = os.environ) -> Host:
    """This machine as it is now."""
    allowed = limits()
    return Host(
        hostname=clean_line(socket.gethostname(), 80),
        platform=clean_line(platform.platform(), 120),
        python=platform.python_version(),
        cpus=cpus(allowed),
        cpus_host=os.cpu_count() or 1,
        memory=memory(allowed),
        container=container(environment),
        pod=pod(environment),
    )


def cpus(allowed: Limits | None = None) -> float:
    """Processors that this process may use: affinity and container quota."""
    allowed = limits() if allowed is None else allowed
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return count if allowed.cpus is None else min(float(count), allowed.cpus)


def memory(allowed: Limits | None = None) -> Memory:
    """Memory that this process may use: the host's, or less where the container has a limit."""
    import psutil

    allowed = limits() if allowed is None else allowed
    whole = psutil.virtual_memory()
    if allowed.memory is None or allowed.memory >= whole.total:
        return Memory(total=whole.total, available=whole.available)
    left = max(allowed.memory - (allowed.memory_used or 0), 0)
    return Memory(total=allowed.memory, available=min(left, whole.available), limited=True)


def container(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> str:
    """The kind of container around this process, or an empty string."""
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    if environment.get("container"):
        return clean_line(environment["container"], 40)
    try:
        kernel = (root / "proc/sys/kernel/osrelease").read_text()
    except OSError:
        return ""
    return "wsl" if "microsoft" in kernel.lower() else ""


def pod(environment: Mapping[str, str] = os.environ) -> str:
    """The rented pod that this is, by the variables that its provider sets, or empty."""
    for variable, provider in (
        ("RUNPOD_POD_ID", "runpod"),
        ("VAST_CONTAINERLABEL", "vast"),
        ("LAMBDA_INSTANCE_ID", "lambda"),
        ("PAPERSPACE_NOTEBOOK_REPO_ID", "paperspace"),
        ("COLAB_GPU", "colab"),
    ):
        if environment.get(variable):
            return f"{provider} {clean_line(environment[variable], 60)}"
    return ""
