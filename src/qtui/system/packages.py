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

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_BOUND = re.compile(r"(>=|<=|==|!=|~=|<|>)\s*([0-9][0-9A-Za-z.*+!-]*)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
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
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        wanted = _EXTRA.search(match[3] or "")
        if (wanted[1] if wanted else "") != extra:
            continue
        found.append(Package(match[1], match[2].replace(" ", ""), installed(match[1])))
    return tuple(found)


def installed(name: str) -> str | None:
    """The installed version of distribution `name`, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def within(version: str, bounds: str) -> bool:
    """Whether `version` is within `bounds` (`>=1.15,<2`), by the numbers of its release."""
    own = _release(version)
    for operator, text in _BOUND.findall(bounds):
        other = _release(text)
        width = max(len(own), len(other))
        left, right = (tuple((*part, *[0] * width)[:width]) for part in (own, other))
        holds = {
            ">=": left >= right,
            "<=": left <= right,
            "==": left[: len(other)] == other,
            "!=": left != right,
            "<": left < right,
            ">": left > right,
            "~=": left >= right and left[: len(other) - 1] == other[:-1],
        }[operator]
        if not holds:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


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
