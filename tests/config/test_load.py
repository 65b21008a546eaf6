from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qtui.config.fields import by_key, fields
from qtui.config.load import from_dict, load, load_with_sources, resolve_dict
from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS
from qtui.config.problems import ConfigError
from qtui.config.sources import Layer
from qtui.config.template import dump, scalar
from tests.config import strategies

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def what_it_says(loading: Callable[[], FineTuneConfig]) -> str:
    """The error's message, or nothing where it loads; any other exception fails the test."""
    try:
        loading()
    except ConfigError as error:
        return str(error)
    return ""


def test_no_file_no_preset_is_all_defaults() -> None:
    assert load(None, environ={}) == FineTuneConfig()


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "{}", "---\n", "training:\n", "null"])
def test_an_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path, text), environ={}) == FineTuneConfig()


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert load(write(tmp_path, "\ufefftraining: {seed: 7}"), environ={}).training.seed == 7


def test_values_have_the_types_of_yaml_1_2(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "training: {learning_rate: 2e-4, max_steps: none, lr_scheduler_type: constant}\n"
        "data: {system_prompt: yes, split: 2026-11-20, dataset_config: 'none'}\n"
        "model: {lora_alpha: 16, target_modules: [q_proj, v_proj]}\n",
    )
    config = load(path, environ={})
    assert config.training.learning_rate == 2e-4
    assert config.training.max_steps is None
    assert config.data.system_prompt == "yes"
    assert config.data.split == "2026-11-20"
    assert config.data.dataset_config == "none"
    assert config.model.target_modules == ["q_proj", "v_proj"]


def test_each_layer_wins_over_the_ones_below(tmp_path: Path) -> None:
    path = write(tmp_path, "preset: quickstart\ntraining: {batch_size: 7, seed: 2, max_steps: 9}")
    loaded = load_with_sources(
        path,
        overrides=["training.batch_size=5", "training.batch_size=6"],
        environ={"QTUI_TRAINING__SEED": "3", "QTUI_TRAINING__BATCH_SIZE": "4"},
    )
    training = loaded.config.training
    assert (training.batch_size, training.seed, training.max_steps) == (6, 3, 9)
    assert (
        training.learning_rate == load(None, preset="quickstart", environ={}).training.learning_rate
    )
    assert training.learning_rate != FineTuneConfig().training.learning_rate
    assert training.weight_decay == 0
    assert loaded.preset == "quickstart"
    assert {
        name: loaded.layer(f"training.{name}")
        for name in ("batch_size", "seed", "max_steps", "learning_rate", "weight_decay")
    } == {
        "batch_size": Layer.FLAG,
        "seed": Layer.ENVIRONMENT,
        "max_steps": Layer.FILE,
        "learning_rate": Layer.PRESET,
        "weight_decay": Layer.DEFAULT,
    }
    assert str(loaded.sources["training.max_steps"].place) == f"{path}:2"
    assert loaded.sources.keys() == by_key().keys()


def test_the_preset_flag_wins_over_the_preset_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "preset: full\n")
    assert load(path, environ={}).model.full_finetuning
    assert load(path, preset="lora", environ={}) == load(None, preset="lora", environ={})


def test_qtuis_own_and_empty_variables_are_left_alone() -> None:
    environ = {"QTUI_WORKSPACE": "/x", "QTUI_CI": "1", "QTUI_MODEL__LORA_RANK": "", "HOME": "/"}
    assert load(None, environ=environ) == FineTuneConfig()


def test_the_process_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTUI_MODEL__LORA_RANK", "8")
    assert load(None).model.lora_rank == 8


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.system_prompt=Answer: #1 [INST]", "Answer: #1 [INST]"),
        ("data.system_prompt= two ", " two "),
        ("data.system_prompt='quoted: x'", "quoted: x"),
        ("data.system_prompt=a=b", "a=b"),
        ("data.system_prompt=2026", "2026"),
        ("data.system_prompt=", None),
        ("data.system_prompt=null", None),
        ("data.system_prompt=None", None),
        ('data.system_prompt="none"', "none"),
        ("model.target_modules=[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("model.target_modules=all-linear", "all-linear"),
        ("training.learning_rate=1e-5", 1e-5),
        ("training.gradient_checkpointing=true", True),
        ("training.gradient_checkpointing=auto", "auto"),
        (" training.max_steps = 5", 5),
        ("training.max_steps=none", None),
        ("training.report_to=[]", []),
        ('data.input_path=["builtin:camara", "org/name"]', ["builtin:camara", "org/name"]),
    ],
)
def test_what_a_flag_means(override: str, expected: object) -> None:
    key = override.partition("=")[0].strip()
    section, name = key.split(".")
    assert resolve_dict(load(None, overrides=[override], environ={}))[section][name] == expected


def test_a_value_that_is_overridden_need_not_be_right(tmp_path: Path) -> None:
    path = write(tmp_path, "training: {seed: abc}")
    assert load(path, overrides=["training.seed=1"], environ={}).training.seed == 1


def test_from_dict_refuses_what_this_version_does_not_know() -> None:
    resolved = resolve_dict(FineTuneConfig())
    resolved["training"]["warp_factor"] = 9
    resolved["training"]["seed"] = "x"
    resolved["moon"] = {}
    resolved["data"] = 3
    with pytest.raises(ConfigError) as caught:
        from_dict(resolved)
    assert {p.key for p in caught.value.problems} == {
        "training.warp_factor",
        "training.seed",
        "moon",
        "data",
    }
    assert "newer version" in str(caught.value)


