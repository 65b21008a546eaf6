"""The configure screen: filling in, judging, looking at data, files, launching; by keys alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from qtui import keymap
from qtui.config import form as forms
from qtui.config.load import from_dict, load
from qtui.runs import folder, launch
from qtui.screens.configure.screen import ConfigureScreen
from qtui.screens.dialogs import Ask, Choice
from qtui.screens.list_editor import ListEditor
from qtui.screens.picker import Picker
from qtui.system.gpu_readings import Snapshot
from qtui.terminal import clean
from tests.cli.corpus import IN_NAMES, control_characters
from tests.dashboard.harness import Machine, drive, on_screen, screen_text, seen, shows, until
from tests.dashboard.machines import NO_GPU, RTX_4090, TWO_H100, gpu
from tests.dashboard.run_folders import LLAMA, config, finished, training, write
from tests.model_folder import write_model

ROOT = Path(__file__).parents[2]
LR = "training.learning_rate"


@asynccontextmanager
async def configuring(
    workspace: Path,
    size: tuple[int, int] = (80, 24),
    *,
    gpus: Snapshot = NO_GPU,
    environment: dict[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[tuple[Pilot[None], ConfigureScreen]]:
    """The dashboard on the configure screen, with whether it fits reckoned."""
    variables = {
        "XDG_CACHE_HOME": str(workspace / ".cache"),
        "HF_HUB_CACHE": str(workspace / ".hub"),
        **(environment or {}),
    }
    before = Path.cwd()
    os.chdir(workspace)
    try:
        async with drive(workspace, size, gpus=gpus, environment=variables, **more) as pilot:
            await pilot.press("2")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfigureScreen))
            screen = pilot.app.screen
            assert isinstance(screen, ConfigureScreen)
            await until(pilot, lambda: screen.is_mounted and reckoned(screen))
            yield pilot, screen
    finally:
        os.chdir(before)


def reckoned(screen: ConfigureScreen) -> bool:
    """Whether the fit on the screen is of the form on the screen."""
    fit, config = screen.reckoner.fit, screen.form.config
    return fit is not None and fit.estimate is not None and config is not None and (
        fit.estimate.config == config.model_dump(mode="json")
    )  # fmt: skip


async def go_to(pilot: Pilot[None], screen: ConfigureScreen, key: str) -> None:
    """Stand on the setting `key`, by `/`."""
    await pilot.press("slash")
    await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
    await pilot.press(*key.replace(".", " ").replace(" ", "."))
    await pilot.press("enter")
    await until(pilot, lambda: screen.is_current and screen.lines.key == key)


async def type_in(pilot: Pilot[None], screen: ConfigureScreen, key: str, text: str) -> None:
    """Give the setting `key` the value `text`, by keys."""
    await go_to(pilot, screen, key)
    await pilot.press("enter")
    await until(pilot, lambda: screen.editor.typing == key)
    await pilot.press(*text, "enter")
    await until(pilot, lambda: not screen.editor.typing)
    await pilot.pause()


async def answer(pilot: Pilot[None], kind: type, *keys: str) -> None:
    """Press `keys` once a dialog of `kind` is up, and wait until it is gone."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    dialog = pilot.app.screen
    await pilot.press(*keys)
    await until(pilot, lambda: pilot.app.screen is not dialog)


# -- what it looks like ------------------------------------------------------------------------


@on_screen
async def test_a_new_form_on_a_narrow_terminal(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, _):
        await shows(pilot, "configure-new-80x24")


@on_screen
async def test_a_new_form_on_a_wide_terminal(tmp_path: Path) -> None:
    async with configuring(tmp_path, (120, 40)) as (pilot, _):
        await shows(pilot, "configure-new-120x40")


@on_screen
async def test_ascii_draws_nothing_else(tmp_path: Path) -> None:
    async with configuring(tmp_path, (120, 40), config="ascii = true\n") as (pilot, screen):
        await type_in(pilot, screen, LR, "hot")
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        assert screen_text(pilot.app).isascii()
        await pilot.press("escape")
        await go_to(pilot, screen, "training.report_to")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListEditor))
        assert screen_text(pilot.app).isascii()
        await pilot.press("escape")
        await until(pilot, lambda: screen.is_current)
        await shows(pilot, "configure-ascii-120x40")


