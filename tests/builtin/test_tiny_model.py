"""`builtin:tiny` loads by plain means, is small, and its template marks the assistant's words."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.builtin import model_path
from qtui.errors import NotFoundError

LIMIT = 12_000_000


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, qtui.builtin, qtui.builtin.camara;"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(NotFoundError, match="no built-in"):
        model_path("huge")


def test_the_folder_is_complete_and_small() -> None:
    names = {p.name for p in model_path().iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    assert not {n for n in names if n.endswith((".bin", ".pt", ".pth", ".pkl"))}
    assert (model_path() / "model.safetensors").stat().st_size <= LIMIT


def test_the_sizes_suit_nf4_on_a_cpu() -> None:
    config = json.loads((model_path() / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["hidden_size"] % 64 == 0
    assert config["intermediate_size"] % 64 == 0
    assert config["max_position_embeddings"] >= 1024
    assert config["pad_token_id"] != config["eos_token_id"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(model_path())


@given(st.text())
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    if any(token in text for token in tokenizer.all_special_tokens):
        return
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@given(st.binary())
def test_any_bytes_come_back(tokenizer: Any, raw: bytes) -> None:
    text = raw.decode("utf-8", errors="replace")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_digits_stand_alone(tokenizer: Any) -> None:
    pieces = tokenizer.tokenize("port 65535 on 192.0.2.17")
    assert [p for p in pieces if any(c.isdigit() for c in p)] == list("65535192" + "0" + "217")


CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc 1"}],
    [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": '{"two":2}'},
        {"role": "user", "content": "drei ☃"},
        {"role": "assistant", "content": "four"},
    ],
    [
        {"role": "user", "content": [{"type": "text", "text": "parts"}]},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "done"},
    ],
]


@pytest.mark.parametrize("chat", CHATS)
def test_the_mask_covers_exactly_what_the_assistant_says(
    tokenizer: Any, chat: list[dict[str, Any]]
) -> None:
    out = tokenizer.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    wanted = "".join(
        (m["content"] or "") + tokenizer.eos_token for m in chat if m["role"] == "assistant"
    )
    assert tokenizer.decode(said) == wanted
    assert out["input_ids"].count(tokenizer.bos_token_id) == 1


def test_the_generation_prompt_is_the_beginning_of_an_answer(tokenizer: Any) -> None:
    chat = CHATS[1]
    whole = tokenizer.apply_chat_template(chat, tokenize=False)
    asked = tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
    assert whole.startswith(asked)
    assert asked.endswith("<|assistant|>")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.train
def test_the_model_loads_plainly_and_copies_an_address(tokenizer: Any) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.bfloat16)
    sizes = [m.weight.shape for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert all(out % 32 == 0 for out, _ in sizes)
    assert sum(p.numel() for p in model.parameters()) * 2 <= LIMIT
    right = 0
    for address in ("203.0.113.77", "198.18.44.201", "10.9.130.6", "192.168.7.254"):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": f"Repeat: {address}"}],
            add_generation_prompt=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        out = model.generate(**ids, max_new_tokens=30, do_sample=False)
        text = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        right += text == address
    assert right >= 3
