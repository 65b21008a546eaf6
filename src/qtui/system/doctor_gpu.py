"""What stands between this machine's GPUs and a training run on them."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from qtui.system.finding import Finding
from qtui.system.gpu_readings import Gpu, Snapshot
from qtui.system.packages import TorchBuild, bitsandbytes_cudas, pip, within
from qtui.system.sizes import GB, gigabytes

# Oldest driver for each CUDA major version (CUDA compatibility guide, minor version compatibility).
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
_NVIDIA = "0x10de"


def gpu_findings(
    snapshot: Snapshot,
    torch: TorchBuild | None,
    environment: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> list[Finding]:
    """Findings about driver, GPUs, and the builds of torch and bitsandbytes for them."""
    if not snapshot.available:
        return [_without_readings(snapshot, torch, root)]
    if not snapshot.gpus:
        return [Finding("note", "no GPU: training will use the CPU")]
    findings = [
        Finding(
            "ok",
            f"NVIDIA driver {snapshot.driver.value or 'of unknown version'}, "
            f"CUDA up to {snapshot.cuda.value or 'unknown'}",
        )
    ]
    findings += [_gpu(gpu) for gpu in snapshot.gpus]
    findings += _visible(snapshot)
    if torch is not None:
        findings += _torch(snapshot, torch)
        findings += _bitsandbytes(torch)
    return findings + _compiler()


def _without_readings(snapshot: Snapshot, torch: TorchBuild | None, root: Path) -> Finding:
    """No NVML: no GPU at all is fine; a GPU that cannot be reached is not."""
    if torch is not None and torch.hip:
        return Finding(
            "warning",
            f"torch is built for AMD (ROCm {torch.hip}), which qtui does not measure",
            "GPU readings and memory estimates are for NVIDIA GPUs",
        )
    nodes = sorted((root / "dev").glob("nvidia[0-9]*"))
    if snapshot.cause == "library" and not nodes:
        if _has_nvidia_card(root):
            return Finding(
                "error",
                "there is an NVIDIA GPU, but no driver for it",
                snapshot.why,
                "sudo apt-get install -y nvidia-driver-580-open && sudo reboot",
            )
        return Finding("note", "no NVIDIA GPU: training will use the CPU")
    if snapshot.cause == "library":
        return Finding(
            "warning",
            f"GPU {nodes[0]} is there, but cannot be measured: {snapshot.why}",
            "the container was started without the driver's utilities",
            "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …",
        )
    commands = {
        "package": f"{pip()} install nvidia-ml-py",
        "driver": "sudo modprobe nvidia",
        "mismatch": "sudo reboot",
        "permission": "ls -l /dev/nvidia* && sudo usermod -aG video,render $USER",
        "timeout": "sudo dmesg | grep -i -e nvrm -e xid | tail",
        "crash": "sudo dmesg | grep -i -e nvrm -e xid | tail",
    }
    level = "warning" if snapshot.cause == "package" else "error"
    return Finding(
        level,  # type: ignore[arg-type]
        f"the GPUs cannot be read: {snapshot.why}",
        snapshot.remedy,
        commands.get(snapshot.cause, "nvidia-smi"),
    )


def _has_nvidia_card(root: Path) -> bool:
    """Whether a display or 3D controller (PCI class 03) of NVIDIA's is on the bus."""
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith("0x03"):
            return True
    return False


def _gpu(gpu: Gpu) -> Finding:
    name = f"GPU {gpu.index}"
    if gpu.why:
        return Finding(
            "error", f"{name}: {gpu.why}", "", "sudo dmesg | grep -i -e nvrm -e xid | tail"
        )
    total, free = gpu.memory_total.value, gpu.memory_free.value
    if total is None or free is None:
        return Finding("ok", f"{name}: {gpu.name.value}", gpu.memory_total.why)
    words = f"{name}: {gpu.name.value}, {free / GB:.1f} of {gigabytes(total)} free"
    if free < total / 2:
        return Finding("note", words, "another program holds much of its memory", "nvidia-smi")
    capability = gpu.compute_capability.value
    if capability is not None and not within(capability, ">=8.0"):
        return Finding(
            "note",
            words,
            f"compute capability {capability} has no bfloat16 of its own: training is slower",
        )
    return Finding("ok", words)


