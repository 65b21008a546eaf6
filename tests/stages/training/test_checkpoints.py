"""A checkpoint is complete or does not exist."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.stages.training import checkpoints


def stage(folder: Path, step: int, content: bytes = b"weights") -> Path:
    """What a trainer leaves before the checkpoint is sealed."""
    staging = folder / checkpoints.STAGING / f"checkpoint-{step}"
    (staging / "sub").mkdir(parents=True)
    (staging / "adapter_model.safetensors").write_bytes(content)
    (staging / "sub" / "state").write_bytes(b"x" * step)
    return staging


def seal(folder: Path, step: int, content: bytes = b"weights") -> Path:
    target, _ = checkpoints.complete(
        stage(folder, step, content),
        folder,
        step=step,
        epoch=0.5,
        trained_tokens=10 * step,
        num_tokens=20 * step,
    )
    checkpoints.tidy(folder)
    return target


def test_a_sealed_checkpoint_is_read_back(tmp_path: Path) -> None:
    target = seal(tmp_path, 12)
    assert target == tmp_path / "step-000012"
    manifest = checkpoints.read(target)
    assert manifest is not None
    assert (manifest.step, manifest.epoch) == (12, 0.5)
    assert (manifest.trained_tokens, manifest.num_tokens) == (120, 240)
    assert {file.name for file in manifest.files} == {"adapter_model.safetensors", "sub/state"}
    assert manifest.size == 7 + 12
    assert not (tmp_path / checkpoints.STAGING).exists()


@pytest.mark.parametrize("damage", ["no manifest", "torn manifest", "missing", "short", "flipped"])
def test_a_damaged_one_does_not_exist_and_the_one_before_it_is_taken(
    tmp_path: Path, damage: str
) -> None:
    seal(tmp_path, 10)
    last = seal(tmp_path, 20)
    manifest = last / checkpoints.MANIFEST
    weights = last / "adapter_model.safetensors"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "torn manifest":
        manifest.write_bytes(manifest.read_bytes()[:-20])
    elif damage == "missing":
        weights.unlink()
    elif damage == "short":
        weights.write_bytes(b"weight")
    else:
        weights.write_bytes(b"weighty"[:7].replace(b"y", b"x"))
    assert checkpoints.read(last) is None
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[1].step == 10


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.newest(tmp_path / "absent") is None
    stage(tmp_path, 3)
    assert checkpoints.newest(tmp_path) is None
    checkpoints.tidy(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    seal(tmp_path, 5, b"first")
    target = seal(tmp_path, 5, b"second")
    assert (target / "adapter_model.safetensors").read_bytes() == b"second"
    assert checkpoints.read(target) is not None


@given(
    steps=st.lists(st.integers(1, 999_999), unique=True, min_size=1, max_size=8),
    keep=st.integers(1, 6),
    data=st.data(),
)
def test_rotation_keeps_the_newest_and_the_best(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[int],
    keep: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("rotate")
    best = data.draw(st.sampled_from([None, *steps]))
    for step in steps:
        (folder / checkpoints.folder_name(step)).mkdir()
    saved = max(steps)
    removed = checkpoints.rotate(folder, keep=keep, saved_step=saved, best_step=best)
    left = {int(path.name.split("-")[1]) for path in folder.iterdir()}
    assert max(steps) in left
    assert best is None or best in left
    assert left | {int(path.name.split("-")[1]) for path in removed} == set(steps)
    # With a limit of one, the newest and the best may be two.
    assert len(left) <= max(keep, 1 if best in (None, max(steps)) else 2)
    others = set(steps) - left
    assert all(step > other for step in left - {best} for other in others)


def test_the_one_just_saved_stays_and_damaged_later_ones_go_first(tmp_path: Path) -> None:
    for step in (20, 22, 30):
        seal(tmp_path, step)
    (tmp_path / "step-000030" / checkpoints.MANIFEST).unlink()
    checkpoints.rotate(tmp_path, keep=2, saved_step=22, best_step=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000020", "step-000022"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    target = seal(tmp_path, 5)
    target.rename(tmp_path / ".replaced-step-000005")
    stage(tmp_path, 5)
    checkpoints.tidy(tmp_path)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[1].step == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-000005"]


def test_steps_sort_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000, 2_000_000):
        seal_small = tmp_path / checkpoints.folder_name(step)
        seal_small.mkdir()
        staging = stage(tmp_path, 1)
        seal_small.rmdir()
        checkpoints.complete(
            staging, tmp_path, step=step, epoch=None, trained_tokens=0, num_tokens=0
        )
        checkpoints.tidy(tmp_path)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[1].step == 2_000_000


def test_too_little_space_says_how_much_is_needed(tmp_path: Path) -> None:
    seal(tmp_path, 7)
    checkpoints.require_space(tmp_path, 1)
    with pytest.raises(checkpoints.DiskFullError) as caught:
        checkpoints.require_space(tmp_path, 10**18)
    assert "needs 1,000,000,000,000 MB" in caught.value.message
    assert "the checkpoint of step 7 is whole" in caught.value.message
    assert "free" in caught.value.remedy


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "quota"),
        RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/3"),
    ],
)
def test_a_full_disk_is_known_under_its_names(error: Exception) -> None:
    assert checkpoints.is_disk_full(error)
    wrapped = ValueError("serialising failed")
    wrapped.__cause__ = error
    assert checkpoints.is_disk_full(wrapped)
    assert not checkpoints.is_disk_full(ValueError("something else"))
