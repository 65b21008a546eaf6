from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qtui.config.docs import page
from qtui.config.fields import by_key, fields
from qtui.config.load import load, resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.config.names import _OTHER_NAMES

ROOT = Path(__file__).parents[2]


def test_the_list_is_the_models() -> None:
    resolved = resolve_dict(FineTuneConfig())
    assert [field.key for field in fields()] == [
        f"{section}.{name}" for section, settings in resolved.items() for name in settings
    ]
    for field in fields():
        assert resolved[field.section][field.name] == field.default
        assert field.help.endswith((".", ")"))


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("model.lora_rank", "a whole number, at least 1 and at most 4096"),
        ("model.lora_dropout", "a number, at least 0 and below 1"),
        ("model.bnb_4bit_quant_type", "one of nf4, fp4"),
        ("model.target_modules", "all-linear, or a list of texts"),
        ("training.max_steps", "a whole number, at least 1, or none"),
        ("training.gradient_checkpointing", "true or false, or auto"),
        ("training.device", "auto, cpu, cuda or cuda:N"),
        ("training.report_to", "a list with any of wandb, tensorboard, trackio"),
        ("data.input_path", "text, not empty, or a list of texts"),
        ("data.system_prompt", "text, or none"),
    ],
)
def test_what_is_allowed_in_words(key: str, allowed: str) -> None:
    assert by_key()[key].allowed == allowed


def test_names_of_other_tools_lead_to_settings_that_exist() -> None:
    assert set(_OTHER_NAMES.values()) <= by_key().keys()
    assert not _OTHER_NAMES.keys() & {field.name for field in fields()}


def test_the_documentation_is_what_the_models_say() -> None:
    written = (ROOT / "docs" / "run-file.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m qtui.config.docs > docs/run-file.md"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_run_files_to_copy_load(path: Path) -> None:
    config = load(path, environ={})
    assert config != FineTuneConfig()
    data = config.data.input_path
    if str(data).endswith(".jsonl"):
        assert data == str(path.parent / "train.jsonl")


def test_there_are_run_files_to_copy() -> None:
    names = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    assert {"quickstart", "sft", "lora", "full"} <= names


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("qtui.config.load", "torch transformers numpy pandas textual msgspec psutil"),
        ("qtui.config.presets", "torch textual pydantic ruamel.yaml"),
        ("qtui.config.problems", "torch textual pydantic ruamel.yaml"),
    ],
)
def test_imports_stay_light(module: str, forbidden: str) -> None:
    script = f"import sys, {module}; print(sorted(set('{forbidden}'.split()) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
