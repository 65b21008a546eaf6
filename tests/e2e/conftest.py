"""What end-to-end tests share: the micro model, machines, a pod, threads that do not fight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine, bare_machine
from tests.e2e.sshd import Pod, serve


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    from tests.stages.training.micro import make_model

    return make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture(autouse=True)
def _one_thread_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the ordinary programs, and neither Python nor GPU."""
    return bare_machine(tmp_path)


@pytest.fixture
def pod(machine: Machine) -> Iterator[Pod]:
    """sshd on loopback; its sessions have the machine's PATH."""
    environment = {
        "PATH": str(machine.bin),
        "HOME": str(machine.path),
        "LC_ALL": "C.UTF-8",
        "TMUX_TMPDIR": str(machine.path),
    }
    with serve(machine.path / "ssh", environment) as served:
        yield served
