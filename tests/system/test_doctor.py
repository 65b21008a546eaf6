"""The doctor: what it finds on this machine, and what it says of machines that are not here."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from qtui.system.doctor import (
    Finding,
    examine,
    memory_finding,
    package_findings,
    terminal_findings,
)
from qtui.system.doctor_gpu import gpu_findings
from qtui.system.doctor_place import place_findings
from qtui.system.gpu_readings import Gpu, Reading, Snapshot
from qtui.system.host import Memory
from qtui.system.packages import (
    Package,
    TorchBuild,
    bitsandbytes_cudas,
    required,
    torch_build,
    within,
)
from qtui.system.terminal_abilities import TerminalAbilities

GB = 10**9
CPU_TORCH = TorchBuild("2.13.0+cpu", None)
CUDA_TORCH = TorchBuild("2.13.0+cu130", "13.0")


def gpu(**changed) -> Gpu:
    values = {
        "index": 0,
        "name": Reading("NVIDIA H200"),
        "memory_total": Reading(150 * GB),
        "memory_free": Reading(149 * GB),
        "compute_capability": Reading("9.0"),
        "cuda_index": Reading(0),
    }
    return Gpu(**{**values, **changed})


def snapshot(*gpus: Gpu, cuda: str = "13.0", driver: str = "580.65", **changed) -> Snapshot:
    return Snapshot(
        available=True, gpus=gpus, cuda=Reading(cuda), driver=Reading(driver), **changed
    )


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def one(findings: list[Finding], level: str) -> Finding:
    (found,) = [finding for finding in findings if finding.level == level]
    return found


def test_this_machine_is_examined_without_a_secret_being_shown(tmp_path):
    secret = "hf_canary0123456789"
    found = examine(tmp_path, {**os.environ, "HF_TOKEN": secret})
    text = msgspec.json.encode(found).decode()
    assert secret not in text
    assert "token in HF_TOKEN" in text
    assert any("keeps file locks" in finding.what for finding in found)
    assert any(finding.what.startswith("Python 3.") for finding in found)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    for finding in found:
        if finding.level == "error":
            assert finding.command, finding.what


def test_examining_imports_nothing_heavy(tmp_path):
    program = (
        "import sys; from pathlib import Path; from qtui.system.doctor import examine\n"
        f"examine(Path({str(tmp_path)!r}))\n"
        "print(*({'torch', 'transformers', 'bitsandbytes', 'pynvml'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == ""


# packages


def test_missing_and_wrong_packages_come_with_the_command():
    packages = (
        Package("torch", ">=2.8", None),
        Package("trl", ">=1.16,<1.17", "0.12.0"),
        Package("peft", ">=0.21,<0.22", "0.21.2"),
    )
    found = package_findings(packages)
    assert levels(found) == ["error", "error", "ok"]
    assert found[0].command.endswith("install 'torch>=2.8'")
    assert found[1].command.endswith("install 'trl>=1.16,<1.17'")
    assert "trl 0.12.0" in found[1].what
    assert found[2].what == "peft 0.21.2"


def test_requirements_are_read_from_our_own_metadata():
    names = {package.name: package for package in required("train")}
    assert {"torch", "transformers", "trl", "peft", "bitsandbytes", "datasets"} <= set(names)
    assert "textual" not in names
    assert {package.name for package in required("")} >= {"textual", "msgspec"}
    assert required("train", "no-such-distribution") == ()


@pytest.mark.parametrize(
    ("version", "bounds", "good"),
    [
        ("2.13.0+cu130", ">=2.8", True),
        ("1.15.0", ">=1.15,<2", True),
        ("2.0", ">=1.15,<2", False),
        ("5.24.0.dev0", ">=5.23,<5.24", False),
        ("2.9.0a0+git1", ">=2.8", True),  # NVIDIA's images carry such a torch
        ("8.9", ">=8.0", True),
        ("7.5", ">=8.0", False),
        ("unknown", ">=1", False),
        ("1", "", True),
    ],
)
def test_versions_are_compared_as_pip_does(version, bounds, good):
    assert within(version, bounds) is good


def test_the_builds_of_torch_and_bitsandbytes_are_read_from_their_files(tmp_path, monkeypatch):
    site = tmp_path / "site"
    for name, version in (("torch", "9.9.0+cu130"), ("bitsandbytes", "9.9.0")):
        (site / f"{name}-9.9.0.dist-info").mkdir(parents=True)
        (site / f"{name}-9.9.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise SystemExit('imported!')")
    (site / "torch" / "version.py").write_text(
        "from typing import Optional\n__version__ = '9.9.0+cu130'\n"
        "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
    )
    for number in ("118", "130"):
        (site / "bitsandbytes" / f"libbitsandbytes_cuda{number}.so").touch()
    monkeypatch.syspath_prepend(str(site))
    assert torch_build() == TorchBuild("9.9.0+cu130", "13.0")
    assert bitsandbytes_cudas() == ("11.8", "13.0")


@pytest.mark.skipif("torch" not in {d.name for d in metadata.distributions()}, reason="no torch")
def test_the_installed_torch_is_read_right():
    found = torch_build()
    assert found is not None
    assert found.version == metadata.version("torch")
    assert (found.cuda is None) == ("+cpu" in found.version)


# GPUs


def test_a_good_gpu_is_ok():
    found = gpu_findings(snapshot(gpu()), CUDA_TORCH, {})
    assert "error" not in levels(found)
    assert any("149.0 of 150.0 GB free" in finding.what for finding in found)
    assert any(finding.what == "torch 2.13.0+cu130 for CUDA 13.0" for finding in found)


def test_a_cpu_torch_beside_a_gpu_is_an_error():
    found = one(gpu_findings(snapshot(gpu()), CPU_TORCH, {}), "error")
    assert "CPU build" in found.what
    assert found.command.endswith("install --force-reinstall 'torch==2.13.0'")


def test_a_driver_too_old_for_torch_is_an_error():
    old = snapshot(gpu(), cuda="12.4", driver="550.54")
    found = one(gpu_findings(old, CUDA_TORCH, {}), "error")
    assert "driver 550.54 (CUDA up to 12.4) is too old" in found.what
    assert "580" in found.why
    assert "error" not in levels(gpu_findings(old, TorchBuild("2.13.0+cu126", "12.6"), {}))


def test_cards_that_torch_has_no_code_for():
    pascal = gpu(name=Reading("NVIDIA P100"), compute_capability=Reading("6.0"))
    assert "no code for GPU 0" in one(gpu_findings(snapshot(pascal), CUDA_TORCH, {}), "error").what
    turing = gpu(compute_capability=Reading("7.5"))
    found = gpu_findings(snapshot(turing), CUDA_TORCH, {})
    assert "error" not in levels(found)
    assert any("bfloat16" in finding.why for finding in found)


def test_a_lost_a_busy_and_a_hidden_gpu():
    lost = gpu(index=1, why="the GPU is lost")
    assert (
        "GPU 1: the GPU is lost"
        in one(gpu_findings(snapshot(gpu(), lost), CUDA_TORCH, {}), "error").what
    )
    busy = gpu(memory_free=Reading(10 * GB))
    assert any("another program" in f.why for f in gpu_findings(snapshot(busy), CUDA_TORCH, {}))
    hidden = snapshot(gpu(cuda_index=Reading(None, "hidden")), visible_note="CUDA_VISIBLE_DEVICES=")
    warned = [f for f in gpu_findings(hidden, CUDA_TORCH, {}) if f.level == "warning"]
    assert "unset CUDA_VISIBLE_DEVICES" in [f.command for f in warned]


def test_no_gpu_is_fine_but_a_gpu_without_a_driver_is_not(tmp_path):
    missing = Snapshot(available=False, cause="library", why="no library")
    assert levels(gpu_findings(missing, CPU_TORCH, {}, tmp_path)) == ["note"]
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x040300\n")  # its sound device alone is no GPU
    assert levels(gpu_findings(missing, CPU_TORCH, {}, tmp_path)) == ["note"]
    (card / "class").write_text("0x030200\n")
    assert levels(gpu_findings(missing, CPU_TORCH, {}, tmp_path)) == ["error"]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    found = gpu_findings(missing, CPU_TORCH, {}, tmp_path)
    assert "compute,utility" in found[0].command


@pytest.mark.parametrize("cause", ["driver", "mismatch", "permission", "timeout", "crash"])
def test_every_trouble_with_the_driver_has_a_command(cause):
    trouble = Snapshot(available=False, cause=cause, why="x")
    found = one(gpu_findings(trouble, CUDA_TORCH, {}), "error")
    assert found.command


def test_a_bitsandbytes_without_a_fitting_library(monkeypatch):
    monkeypatch.setattr("qtui.system.doctor_gpu.bitsandbytes_cudas", lambda: ("12.6",))
    found = one(gpu_findings(snapshot(gpu()), CUDA_TORCH, {}), "error")
    assert "no library for CUDA 13.0" in found.what
    monkeypatch.setattr("qtui.system.doctor_gpu.bitsandbytes_cudas", lambda: ("13.2",))
    assert "error" not in levels(gpu_findings(snapshot(gpu()), CUDA_TORCH, {}))


def test_a_missing_compiler_is_told_where_kernels_are_built(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    found = [f for f in gpu_findings(snapshot(gpu()), CUDA_TORCH, {}) if f.level == "warning"]
    assert "gcc" in found[0].command
    header = Path(sysconfig.get_path("include")) / "Python.h"
    assert ("libpython" in found[0].command) == (not header.is_file())


# the place


def test_a_workspace_that_cannot_be_written_to():
    found = place_findings(Path("/proc/no/such"), {})
    assert any(f.level == "error" and "cannot be written" in f.what for f in found)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    # What another process sees where locks do nothing: it gets the lock as well.
    monkeypatch.setattr("qtui.system.doctor_place._LOCK_FROM_OUTSIDE", "import sys; sys.exit(3)")
    found = one(place_findings(tmp_path, {}), "error")
    assert "no working file locks" in found.what
    assert found.command.startswith("qtui --workspace")


def test_the_hub_cache_and_login(tmp_path):
    found = place_findings(tmp_path, {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"})
    commands = [finding.command for finding in found]
    assert "hf auth login" in commands
    assert "unset HF_HUB_OFFLINE" in commands
    (tmp_path / "token").write_text("hf_canary")
    found = place_findings(tmp_path, {"HF_HOME": str(tmp_path)})
    assert "hf auth login" not in [finding.command for finding in found]
    assert "hf_canary" not in msgspec.json.encode(found).decode()


def test_on_a_pod_what_is_not_on_the_volume_is_told(tmp_path, monkeypatch):
    volume = tmp_path / "volume"
    volume.mkdir()
    monkeypatch.setattr("qtui.system.doctor_place._VOLUME", volume)
    rented = {"RUNPOD_POD_ID": "abc", "HF_HOME": str(tmp_path / "home")}
    said = [finding.what for finding in place_findings(tmp_path, rented)]
    assert "runpod abc: the workspace is not on the pod's volume" in said
    assert "runpod abc: the hub's cache is not on the pod's volume" in said
    kept = {"RUNPOD_POD_ID": "abc", "HF_HOME": str(volume / "home")}
    assert not any("volume" in f.what for f in place_findings(volume / "w", kept) if f.why)


# memory and terminal


def test_little_memory_is_a_warning():
    low = Memory(total=64 * GB, available=2 * GB, limited=True)
    found = memory_finding(low, 3.5, "docker")
    assert found.level == "warning"
    assert "limited by the container (docker)" in found.what
    assert "3.5 processors" in found.what
    high = Memory(total=64 * GB, available=20 * GB)
    assert memory_finding(high, 2, "").level == "ok"


def terminal(**changed) -> TerminalAbilities:
    values = {
        "is_terminal": True,
        "columns": 120,
        "lines": 40,
        "term": "xterm-256color",
        "colours": 256,
        "unicode": True,
        "encoding": "utf-8",
        "multiplexer": "",
        "ssh": False,
    }
    return TerminalAbilities(**{**values, **changed})


def test_terminals():
    assert levels(terminal_findings(terminal())) == ["ok"]
    assert levels(terminal_findings(terminal(is_terminal=False))) == ["note"]
    ascii_only = terminal_findings(terminal(unicode=False, encoding="ascii"))
    assert ascii_only[0].command == "export LANG=C.UTF-8 LC_ALL=C.UTF-8"
    assert "TERM" in terminal_findings(terminal(term="", colours=0))[0].command
    assert levels(terminal_findings(terminal(term="linux", colours=8))) == ["note"]
    assert "60x20" in terminal_findings(terminal(columns=60, lines=20))[0].what
