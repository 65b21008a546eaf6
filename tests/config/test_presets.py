from __future__ import annotations

import pytest

from qtui.config.fields import by_key
from qtui.config.load import load, load_with_sources
from qtui.config.presets import DEFAULT, PRESETS
from qtui.config.problems import ConfigError
from qtui.config.sources import Layer
from qtui.system.estimate import estimate
from qtui.system.shapes import shape_of


def test_the_presets_are_those_of_the_documentation() -> None:
    names = ["quickstart", "qlora-small-gpu", "qlora-24gb", "qlora-80gb", "lora", "full"]
    assert list(PRESETS) == names
    assert DEFAULT in PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_all_of_it_arrives(name: str) -> None:
    loaded = load_with_sources(None, preset=name, environ={})
    resolved = loaded.config.model_dump()
    for key, value in PRESETS[name].settings.items():
        field = by_key()[key]
        assert resolved[field.section][field.name] == value
        assert type(resolved[field.section][field.name]) is type(value)
        assert loaded.layer(key) == Layer.PRESET
        assert str(loaded.sources[key].place) == f"preset {name}"
    assert PRESETS[name].sentence.endswith(".")


def test_each_preset_trains_as_its_name_says() -> None:
    methods = {name: load(None, preset=name, environ={}).model.method for name in PRESETS}
    assert methods == {
        "quickstart": "qlora",
        "qlora-small-gpu": "qlora",
        "qlora-24gb": "qlora",
        "qlora-80gb": "qlora",
        "lora": "lora",
        "full": "full",
    }


@pytest.mark.parametrize(
    ("name", "gigabytes"), [("qlora-small-gpu", 6), ("qlora-24gb", 24), ("qlora-80gb", 80)]
)
def test_a_preset_fits_on_the_gpu_it_is_named_after(name: str, gigabytes: int) -> None:
    config = load(None, preset=name, environ={})
    shape = shape_of(config.model.model_name)
    need = estimate(config, shape, device="cuda", gradient_checkpointing=True)
    assert need.high < 0.95 * gigabytes * 1e9


def test_quickstart_needs_no_network() -> None:
    config = load(None, preset="quickstart", environ={})
    assert config.model.model_name == "builtin:tiny"
    assert config.data.input_path == "builtin:camara"


def test_an_unknown_preset_is_told_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, preset="qlora-25gb", environ={})
    assert str(caught.value) == (
        '--preset: there is no preset "qlora-25gb"; did you mean qlora-24gb?'
    )
