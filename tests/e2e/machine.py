"""What a machine has, as the scripts see it: a PATH of its own, with programs that answer alike.

Pythons, their torch and a GPU are put there as small programs; nothing of this machine's own
environment is in it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
"""The Python under this environment: system packages are its own, as on a pod."""

_PROGRAMS = (
    "bash sh cat sed awk df dirname basename ls cksum tail head cut tr grep mkdir mv rm env "
    "git tar gzip flock setsid nohup mountpoint"
)


@dataclass(frozen=True)
class Machine:
    """A PATH of its own (`bin`), and room for a home, a volume and an environment (`path`)."""

    path: Path

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    def program(self, name: str, body: str) -> Path:
        """Put a shell program `name` on this machine's PATH."""
        file = self.bin / name
        file.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        file.chmod(0o755)
        return file

    def python(self, name: str, *, torch: str | None = None, gpu: bool = True) -> Path:
        """Put a real Python on PATH; with `torch`, one whose own torch says it is that version."""
        site = self.path / f"site-{name}"
        if torch is not None:
            (site / "torch").mkdir(parents=True)
            works = "def zeros(*a, device): return _One()" if gpu else "zeros = None"
            (site / "torch" / "__init__.py").write_text(
                "class _One:\n"
                "    def __add__(self, other): return self\n"
                "    def item(self): return 1.0\n"
                f"{works}\n"
            )
            metadata = site / f"torch-{torch}.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n"
            )
        return self.program(name, f'PYTHONPATH={site} exec {PYTHON} "$@"')

    def gpu(self) -> None:
        """Give it a driver that lists one GPU."""
        self.program("nvidia-smi", 'echo "GPU 0: NVIDIA Test (UUID: GPU-0)"')

    def run(
        self, *command: str | Path, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` with this machine's PATH and nothing of ours in the environment."""
        return subprocess.run(
            ["bash", *map(str, command)],
            cwd=cwd or self.path,
            env={"PATH": str(self.bin), "HOME": str(self.path), "LC_ALL": "C.UTF-8"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def bare_machine(path: Path) -> Machine:
    """A machine with the ordinary programs, and neither Python nor GPU."""
    made = Machine(path)
    made.bin.mkdir()
    for name in _PROGRAMS.split():
        program = shutil.which(name)
        if program is not None:
            (made.bin / name).symlink_to(program)
    return made