def _visible(snapshot: Snapshot) -> list[Finding]:
    if not snapshot.visible_note:
        return []
    devices = [gpu.cuda_index.value for gpu in snapshot.gpus]
    devices += [part.cuda_index for gpu in snapshot.gpus for part in gpu.mig_instances]
    if all(index is None for index in devices):
        return [
            Finding(
                "warning",
                snapshot.visible_note,
                "every GPU is hidden: training would use the CPU",
                "unset CUDA_VISIBLE_DEVICES",
            )
        ]
    return [Finding("note", snapshot.visible_note)]


def _torch(snapshot: Snapshot, torch: TorchBuild) -> list[Finding]:
    plain = torch.version.partition("+")[0]
    if torch.cuda is None:
        return [
            Finding(
                "error",
                f"torch {torch.version} is a CPU build and will not see the GPU",
                "the package was installed from an index or constraints for CPUs",
                f"{pip()} install --force-reinstall 'torch=={plain}'",
            )
        ]
    built = int(torch.cuda.partition(".")[0])
    able = snapshot.cuda.value
    if able is not None and int(able.partition(".")[0]) < built:
        oldest = _OLDEST_DRIVER.get(built)
        needed = f"driver {oldest} or newer" if oldest else "a newer driver"
        return [
            Finding(
                "error",
                f"driver {snapshot.driver.value} (CUDA up to {able}) is too old for torch "
                f"{torch.version}, which is built for CUDA {torch.cuda}",
                f"it needs {needed}; in a container the driver is the host's: rent a pod whose "
                f"CUDA version is {built}.0 or above",
                f"sudo apt-get install -y nvidia-driver-{oldest or ''}-open && sudo reboot",
            )
        ]
    left_out = [
        f"GPU {gpu.index}"
        for gpu in snapshot.gpus
        if built >= 13 and not within(gpu.compute_capability.value or "99", ">=7.5")
    ]
    if left_out:
        return [
            Finding(
                "error",
                f"torch {torch.version} has no code for {', '.join(left_out)}",
                "builds for CUDA 13 begin at compute capability 7.5 (Turing)",
                "install a build of torch for CUDA 12.6, then: qtui doctor",
            )
        ]
    return [Finding("ok", f"torch {torch.version} for CUDA {torch.cuda}")]


def _bitsandbytes(torch: TorchBuild) -> list[Finding]:
    libraries = bitsandbytes_cudas()
    if torch.cuda is None or not libraries or torch.cuda in libraries:
        return []
    major = torch.cuda.partition(".")[0]
    near = [version for version in libraries if version.partition(".")[0] == major]
    if near:
        return [
            Finding(
                "note",
                f"bitsandbytes has no library for CUDA {torch.cuda} and will use {near[-1]}'s",
            )
        ]
    return [
        Finding(
            "error",
            f"bitsandbytes has no library for CUDA {torch.cuda}: 4-bit training will not start",
            f"it has them for {', '.join(libraries)}",
            f"{pip()} install --upgrade --force-reinstall --no-deps bitsandbytes",
        )
    ]


def _compiler() -> list[Finding]:
    """Triton, which the loss runs on, builds a small module with a C compiler at first use."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    missing = [] if shutil.which("gcc") or shutil.which("cc") or os.environ.get("CC") else ["gcc"]
    if not header.is_file():
        missing.append(f"libpython{sys.version_info.major}.{sys.version_info.minor}-dev")
    if not missing:
        return []
    return [
        Finding(
            "warning",
            f"{' and '.join(missing)} not installed: GPU kernels cannot be built at first use",
            "torch's Triton compiles a small C module with Python's headers",
            f"sudo apt-get install -y {' '.join(missing)}",
        )
    ]
