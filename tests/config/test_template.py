from __future__ import annotations

import re
from pathlib import Path

import pytest

from qtui.config.fields import fields
from qtui.config.load import load, load_with_sources
from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS
from qtui.config.problems import ConfigError
from qtui.config.sources import Layer
from qtui.config.template import commented, dump, scalar


@pytest.mark.parametrize("preset", PRESETS)
def test_a_commented_run_file_is_exactly_its_preset(tmp_path: Path, preset: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(commented(preset))
    loaded = load_with_sources(path, environ={})
    assert loaded.config == load(None, preset=preset, environ={})
    active = {key for key, setting in loaded.sources.items() if setting.layer == Layer.FILE}
    assert active == PRESETS[preset].settings.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_stands_there_with_its_help_and_its_default(
    tmp_path: Path, preset: str
) -> None:
    text = commented(preset)
    prose = " ".join(re.sub(r"^ *# ?", "", line) for line in text.splitlines())
    for field in fields():
        assert field.help in prose
    path = tmp_path / "run.yaml"
    path.write_text(re.sub(r"^  #(?=\w)", "  ", text, flags=re.MULTILINE))
    loaded = load_with_sources(path, environ={})
    assert {s.layer for s in loaded.sources.values()} == {Layer.FILE}
    assert loaded.config == load(None, preset=preset, environ={})
    assert max(map(len, text.splitlines())) <= 88


def test_an_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="no such preset"):
        commented("none")


def test_dump_says_only_what_is_not_the_default() -> None:
    assert dump(FineTuneConfig(), only_changed=True) == "{}\n"
    config = load(
        None,
        overrides=[
            "training.learning_rate=0.0001",
            "data.system_prompt=Say: yes\n",
            "training.max_steps=5",
            "model.dtype=float32",
        ],
        environ={},
    )
    assert dump(config, only_changed=True) == (
        "model:\n"
        "  dtype: float32\n"
        "data:\n"
        '  system_prompt: "Say: yes\\n"\n'
        "training:\n"
        "  max_steps: 5\n"
        "  learning_rate: 1e-4\n"
    )
    assert len(dump(config, only_changed=False).splitlines()) == len(fields()) + 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2e-4, "2e-4"),
        (1.5e-7, "1.5e-7"),
        (3.0, "3"),
        (0.05, "0.05"),
        (0.0, "0"),
        ("builtin:tiny", "builtin:tiny"),
        ("./a/b.jsonl", "./a/b.jsonl"),
        ("/a b", '"/a b"'),
        ("No", '"No"'),
        ("none", '"none"'),
        ("12", '"12"'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("é\x1b😀", '"\\xe9\\x1b\\U0001f600"'),
        (["a", "b c"], '[a, "b c"]'),
    ],
)
def test_values_are_written_as_people_write_them(value: object, text: str) -> None:
    assert scalar(value) == text
