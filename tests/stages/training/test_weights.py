"""A model folder is looked at before it is loaded: whole, inside, no pickle, no code."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.errors import InputError, NotFoundError
from qtui.stages.training import remote_code, weights
from tests.model_folder import safetensors, write_model


def refused(folder: Path, *, trust: bool = False) -> InputError:
    with pytest.raises(InputError) as caught:
        weights.check(folder, trust_remote_code=trust)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("parts", [1, 3])
def test_a_whole_model_passes(tmp_path: Path, parts: int) -> None:
    folder = write_model(tmp_path / "m", parts=parts)
    weights.check(folder, trust_remote_code=False)
    assert len(weights.shards(folder)) == parts


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickled_weights_are_refused_by_name_and_never_opened(tmp_path: Path, name: str) -> None:
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    error = refused(folder)
    assert name in error.message
    assert "pickle" in error.message
    assert "safetensors" in error.remedy
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_beside_safetensors_is_left_alone(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "training_args.bin").write_bytes(b"pickle")
    weights.check(folder, trust_remote_code=False)
    assert weights.shards(folder) == ["model.safetensors"]


def test_what_is_no_model_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        weights.check(tmp_path / "none", trust_remote_code=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no config.json" in refused(empty).message
    (empty / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    assert "GGUF" in refused(empty).message
    (empty / "adapter_config.json").write_text("{}")
    (empty / "adapter_model.bin").write_bytes(b"")
    assert "adapter_model.bin is a pickle" in refused(empty).message


def test_missing_weights_and_foreign_names_are_told_apart(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    assert "consolidated.safetensors" in refused(folder).message
    (folder / "consolidated.safetensors").unlink()
    assert "no weights" in refused(folder).message


def test_an_adapter_beside_the_model_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter" in refused(folder).message


@pytest.mark.parametrize("left", [0, 4, 20, 200])
def test_a_file_cut_off_in_its_header_or_data_is_named(tmp_path: Path, left: int) -> None:
    path = write_model(tmp_path / "m") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    assert "model.safetensors" in refused(tmp_path / "m").message


@pytest.mark.parametrize("change", [-1, +1])
def test_a_torn_file_is_named_with_both_sizes(tmp_path: Path, change: int) -> None:
    path = write_model(tmp_path / "m", floats=10_000) / "model.safetensors"
    size = path.stat().st_size
    os.truncate(path, size + change)
    message = refused(tmp_path / "m").message
    assert f"{size:,}" in message
    assert f"{size + change:,}" in message


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.integers() | st.text()))
def test_no_header_gets_through_that_describes_no_tensors(tmp_path_factory, content) -> None:
    folder = write_model(tmp_path_factory.mktemp("m"))
    if isinstance(content, dict):
        raw = json.dumps(content).encode()
        content = struct.pack("<Q", len(raw)) + raw + b"tail"
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError):
        weights.check(folder, trust_remote_code=False)


def test_gaps_and_overlaps_between_tensors_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    for offsets in ([0, 4], [8, 12], [4, 2]):
        raw = json.dumps(header | {"b": {"data_offsets": offsets}}).encode()
        data = struct.pack("<Q", len(raw)) + raw + bytes(max(offsets))
        (folder / "model.safetensors").write_bytes(data)
        assert "broken header" in refused(folder).message


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", parts=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    error = refused(folder)
    assert isinstance(error, NotFoundError)
    assert "model-00002-of-00003.safetensors" in error.message


def test_an_index_of_another_model_is_noticed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", parts=2)
    (folder / "model-00001-of-00002.safetensors").write_bytes(safetensors({"other": 64}))
    assert "weight.1" in refused(folder).message


@pytest.mark.parametrize(
    "name",
    ["../other.safetensors", "/etc/x.safetensors", "a/../../x.safetensors", "..\\x.safetensors"],
)
def test_an_index_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m", parts=2)
    (tmp_path / "other.safetensors").write_bytes(safetensors({"weight": 4}))
    index = {"weight_map": {"weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "leaves the folder" in refused(folder).message


@pytest.mark.parametrize(
    "index", ["{", "[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "x.bin"}}']
)
def test_a_broken_index_is_refused(tmp_path: Path, index: str) -> None:
    folder = write_model(tmp_path / "m", parts=2)
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder)


def test_links_may_lead_into_the_hub_cache_and_nowhere_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(safetensors({"weight": 64}))
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(outside)
    assert "link out of the folder" in refused(folder).message

    repository = tmp_path / "hub" / "models--o--n"
    snapshot = write_model(repository / "snapshots" / ("a" * 40))
    (repository / "blobs").mkdir()
    (snapshot / "model.safetensors").rename(repository / "blobs" / "b")
    (snapshot / "model.safetensors").symlink_to("../../blobs/b")
    weights.check(snapshot, trust_remote_code=False)
    assert weights.identity(snapshot)["commit"] == "a" * 40


AUTO_MAP = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XModel"}


@pytest.mark.train
def test_code_of_an_unknown_architecture_is_refused_and_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", config={"model_type": "x", "auto_map": AUTO_MAP})
    error = refused(folder)
    assert "config.json names configuration_x.XConfig, modeling_x.XModel" in error.message
    assert "trust_remote_code: true" in error.remedy
    weights.check(folder, trust_remote_code=True)
    assert remote_code.files(folder) == ["configuration_x.py", "modeling_x.py"]


@pytest.mark.train
def test_a_tokenizer_that_is_only_code_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    auto_map = {"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(auto_map))
    weights.check(folder, trust_remote_code=False)  # tokenizer.json is used instead
    (folder / "tokenizer.json").unlink()
    assert "tokenizer_config.json names tokenization_x.X" in refused(folder).message


@pytest.mark.train
def test_code_beside_a_known_architecture_is_not_run(tmp_path: Path) -> None:
    """The reason why such a folder is accepted: transformers takes its own code."""
    from transformers import AutoConfig

    folder = write_model(tmp_path / "m", config={"auto_map": AUTO_MAP})
    canary = f"import os; os.mkdir({str(tmp_path / 'ran')!r})"
    for name in ("configuration_x.py", "modeling_x.py"):
        (folder / name).write_text(canary)
    weights.check(folder, trust_remote_code=False)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    assert type(config).__name__ == "LlamaConfig"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": {"": "sdpa", "text": "evil/kernel:run"}},
        {"text_config": {"_experts_implementation": "evil/kernel@v1"}},
    ],
)
def test_a_kernel_from_the_hub_is_code(tmp_path: Path, setting: dict) -> None:
    folder = write_model(tmp_path / "m", config=setting)
    assert "evil/kernel" in refused(folder).message
    weights.check(folder, trust_remote_code=True)


def test_names_and_settings_are_made_safe_to_show(tmp_path: Path) -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07"
    folder = write_model(tmp_path / "m", config={"attn_implementation": f"a/{evil}"})
    assert "\x1b" not in refused(folder).message
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").rename(folder / f"{evil}.bin")
    assert "\x1b" not in refused(folder).message


@pytest.mark.parametrize("content", ["", "[1]", "nonsense", "[" * 100_000])
def test_a_broken_config_is_named(tmp_path: Path, content: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_text(content)
    assert "config.json" in refused(folder).message


def test_identity_tells_models_apart(tmp_path: Path) -> None:
    one = weights.identity(write_model(tmp_path / "a", fill=1))
    assert one == weights.identity(write_model(tmp_path / "b", fill=1))
    assert one["method"] == "full"
    other = weights.identity(write_model(tmp_path / "c", fill=2))
    assert one["weights_sha256"] != other["weights_sha256"]
    assert one["config_sha256"] == other["config_sha256"]


def test_identity_of_large_weights_is_sampled_and_still_sees_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_WHOLE", 1024)
    a = write_model(tmp_path / "a", floats=1_000_000, fill=1)
    b = write_model(tmp_path / "b", floats=1_000_000, fill=2)
    found = weights.identity(a)
    assert found["method"] == "sampled"
    assert found["bytes"] == (a / "model.safetensors").stat().st_size
    assert found["weights_sha256"] != weights.identity(b)["weights_sha256"]
    data = bytearray((a / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (a / "model.safetensors").write_bytes(data)
    assert found["weights_sha256"] != weights.identity(a)["weights_sha256"]


@pytest.mark.train
def test_what_the_real_library_writes_passes(tmp_path: Path) -> None:
    import numpy
    from safetensors.numpy import save_file

    folder = write_model(tmp_path / "m")
    tensors = {"a": numpy.zeros((3, 5), "float16"), "empty": numpy.zeros((0,), "float32")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    weights.check(folder, trust_remote_code=False)


def test_looking_at_weights_loads_nothing_heavy() -> None:
    code = (
        "import sys, qtui.stages.training.weights as _; "
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
