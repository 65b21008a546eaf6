from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from qtui.config.fields import fields
from qtui.config.load import load, resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS
from qtui.config.schema import schema
from qtui.config.template import commented, dump

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    described = json.loads(json.dumps(schema()))
    jsonschema.Draft202012Validator.check_schema(described)
    return jsonschema.Draft202012Validator(described)


def parsed(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("preset", PRESETS)
def test_it_accepts_every_preset(validator: jsonschema.Draft202012Validator, preset: str) -> None:
    config = load(None, preset=preset, environ={})
    validator.validate(parsed(commented(preset)))
    validator.validate(parsed(dump(config, only_changed=False)))
    validator.validate(resolve_dict(config))
    validator.validate({"preset": preset})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_accepts_the_run_files_to_copy(
    validator: jsonschema.Draft202012Validator, path: Path
) -> None:
    validator.validate(parsed(path.read_text()))


def test_it_accepts_an_empty_file_and_the_word_none(
    validator: jsonschema.Draft202012Validator,
) -> None:
    validator.validate(None)
    validator.validate({"training": {"max_steps": "none"}})


@pytest.mark.parametrize(
    "refused",
    [
        {"moon": {}},
        {"model": {"lora_rnk": 3}},
        {"preset": "moon"},
        {"training": {"learning_rate": 0}},
        {"training": {"seed": "none"}},
        {"training": {"device": "gpu"}},
        {"training": {"report_to": ["moon"]}},
        {"model": {"model_name": ""}},
        [],
    ],
)
def test_it_refuses_what_loading_refuses(
    validator: jsonschema.Draft202012Validator, refused: object
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(refused)


def test_every_setting_is_described(validator: jsonschema.Draft202012Validator) -> None:
    described = schema()
    for field in fields():
        ref = described["properties"][field.section]["anyOf"][0]["$ref"]
        model = described["$defs"][ref.rpartition("/")[2]]
        setting = model["properties"][field.name]
        assert " ".join(setting["description"].split()) == field.help
        assert setting["default"] == field.default


def test_making_it_leaves_the_models_own_schema_alone() -> None:
    before = FineTuneConfig.model_json_schema()
    schema()
    assert FineTuneConfig.model_json_schema() == before