@on_screen
async def test_a_terminal_that_becomes_narrow_and_wide_again(tmp_path: Path) -> None:
    async with configuring(tmp_path, (120, 40)) as (pilot, screen):
        await go_to(pilot, screen, "training.seed")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not screen.has_class("-wide"))
        await seen(pilot, "▸  seed")
        assert "run file\n" not in screen_text(pilot.app)
        await pilot.resize_terminal(120, 40)
        await seen(pilot, "preset: quickstart")


# -- filling in --------------------------------------------------------------------------------


@on_screen
async def test_a_value_is_typed_reset_and_taken_back(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, LR, "3e-4")
        assert screen.form.own == {LR: 3e-4}
        await seen(pilot, "* 3e-4")
        await shows(pilot, "configure-changed-80x24")
        await pilot.press("r")
        assert screen.form.value(LR) == 1.5e-3
        await pilot.press("u")
        assert screen.form.value(LR) == 3e-4
        await pilot.press("u")
        assert not screen.form.own
        await pilot.press("u")
        await seen(pilot, "nothing to take back")


@on_screen
async def test_escape_leaves_a_value_as_it_was_and_arrows_take_it_along(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, LR)
        await pilot.press("enter", "7", "escape")
        await pilot.pause()
        assert not screen.form.own
        assert screen.lines.has_focus
        await pilot.press("enter", *"1e-4", "down")
        await pilot.pause()
        assert screen.form.own == {LR: 1e-4}
        assert screen.lines.key == "training.lr_scheduler_type"


@on_screen
async def test_what_is_being_typed_is_part_of_what_is_saved(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, LR)
        await pilot.press("enter", *"3e-4", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        assert screen.form.own == {LR: 3e-4}
        assert not screen.editor.typing


@on_screen
async def test_a_wrong_value_is_told_while_it_is_typed_and_refuses_the_launch(
    tmp_path: Path,
) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, LR)
        await pilot.press("enter", *"hot")
        await seen(pilot, 'given the text "hot"')
        assert not screen.form.own
        await pilot.press("enter")
        await type_in(pilot, screen, "training.device", "cuba")
        await pilot.press("left")
        await seen(pilot, "! 2 to mend")
        await pilot.press("ctrl+l")
        await seen(pilot, "To mend before this can run")
        for key in (LR, "training.device"):
            assert f"! {key}" in screen_text(pilot.app)
        await pilot.press("y")
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert pilot.app.screen is screen
        assert not folder.all_runs(tmp_path)
        await pilot.press("escape")
        await shows(pilot, "configure-problems-80x24")


@on_screen
async def test_choices_are_listed_and_space_takes_the_next(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, "training.lr_scheduler_type")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await seen(pilot, "▸ linear")
        await answer(pilot, Picker, "down", "enter")
        assert screen.form.value("training.lr_scheduler_type") == "cosine"
        await pilot.press("space")
        assert screen.form.value("training.lr_scheduler_type") == "constant"
        await go_to(pilot, screen, "model.use_qlora")
        await pilot.press("space")
        assert screen.form.value("model.use_qlora") is False
        await pilot.press("enter")
        await answer(pilot, Picker, "escape")
        assert screen.form.value("model.use_qlora") is False


@on_screen
async def test_a_list_is_put_together(tmp_path: Path) -> None:
    key = "model.target_modules"
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListEditor))
        await seen(pilot, "[x] all-linear")
        await seen(pilot, "[ ] q_proj")
        await pilot.press("down", "enter", *"lm_head", "enter", "ctrl+s")
        await until(pilot, lambda: screen.is_current)
        assert screen.form.value(key) == ["q_proj", "lm_head"]
        assert "cannot carry an adapter" in screen.form.problem(key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListEditor))
        await seen(pilot, "[x] lm_head")
        await pilot.press("up", "enter", "ctrl+s")
        await until(pilot, lambda: screen.is_current)
        assert screen.form.value(key) == "all-linear"
        await pilot.press("enter")
        await answer(pilot, ListEditor, "down", "enter", "escape")
        assert not screen.form.own


