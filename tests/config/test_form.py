"""The state of the configure form: precedence, texts, problems, and what it comes to."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.config import form as forms
from qtui.config.fields import by_key, fields
from qtui.config.form import Form
from qtui.config.load import load
from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS
from qtui.config.problems import ConfigError
from qtui.config.sources import Layer
from qtui.terminal import clean_line
from tests.config.strategies import settings, values

LR = "training.learning_rate"

presets = st.one_of(st.none(), st.sampled_from(list(PRESETS)))


def filled(own: dict[str, Any], preset: str | None = None) -> Form:
    form = Form(preset=preset)
    for key, value in own.items():
        form = form.with_value(key, value)
    return form


@given(own=settings(), preset=presets)
def test_loading_the_yaml_of_a_form_gives_its_config(
    own: dict[str, Any], preset: str | None
) -> None:
    form = filled(own, preset)
    with tempfile.TemporaryDirectory() as place:
        form = form.rebased(Path(place))
        path = Path(place) / "run.yaml"
        path.write_text(form.yaml(), encoding="utf-8")
        if form.config is None:
            with pytest.raises(ConfigError) as raised:
                load(path, environ={})
            assert {p.key for p in raised.value.problems} == {p.key for p in form.problems}
        else:
            assert load(path, environ={}) == form.config
            again = forms.opened(path, {})
            assert again.config == form.config
            assert not again.unsaved


@given(own=settings(), preset=st.sampled_from(list(PRESETS)))
def test_the_command_of_a_form_gives_its_config(own: dict[str, Any], preset: str) -> None:
    form = filled(own, preset)
    words = shlex.split(shlex.join(form.command()))
    assert words[:4] == ["qtui", "train", "--preset", preset]
    if form.config is not None:
        assert load(None, preset=preset, overrides=words[5::2], environ={}) == form.config


@given(data=st.data(), field=st.sampled_from(fields()))
def test_a_value_shown_and_typed_again_is_the_same_value(data: Any, field: Any) -> None:
    value = data.draw(values(field))
    text = forms.text_of(field.key, value)
    assert text == clean_line(text)
    read = Form(preset=None).typed(field.key, text)
    assert read.value(field.key) == value
    assert not read.unread


@given(text=st.text(max_size=20), field=st.sampled_from(fields()))
def test_no_text_can_be_typed_that_breaks_the_form(text: str, field: Any) -> None:
    form = Form().typed(field.key, text)
    assert form.text(field.key) == clean_line(form.text(field.key))
    assert (form.config is None) == bool(form.problems)
    form.yaml()
    form.command()


@given(own=settings())
def test_a_config_makes_a_form_that_comes_to_it(own: dict[str, Any]) -> None:
    config = filled(own).config
    if config is not None:
        assert forms.of_config(config, {}).config == config


def test_own_values_win_over_a_preset_and_stay_when_it_changes() -> None:
    form = Form(preset="quickstart")
    assert form.layer(LR) is Layer.PRESET
    assert form.value(LR) == 1.5e-3
    form = form.typed(LR, "3e-4").with_preset("qlora-80gb")
    assert (form.value(LR), form.layer(LR)) == (3e-4, Layer.FILE)
    assert form.value("training.batch_size") == 8
    form = form.reset(LR)
    assert (form.value(LR), form.layer(LR)) == (1e-4, Layer.PRESET)
    assert form.with_preset(None).value(LR) == 2e-4


def test_typing_the_value_that_stands_there_anyway_is_no_change() -> None:
    form = Form(preset="quickstart")
    assert not form.typed(LR, "0.0015").own
    assert form.typed(LR, "2e-4").own == {LR: 2e-4}
    assert "training.batch_size" in form.changed
    assert "training.seed" not in form.changed


def test_every_problem_is_told_at_once_with_what_was_meant() -> None:
    form = (
        Form()
        .typed(LR, "fast")
        .typed("training.lr_scheduler_type", "cosin")
        .typed("training.report_to", "wandb, tensorbord")
        .typed("data.input_path", "[a, b")
    )
    assert form.config is None
    assert [problem.key for problem in form.problems] == [
        "data.input_path",
        LR,
        "training.lr_scheduler_type",
        "training.report_to",
    ]
    assert form.problem("training.lr_scheduler_type").endswith("did you mean cosine?")
    assert "tensorboard" in form.problem("training.report_to")
    assert form.problem("data.input_path") == "a bracket or quote is never closed"
    assert form.text("data.input_path") == "[a, b"
    assert form.reset("data.input_path").text("data.input_path") == "builtin:camara"


def test_settings_that_contradict_each_other_are_a_problem() -> None:
    form = Form(preset=None).typed("model.full_finetuning", "true")
    assert "use_qlora: false" in form.problem("model.full_finetuning")
    assert form.typed("model.use_qlora", "false").config is not None


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("model.target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]),
        ("model.target_modules", "[q_proj]", ["q_proj"]),
        ("model.target_modules", "q_proj", ["q_proj"]),
        ("model.target_modules", "all-linear", "all-linear"),
        ("model.target_modules", "all-liner", "all-liner"),
        ("training.report_to", "wandb", ["wandb"]),
        ("training.report_to", "[]", []),
        ("data.input_path", "a, b.jsonl", "a, b.jsonl"),
        ("data.input_path", "[a.jsonl, b.jsonl]", ["a.jsonl", "b.jsonl"]),
        ("training.max_steps", "none", None),
        ("training.max_steps", "", None),
        ("data.system_prompt", "Answer: #1", "Answer: #1"),
        ("training.gradient_checkpointing", "auto", "auto"),
        ("training.gradient_checkpointing", "true", True),
    ],
)
def test_texts_are_read_as_people_type_them(key: str, text: str, value: Any) -> None:
    form = Form(preset=None).typed(key, text)
    assert form.value(key) == value
    assert type(form.value(key)) is type(value)


def test_choices_are_all_that_a_setting_takes() -> None:
    assert forms.choices("model.use_qlora") == ("true", "false")
    assert forms.choices("training.gradient_checkpointing") == ("true", "false", "auto")
    assert forms.choices("model.attn_implementation")[-1] == "none"
    assert forms.choices(LR) == ()
    assert forms.choices("model.target_modules") == ()
    for field in fields():
        for choice in forms.choices(field.key):
            assert (
                not Form(preset=None)
                .typed(field.key, choice)
                .problem(field.key)
                .startswith("must be")
            )


def test_the_environment_wins_and_its_mistakes_are_told() -> None:
    form = forms.blank({"QTUI_TRAINING__SEED": "7", "QTUI_TRAINING__SEAD": "1"})
    assert form.typed("training.seed", "3").value("training.seed") == 7
    assert form.layer("training.seed") is Layer.ENVIRONMENT
    assert "did you mean" in str(form.problems[0])


def test_relative_paths_keep_their_file_when_the_run_file_moves(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").touch()
    (tmp_path / "sub").mkdir()
    form = Form(preset=None, folder=tmp_path)
    form = form.typed("data.input_path", "data").typed("training.output_dir", "sub/out")
    form = form.typed("data.validation_path", "owner/rows")
    inside = form.rebased(tmp_path / "sub")
    assert inside.own["data.input_path"] == str(tmp_path / "data")
    assert inside.own["training.output_dir"] == "./out"
    assert inside.own["data.validation_path"] == "owner/rows"
    assert inside.config == form.config
    assert form.rebased(tmp_path) is form


def test_a_wrong_run_file_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("training:\n  lerning_rate: 1\n  seed: x\n")
    with pytest.raises(ConfigError) as raised:
        forms.opened(path, {})
    assert [problem.line for problem in raised.value.problems] == [2, 3]


def test_a_new_form_is_the_default_preset() -> None:
    form = forms.blank({})
    assert isinstance(form.config, FineTuneConfig)
    assert form.preset == "quickstart"
    assert form.yaml() == "preset: quickstart\n"
    assert Form(preset=None).yaml() == "{}\n"
    assert set(by_key()) >= form.changed