@quick
@given(strategies.settings())
def test_dump_and_resolved_dict_lead_back_to_the_config(
    tmp_path: Path, flat: dict[str, object]
) -> None:
    try:
        config = FineTuneConfig.model_validate(strategies.nested(flat))
    except ValidationError:
        assume(False)
    assert from_dict(json.loads(json.dumps(resolve_dict(config)))) == config
    for only_changed in (True, False):
        text = dump(config, only_changed)
        assert text.isascii()
        loaded = load_with_sources(write(tmp_path, text), environ={})
        # Paths become absolute on loading; all else is as it was, and so is what was written.
        as_written = strategies.nested({k: s.value for k, s in loaded.sources.items()})
        assert FineTuneConfig.model_validate(as_written) == config
        assert loaded.config.training.learning_rate == config.training.learning_rate


@quick
@given(st.data())
def test_the_highest_layer_that_speaks_wins(tmp_path: Path, data: st.DataObject) -> None:
    """For any settings and any choice of layers for each of them."""
    bound = {"data.chunk_size", "data.chunk_overlap"}  # to each other
    whole = (f for f in fields() if "whole number" in f.type and not f.nullable)
    numbers = [f for f in whole if f.key not in bound]
    chosen = data.draw(
        st.lists(st.sampled_from(numbers), min_size=1, max_size=5, unique_by=lambda f: f.key)
    )
    layers: dict[Layer, dict[str, int]] = {
        layer: {f.key: data.draw(strategies.values(f)) for f in chosen if data.draw(st.booleans())}
        for layer in (Layer.FLAG, Layer.ENVIRONMENT, Layer.FILE)
    }
    preset = data.draw(st.sampled_from([None, *PRESETS]))
    layers[Layer.PRESET] = dict(PRESETS[preset].settings) if preset else {}
    layers[Layer.DEFAULT] = {field.key: field.default for field in fields()}

    in_file = strategies.nested(layers[Layer.FILE])
    text = "".join(
        f"{section}:\n" + "".join(f"  {name}: {value}\n" for name, value in named.items())
        for section, named in in_file.items()
    )
    loaded = load_with_sources(
        write(tmp_path, text),
        preset=preset,
        overrides=[f"{key}={value}" for key, value in layers[Layer.FLAG].items()],
        environ={
            f"QTUI_{key.upper().replace('.', '__')}": str(value)
            for key, value in layers[Layer.ENVIRONMENT].items()
        },
    )
    resolved = resolve_dict(loaded.config)
    for field in chosen:
        highest = next(layer for layer in Layer if field.key in layers[layer])
        assert loaded.layer(field.key) == highest
        assert resolved[field.section][field.name] == layers[highest][field.key]


@quick
@given(strategies.settings(max_size=4))
def test_flags_carry_any_value_as_a_file_does(flat: dict[str, object]) -> None:
    try:
        FineTuneConfig.model_validate(strategies.nested(flat))
    except ValidationError:
        assume(False)
    overrides = [f"{key}={scalar(value)}" for key, value in flat.items()]
    loaded = load_with_sources(None, overrides=overrides, environ={})
    assert {key: loaded.sources[key].value for key in flat} == flat


# What breaks parsers: syntax, odd numbers, tags, anchors, escapes, around names that exist.
_pieces = st.sampled_from(
    [
        *("model", "training", "data", "preset", "seed", "lora_rank", "input_path", "run_name"),
        *(": ", ":", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", "? ", "|\n", ">-\n"),
        *(
            "'",
            '"',
            "#",
            "&a ",
            "*a",
            "<<",
            "!!python/object:os.system ",
            "!x ",
            "!!int ",
            "!!map ",
        ),
        *(
            "!!float ",
            "!!bool ",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "%TAG ! x\n",
            "\t",
            "\r",
            "@",
            "`",
        ),
        *("2e-4", "0x", "-_", "1_0", ".inf", "-.nan", "1e999", "0o9", "9" * 5000, "12:30:45"),
        *(
            "2026-99-99",
            "~",
            "null",
            "true",
            "yes",
            "\\",
            '"\\ud800"',
            '"\\UFFFFFFFF"',
            "\x1b",
            "é",
        ),
        *("\ufeff", "\u2028", "\x85", "=", "%", "\0"),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_pieces, max_size=25).map("".join) | st.text(max_size=60))
def test_any_text_loads_or_raises_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = what_it_says(lambda: load(path, environ={}))
    assert not any(ord(char) < 32 and char != "\n" for char in message)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40)), st.dictionaries(st.text(max_size=5), st.text(max_size=9)))
def test_any_flag_and_variable_loads_or_raises_config_error(
    flags: list[bytes], variables: dict[str, str]
) -> None:
    keys = [field.key for field in fields()]
    overrides = [
        f"{keys[number % len(keys)]}={os.fsdecode(raw)}" for number, raw in enumerate(flags)
    ] + [os.fsdecode(raw) for raw in flags]
    environ = {f"QTUI_{name}__{name}": value for name, value in variables.items()}
    what_it_says(lambda: load(None, overrides=overrides, environ=environ))
