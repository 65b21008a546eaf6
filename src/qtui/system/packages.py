"""Which Python packages are installed, told from their metadata without importing one.

Importing torch takes seconds and can fail in ways of its own; its version, the CUDA it was built
for and the libraries that bitsandbytes brought along are all written in files.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

_CUDA_LIBRARY = re.compile(r"libbitsandbytes_cuda(\d+)\.(?:so|dll)$")
_TORCH_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*['\"]([0-9.]+)['\"]", re.MULTILINE)
_TORCH_HIP = re.compile(r"^hip\b[^=\n]*=\s*['\"]([0-9.]+)", re.MULTILINE)


def pip() -> str:
    """The command that installs into this environment; uv makes environments without pip."""
    if find_spec("pip") is not None:
        return f"{sys.executable} -m pip"
    return f"UV_PYTHON={sys.executable} uv pip"


class Package(msgspec.Struct, frozen=True):
    """A requirement of qtui's and what is there: `installed` is None when nothing is."""

    name: str
    bounds: str
    installed: str | None

    @property
    def requirement(self) -> str:
        """As pip takes it, such as `trl>=1.16,<1.17`."""
        return self.name + self.bounds

    @property
    def good(self) -> bool:
        """Whether a version within the bounds is installed."""
        return self.installed is not None and within(self.installed, self.bounds)


def required(extra: str, distribution: str = "qtui") -> tuple[Package, ...]:
    """The packages that `extra` of `distribution` asks for, in its own order."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        needed = marker is None or marker.evaluate({"extra": extra})
        if needed and (extra == "" or not _always(requirement)):
            name, bounds = requirement.name, str(requirement.specifier)
            found.append(Package(name, bounds, installed(name)))
    return tuple(found)


def _always(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def installed(name: str) -> str | None:
    """The installed version of distribution `name`, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def within(version: str, bounds: str) -> bool:
    """Whether `version` is within `bounds` (`>=1.15,<2`), by the rules of pip (PEP 440).

    False for a version that is none.
    """
    try:
        return SpecifierSet(bounds).contains(version, prereleases=True)
    except InvalidVersion:
        return False


class TorchBuild(msgspec.Struct, frozen=True):
    """What torch was built for: `cuda` and `hip` are versions, both None for a CPU build."""

    version: str
    cuda: str | None
    hip: str | None = None


def torch_build() -> TorchBuild | None:
    """The installed torch's build, read from its `version.py`; None when it is not installed."""
    version = installed("torch")
    if version is None:
        return None
    path = _file("torch", "torch/version.py")
    text = path.read_text(errors="replace") if path is not None else ""
    cuda, hip = _TORCH_CUDA.search(text), _TORCH_HIP.search(text)
    return TorchBuild(version, cuda[1] if cuda else None, hip[1] if hip else None)


def bitsandbytes_cudas() -> tuple[str, ...]:
    """The CUDA versions (`13.0`) that the installed bitsandbytes has a library for."""
    path = _file("bitsandbytes", "bitsandbytes/__init__.py")
    if path is None:
        return ()
    numbers = (_CUDA_LIBRARY.search(entry.name) for entry in sorted(path.parent.iterdir()))
    return tuple(f"{match[1][:-1]}.{match[1][-1]}" for match in numbers if match)


def _file(distribution: str, name: str) -> Path | None:
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(name)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None
