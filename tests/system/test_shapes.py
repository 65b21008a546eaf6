"""Shapes: exact counts of known models, and every place a shape is looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.builtin import model_path
from qtui.errors import InputError, NotFoundError
from qtui.system.hub_cache import cached_config, is_hub_id, token_source
from qtui.system.model_config import read_config, shape_from_config
from qtui.system.shapes import known_models, shape_of

MODELS = Path(__file__).parents[3] / "shared/data/chat_templates/models.json"
LLAMA_3B = {
    "model_type": "llama",
    "hidden_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}


@pytest.mark.skipif(not MODELS.exists(), reason="shared data is not here")
def test_every_known_model_has_the_count_that_the_collector_found():
    models = json.loads(MODELS.read_text())["models"]
    assert len(models) > 25
    for model in models:
        shape = known_models()[model["id"]]
        assert shape.parameters() == model["params_computed"], model["id"]
        assert shape.parameters() == model.get("params_reported", shape.parameters())
        assert shape.source == model["source"]


def test_a_name_is_found_without_its_owner_and_tuning_words():
    assert shape_of("Qwen/Qwen2.5-7B").parameters() == 7_615_616_512
    assert shape_of("unsloth/llama-3.2-3b-instruct-bnb-4bit").parameters() == 3_212_749_824
    assert "by its name" in shape_of("Qwen/Qwen2.5-7B").source


def test_an_unknown_model_names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotFoundError) as caught:
        shape_of("Qwen/Qwen2.5-7B-Instrukt")
    assert "Qwen/Qwen2.5-7B-Instruct" in caught.value.remedy
    with pytest.raises(NotFoundError) as caught:
        shape_of("./no/such/\x1b[31mfolder")
    assert "\x1b" not in caught.value.message


def test_the_built_in_model_is_read_from_its_own_folder():
    with pytest.raises(NotFoundError) as caught:
        shape_of("builtin:nope")
    assert "builtin:tiny" in caught.value.remedy
    folder = model_path("tiny")
    if not (folder / "config.json").exists():
        pytest.skip("the built-in model has not been made yet (scripts/make_tiny_model.py)")
    shape = shape_of("builtin:tiny")
    assert shape.exact
    size = (folder / "model.safetensors").stat().st_size
    assert any(size == pytest.approx(each * shape.parameters(), rel=0.05) for each in (2, 4))


def test_a_local_folder_comes_before_the_table(tmp_path, monkeypatch):
    folder = tmp_path / "Qwen" / "Qwen3-8B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA_3B))
    monkeypatch.chdir(tmp_path)
    assert shape_of("Qwen/Qwen3-8B").parameters() == 3_212_749_824


def test_the_hub_cache_is_read_at_the_revision_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--tuned"
    for commit, layers in (("a" * 40, 28), ("b" * 40, 2)):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        config = {**LLAMA_3B, "num_hidden_layers": layers}
        (snapshot / "config.json").write_text(json.dumps(config))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "refs" / "short").write_text("b" * 40)
    assert shape_of("someone/tuned").num_layers == 28
    assert shape_of("someone/tuned", "short").num_layers == 2
    assert shape_of("someone/tuned", "b" * 40).num_layers == 2
    (repository / "refs" / "evil").write_text("../../../etc")
    assert cached_config("someone/tuned", "evil") is None
    assert cached_config("someone/tuned", "../refs/main") is None


@given(st.text(max_size=60))
def test_no_name_leaves_the_cache(name):
    if is_hub_id(name):
        assert ".." not in name
        assert name.count("/") <= 1
        assert not name.startswith(("/", "."))


CONFIGS = {
    # name: (config.json content, parameters)
    "llama": (LLAMA_3B, 3_212_749_824),
    "qwen2": (
        {
            "model_type": "qwen2",
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "intermediate_size": 4864,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        494_032_768,
    ),
    "qwen3": (
        {
            "model_type": "qwen3",
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 3072,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        596_049_920,
    ),
    "gemma2": (
        {
            "model_type": "gemma2",
            "hidden_size": 2304,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "intermediate_size": 9216,
            "vocab_size": 256000,
        },
        2_614_341_888,
    ),
    "phi3": (
        {
            "model_type": "phi3",
            "hidden_size": 3072,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "intermediate_size": 8192,
            "vocab_size": 32064,
            "tie_word_embeddings": False,
        },
        3_821_079_552,
    ),
}


@pytest.mark.parametrize("family", CONFIGS)
def test_config_json_gives_the_exact_count(family):
    config, parameters = CONFIGS[family]
    shape = shape_from_config(config, name="x", source="test")
    assert shape.parameters() == parameters
    assert shape.exact


def test_phi3_has_fused_layers():
    names = [layer.name for layer in known_models()["microsoft/phi-4"].linear_layers()]
    assert names == ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"]


def test_gemma3_reads_its_nested_text_config():
    config = {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
        },
        "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27},
    }
    shape = shape_from_config(config, name="gemma-3-4b", source="test")
    # 3.88e9 in the decoder and 0.42e9 in the vision tower: the "4b" of its name
    assert shape.parameters() == pytest.approx(4.30e9, rel=0.01)
    assert not shape.exact


def test_an_unknown_architecture_is_read_by_common_names_and_marked():
    config = {"model_type": "newthing", "n_embd": 768, "n_layer": 12, "n_head": 12}
    shape = shape_from_config({**config, "vocab_size": 50257}, name="x", source="test")
    assert not shape.exact
    assert (shape.hidden_size, shape.num_layers, shape.num_heads) == (768, 12, 12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "holds no object"),
        (b'{"model_type": "llama"}', "hidden_size"),
        (b'{"hidden_size": -1}', "not a positive number"),
        (b'{"hidden_size": 1e99}', "not a positive number"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_config_that_is_no_use_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert said in caught.value.message


def test_a_token_is_found_but_never_told(tmp_path):
    secret = "hf_canary123"
    assert token_source({"HF_TOKEN": secret}) == "HF_TOKEN"
    assert token_source({"HF_HOME": str(tmp_path)}) is None
    (tmp_path / "token").write_text(secret)
    assert token_source({"HF_HOME": str(tmp_path)}) == str(tmp_path / "token")