@on_screen
async def test_another_preset_changes_only_what_was_not_set_by_hand(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "training.max_seq_length", "512")
        await pilot.press("home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await shows(pilot, "configure-presets-80x24")
        await answer(pilot, Picker, *"24gb", "enter")
        assert screen.form.preset == "qlora-24gb"
        assert screen.form.value("training.max_seq_length") == 512
        assert screen.form.value("model.model_name") == "Qwen/Qwen3-8B"
        await pilot.press("r")
        assert screen.form.preset is None


@on_screen
async def test_sections_fold_and_the_cursor_stays_where_it_was(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await pilot.press("down", "down", "down", "enter")
        await seen(pilot, "▾ Model")
        await pilot.press("j", "j", "k")
        here = screen.lines.key
        await pilot.press("c", "c")
        assert screen.lines.key != ""
        await go_to(pilot, screen, here)
        await pilot.press("h")
        assert screen.lines.key == "section:model"
        await pilot.press("right", "left", "l", "h")
        assert "revision" not in screen_text(pilot.app)
        await pilot.press("G")
        assert screen.lines.key == "section:evaluation"
        await pilot.press("g")
        assert screen.lines.key == "preset"
        await pilot.press("pagedown")
        assert screen.lines.key == "section:evaluation"
        await pilot.press("pageup")
        assert screen.lines.key == "preset"


@on_screen
async def test_only_what_differs_from_the_defaults(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "training.seed", "7")
        await pilot.press("c")
        await shows(pilot, "configure-only-changed-80x24")
        assert screen.lines.key == "training.seed"
        assert "weight_decay" not in screen_text(pilot.app)
        await pilot.press("c")
        await seen(pilot, "weight_decay")


@on_screen
async def test_the_environment_wins_and_says_so(tmp_path: Path) -> None:
    environment = {"QTUI_TRAINING__SEED": "7"}
    async with configuring(tmp_path, environment=environment) as (pilot, screen):
        await go_to(pilot, screen, "training.seed")
        await seen(pilot, "$ 7")
        await pilot.press("enter")
        await seen(pilot, "environment sets this")
        assert not screen.editor.typing


@on_screen
async def test_a_click_moves_and_a_second_one_edits(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await go_to(pilot, screen, LR)
        row = screen.lines.row_of_cursor()
        await pilot.click("FormList", offset=(5, row - 1))
        key = screen.lines.key
        assert key != LR
        await pilot.click("FormList", offset=(5, row))
        await pilot.click("FormList", offset=(5, row))
        await until(pilot, lambda: screen.editor.typing == LR)


# -- whether it fits ---------------------------------------------------------------------------


@on_screen
async def test_too_big_is_said_and_one_key_mends_it(tmp_path: Path) -> None:
    card = gpu(0, "NVIDIA GeForce RTX 4090", 13.0, 24)
    half_full = msgspec.structs.replace(RTX_4090, gpus=(card,))
    async with configuring(tmp_path, (120, 40), gpus=half_full) as (pilot, screen):
        await pilot.press("enter")
        await answer(pilot, Picker, *"24gb", "enter")
        await until(pilot, lambda: reckoned(screen))
        await shows(pilot, "configure-too-big-120x40")
        verdict = screen.reckoner.fit.verdict  # type: ignore[union-attr]
        assert verdict.result == "no"
        await pilot.press("ctrl+l")
        await seen(pilot, "Start this run?")
        await answer(pilot, Choice, "n")
        assert not folder.all_runs(tmp_path)
        await pilot.press("a")
        await until(pilot, lambda: reckoned(screen))
        assert screen.reckoner.fit.verdict.result == "fits"  # type: ignore[union-attr]
        assert screen.form.own == verdict.suggestions[0].settings
        await pilot.press("u")
        assert not screen.form.own


@on_screen
async def test_the_fit_takes_the_place_of_the_form_on_a_narrow_terminal(tmp_path: Path) -> None:
    async with configuring(tmp_path, gpus=TWO_H100) as (pilot, screen):
        await pilot.press("e")
        await shows(pilot, "configure-fit-80x24")
        await pilot.press("e")
        assert screen.lines.has_focus
        await pilot.press("e", "escape")
        assert screen.lines.has_focus
        await pilot.press("a")
        await seen(pilot, "nothing to suggest")


@on_screen
async def test_the_fit_follows_what_is_free_on_the_gpu(tmp_path: Path) -> None:
    machine = Machine(RTX_4090)
    async with configuring(tmp_path, (120, 40), machine=machine) as (pilot, screen):
        before = screen.reckoner.fit.memory_free  # type: ignore[union-attr]
        machine.gpus = TWO_H100
        await until(pilot, lambda: screen.reckoner.fit.memory_free != before)  # type: ignore[union-attr]


@on_screen
async def test_a_model_that_is_not_known_here_is_said(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await pilot.press("down", "enter")
        await answer(pilot, Picker, *"nobody/nothing", "enter")
        assert screen.form.value("model.model_name") == "nobody/nothing"
        await seen(pilot, "Memory: the shape of model nobody/nothing is not known")


# -- models and data ---------------------------------------------------------------------------


@on_screen
async def test_models_that_are_near_are_offered(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "mine")
    finished(tmp_path)
    async with configuring(tmp_path) as (pilot, screen):
        await pilot.press("down", "enter")
        await seen(pilot, "on the hub")
        shown = screen_text(pilot.app)
        assert LLAMA in shown
        assert "used before" in shown
        await pilot.press(*"mine")
        await seen(pilot, "folder here")
        await answer(pilot, Picker, "enter")
        assert screen.form.value("model.model_name") == "./models/mine"
        assert screen.form.config is not None
        assert screen.form.config.model.model_name == str(tmp_path / "models" / "mine")


@on_screen
async def test_names_of_files_cannot_command_the_terminal(tmp_path: Path) -> None:
    evil = IN_NAMES + ".jsonl"
    (tmp_path / evil).touch()
    async with configuring(tmp_path) as (pilot, screen):
        await pilot.press("down", "down", "enter")
        await seen(pilot, "[INST]")
        assert control_characters(screen_text(pilot.app).encode()) == []
        await pilot.press("down", "escape")
        screen.change(screen.form.typed("data.input_path", f"./{evil}"))
        await seen(pilot, "[INST]")
        await pilot.press("e")
        await seen(pilot, "input_path:")
        assert control_characters(screen_text(pilot.app).encode()) == []
        assert screen.form.config is not None
        assert screen.form.config.data.input_path == str(tmp_path / evil)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment in which launched workers are the fake one."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(launch, "WORKER", (sys.executable, "-m", "tests.cli.fake_worker"))
    return {"PYTHONPATH": str(ROOT), "FAKE_GO": str(tmp_path / "go")}


@on_screen
async def test_the_data_are_shown_as_the_model_will_see_them(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    async with configuring(tmp_path, environment=worker) as (pilot, screen):
        await pilot.press("p")
        await until(pilot, lambda: screen.data.look is not None)
        await shows(pilot, "configure-data-80x24")
        await pilot.press("right_square_bracket", "left_square_bracket")
        assert control_characters(screen_text(pilot.app).encode()) == []
        await pilot.press("escape")
        await seen(pilot, "90 rows, 5 held out")
        await type_in(pilot, screen, "data.max_samples", "50")
        assert "90 rows, 5 held out" not in screen_text(pilot.app)
        assert list((tmp_path / "temporary").iterdir()) == []


@on_screen
async def test_a_look_at_the_data_can_be_stopped(tmp_path: Path, worker: dict[str, str]) -> None:
    environment = {**worker, "FAKE": "reads"}
    async with configuring(tmp_path, environment=environment) as (pilot, screen):
        await pilot.press("p")
        await seen(pilot, "Reading 3 of 96 rows")
        await pilot.press("down")
        await pilot.press("escape")
        await seen(pilot, "Stopped looking")
        assert screen.lines.has_focus
        await until(pilot, lambda: list((tmp_path / "temporary").iterdir()) == [])
        assert (tmp_path / "go.stopped").exists()


@on_screen
async def test_data_that_cannot_be_used_are_told_with_the_way_out(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    environment = {**worker, "FAKE": "impossible"}
    async with configuring(tmp_path, environment=environment) as (pilot, _):
        await pilot.press("p")
        await seen(pilot, "no room")
        await seen(pilot, "Try buy some")


@on_screen
async def test_time_and_cost_come_from_what_was_measured(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    events = training(3600, 50, 50)
    write(tmp_path, "brisk-heron", events, age=3600, settings=("model.model_name=builtin:tiny",))
    environment = {**worker, "QTUI_PRICE_PER_HOUR": "3600"}
    async with configuring(tmp_path, (120, 40), environment=environment) as (pilot, screen):
        await seen(pilot, "time  not known: look at the data first")
        await pilot.press("p")
        await until(pilot, lambda: screen.data.look is not None)
        await pilot.press("e")
        # 130 steps of 16 rows are 23.1 times the 90 rows of 1,000 tokens.
        await seen(pilot, "work  23.1 epochs, 130 steps, 23,111 tokens")
        await seen(pilot, "at 3600 an hour")


# -- files, command, launch --------------------------------------------------------------------


@on_screen
async def test_saved_and_opened_again(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "training.seed", "7")
        await pilot.press("ctrl+s")
        await answer(pilot, Ask, "enter")
        path = tmp_path / "run.yaml"
        await until(pilot, path.exists)
        await until(pilot, lambda: screen.form.path == path)
        assert load(path, environ={}) == screen.form.config
        await seen(pilot, "run.yaml")
        await type_in(pilot, screen, "training.seed", "8")
        await seen(pilot, "(not saved)")
        await pilot.press("ctrl+s")
        await answer(pilot, Ask, "enter")
        await answer(pilot, Choice, "n")
        assert "seed: 7" in path.read_text()
        await pilot.press("ctrl+s")
        await answer(pilot, Ask, "enter")
        await answer(pilot, Choice, "y")
        await until(pilot, lambda: "seed: 8" in path.read_text())
        (tmp_path / "other.yaml").write_text("preset: lora\ntraining:\n  seed: 9\n")
        await pilot.press("ctrl+o")
        await seen(pilot, "other.yaml")
        await answer(pilot, Picker, *"other", "enter")
        await until(pilot, lambda: screen.form.preset == "lora")
        assert screen.form.own == {"training.seed": 9}


@on_screen
async def test_a_list_that_cannot_look_around_says_so_and_can_be_typed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(workspace: Path) -> list[Any]:
        raise PermissionError(13, "Permission denied", str(workspace / "configs"))

    monkeypatch.setattr("qtui.screens.configure.pickers._run_files", refused)
    async with drive(tmp_path) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfigureScreen))
        await pilot.press("ctrl+o")
        await seen(pilot, "no more could be looked for: [Errno 13] Permission denied")
        await pilot.press("x", ".")
        await seen(pilot, "as typed")


@on_screen
async def test_a_wrong_run_file_is_shown_with_its_lines_and_changes_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.yaml").write_text("training:\n  lerning_rate: 1\n  seed: x\n")
    async with configuring(tmp_path) as (pilot, screen):
        before = screen.form
        await pilot.press("ctrl+o")
        await seen(pilot, "bad.yaml")
        await answer(pilot, Picker, "enter")
        await seen(pilot, "did you mean learning_rate?")
        shown = "".join(screen_text(pilot.app).split())  # a long path is wrapped
        assert "bad.yaml:2:" in shown
        assert "bad.yaml:3:" in shown
        assert screen.form is before
        await pilot.press("q")
        assert screen.lines.has_focus


@on_screen
async def test_names_that_no_file_can_have_are_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    async with configuring(tmp_path) as (pilot, screen):
        screen.change(screen.form.typed("model.model_name", "x" * 5000))
        await seen(pilot, "Memory: File name too long")
        screen.action_undo()
        for name in ("~nobody-of-this-name/run.yaml", "/", "sub", "x" * 300):
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            pilot.app.screen.query_one("Input").value = name  # type: ignore[attr-defined]
            await pilot.press("enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Ask))
            await until(
                pilot,
                lambda: (
                    isinstance(pilot.app.screen, Choice)
                    or "was not written" in screen_text(pilot.app)
                ),
            )
            if isinstance(pilot.app.screen, Choice):
                await answer(pilot, Choice, "y")
            await until(pilot, lambda: "was not written" in screen_text(pilot.app))
            await pilot.press("escape")
            await until(pilot, lambda: "was not written" not in screen_text(pilot.app))
        assert list(tmp_path.glob(".*part")) == []
        assert list((tmp_path / "sub").iterdir()) == []


@on_screen
async def test_the_command_starts_what_the_form_says(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "training.seed", "7")
        await type_in(pilot, screen, "data.system_prompt", "it's #1")
        await pilot.press("y")
        path = tmp_path / ".cache" / "qtui" / "command.sh"
        await until(pilot, path.exists)
        await seen(pilot, "Copied, and written to")
        config = screen.form.config
        copied = pilot.app.clipboard
    line = path.read_text().splitlines()[-1]
    assert copied == line
    spoken = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line.removeprefix('qtui train ')}"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert spoken[:2] == ["--preset", "quickstart"]
    assert load(None, preset="quickstart", overrides=spoken[3::2], environ={}) == config


@on_screen
async def test_the_config_of_a_run_is_taken_over_and_copied_as_a_file(tmp_path: Path) -> None:
    async with configuring(tmp_path, (120, 40)) as (pilot, screen):
        wanted = from_dict(config("training.seed=7"))
        pilot.app.configure(wanted)  # type: ignore[attr-defined]
        await until(pilot, lambda: screen.form.config == wanted)
        await seen(pilot, LLAMA)
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard != "")
        words = pilot.app.clipboard.split()
        assert words[:2] == ["qtui", "train"]
        assert load(Path(words[2]), environ={}) == wanted


@on_screen
async def test_launch_makes_a_run_and_shows_it(tmp_path: Path, worker: dict[str, str]) -> None:
    async with configuring(tmp_path, environment=worker) as (pilot, screen):
        await type_in(pilot, screen, "training.run_name", "first-try")
        shown: list[Any] = []
        pilot.app.open_run = shown.append  # type: ignore[attr-defined]
        await pilot.press("ctrl+l")
        await until(pilot, lambda: shown)
        (run,) = folder.all_runs(tmp_path)
        assert run.path == shown[0].path
        assert run.name == "first-try"
        assert screen.form.config is not None
        assert from_dict(run.spec.config) == screen.form.config
        assert run.spec.command[:4] == ["qtui", "train", "--preset", "quickstart"]
        launch.wait(run, timeout=60)


@on_screen
async def test_a_worker_that_dies_at_its_start_is_told(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    async with configuring(tmp_path, environment=worker) as (pilot, screen):
        await type_in(pilot, screen, "training.run_name", "dies")
        await pilot.press("ctrl+l")
        await seen(pilot, "The run was not started")
        await seen(pilot, "qtui doctor")
        assert control_characters(screen_text(pilot.app).encode()) == []


@on_screen
async def test_code_that_comes_with_a_model_is_asked_about(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    async with configuring(tmp_path, environment=worker) as (pilot, screen):
        await go_to(pilot, screen, "model.trust_remote_code")
        await pilot.press("space", "ctrl+l")
        await seen(pilot, "will run as you")
        await answer(pilot, Choice, "escape")
        assert not folder.all_runs(tmp_path)


@on_screen
async def test_leaving_goes_home_and_the_form_is_kept(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "training.seed", "7")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.current_mode == "home")
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.form.own == {"training.seed": 7}


@pytest.mark.parametrize("screen", ["configure", "picker", "list"])
def test_every_key_of_the_table_has_its_action(screen: str) -> None:
    classes = {"configure": ConfigureScreen, "picker": Picker, "list": ListEditor}
    keys = [key for key in keymap.TABLE if key.screen == screen]
    assert keys
    for key in keys:
        assert hasattr(classes[screen], f"action_{key.action.partition('(')[0]}")


@on_screen
async def test_nothing_is_sent_when_nothing_changes(tmp_path: Path) -> None:
    async with configuring(tmp_path, (120, 40)) as (pilot, screen):
        await pilot.pause()
        drawn: list[object] = []
        for widget in (screen.lines, screen.side, *screen.query("Static")):
            widget.refresh = lambda *r, _w=widget, **k: drawn.append(_w) or _w  # type: ignore
        screen._show()
        assert drawn == []
        assert clean(screen.form.yaml()) == forms.blank({}).yaml()


@pytest.mark.train
@on_screen
async def test_the_real_worker_shows_the_built_in_data(tmp_path: Path) -> None:
    async with configuring(tmp_path) as (pilot, screen):
        await type_in(pilot, screen, "data.max_samples", "40")
        await pilot.press("p")
        await until(pilot, lambda: screen.data.look is not None, 120)
        await seen(pilot, "rows to train on")
        await seen(pilot, "▌{")
