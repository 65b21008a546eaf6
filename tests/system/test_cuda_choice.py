"""One GPU a run: the right one, under the name that CUDA understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtui.errors import ImpossibleError
from qtui.system import cuda_choice
from qtui.system.cuda_choice import choose
from qtui.system.gpu_readings import Gpu, MigInstance, Reading, Snapshot


def gpu(index: int, free: int | None, *, cuda: int | None, uuid: str | None = "") -> Gpu:
    return Gpu(
        index=index,
        uuid=Reading(f"GPU-{index}" if uuid == "" else uuid),
        name=Reading(f"Card {index}"),
        memory_free=Reading(free),
        cuda_index=Reading(cuda),
    )


def seen(*gpus: Gpu) -> Snapshot:
    return Snapshot(available=True, gpus=gpus)


def test_auto_takes_the_gpu_with_most_free_memory() -> None:
    choice = choose("auto", seen(gpu(0, 5, cuda=0), gpu(1, 9, cuda=1)), {})
    assert choice is not None
    assert choice.visible == "GPU-1"
    assert "cuda:1 (Card 1)" in choice.sentence
    assert "most free memory of 2" in choice.sentence


def test_a_gpu_that_cuda_does_not_see_is_not_chosen() -> None:
    choice = choose("auto", seen(gpu(0, 5, cuda=0), gpu(1, 9, cuda=None)), {})
    assert choice is not None
    assert choice.visible == "GPU-0"


def test_the_number_is_cudas_own() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "1,0"}
    both = seen(gpu(0, 5, cuda=1), gpu(1, 9, cuda=0))
    chosen = choose("cuda:1", both, environment)
    assert chosen is not None
    assert chosen.visible == "GPU-0"


def test_without_a_uuid_the_entry_of_the_list_is_kept() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "3, 2"}
    chosen = choose("cuda:1", seen(gpu(2, 5, cuda=1, uuid=None)), environment)
    assert chosen is not None
    assert chosen.visible == "2"


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ImpossibleError, match="CUDA sees only cuda:0"):
        choose("cuda:7", seen(gpu(0, 5, cuda=0)), {})


def test_a_mig_slice_is_a_device_of_its_own() -> None:
    part = MigInstance(
        index=0,
        uuid=Reading("MIG-a"),
        name=Reading("slice"),
        memory_total=Reading(10),
        memory_used=Reading(1),
        memory_free=Reading(9),
        cuda_index=0,
    )
    whole = Gpu(index=0, uuid=Reading("GPU-0"), mig=Reading(True), mig_instances=(part,))
    choice = choose("auto", seen(whole), {})
    assert choice is not None
    assert choice.visible == "MIG-a"


def test_a_gpu_without_nvml_is_taken_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "nvidia0"
    node.touch()
    monkeypatch.setattr(cuda_choice, "DEVICE_NODE", node)
    choice = choose("auto", Snapshot(available=False, cause="library"), {})
    assert choice is not None
    assert choice.visible == "0"


def test_no_nvidia_library_leaves_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_choice, "DEVICE_NODE", tmp_path / "none")
    assert choose("auto", Snapshot(available=False, cause="library"), {}) is None
    assert choose("auto", seen(), {}) is None


def test_a_silent_driver_still_leaves_one_gpu_visible() -> None:
    silent = Snapshot(available=False, cause="timeout")
    first = choose("auto", silent, {})
    assert first is not None
    assert first.visible == "0"
    second = choose("cuda:1", silent, {"CUDA_VISIBLE_DEVICES": "4,6"})
    assert second is not None
    assert second.visible == "6"
