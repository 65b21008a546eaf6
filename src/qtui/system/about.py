"""What changes seldom about this machine: what it is, where models lie, which versions are here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from qtui.system import disk as disks
from qtui.system import host as hosts
from qtui.system.disk import Disk
from qtui.system.host import Host
from qtui.system.hub_cache import hub_cache
from qtui.system.packages import TorchBuild, installed, torch_build

PACKAGES = ("transformers", "trl", "peft", "bitsandbytes", "textual")
"""Whose versions are told, beside qtui, Python and torch."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """`versions` maps a package to its version; one that is not installed is left out."""

    host: Host
    cache: Path
    """Where models are downloaded to."""
    cache_disk: Disk
    versions: dict[str, str]
    torch: TorchBuild | None
    load: float | None
    """Average of processes that ran or wanted to in the last minute, of the whole host."""


def about(environment: Mapping[str, str] = os.environ, *, timeout: float = 2.0) -> About:
    """This machine now; waits at most `timeout` seconds for the disk that holds the models."""
    cache = hub_cache(environment)
    versions = {name: installed(name) for name in ("qtui", *PACKAGES)}
    return About(
        host=hosts.host(environment),
        cache=cache,
        cache_disk=disks.disk(cache, timeout=timeout),
        versions={name: version for name, version in versions.items() if version is not None},
        torch=torch_build(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )
