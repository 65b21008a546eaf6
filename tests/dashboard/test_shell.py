"""What all screens share: the ways between them, questions, help, palette, jump, the two lines."""

from __future__ import annotations

import threading
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from qtui import keymap
from qtui.dashboard.reading import MachineReader, Since, gpu_line
from qtui.dashboard.remapping import display
from qtui.screens.dialogs import Ask, Choice, Option
from qtui.screens.help import Help
from qtui.screens.jump import Jump, labels
from qtui.screens.palette import Deed, Palette, matching
from qtui.system.disk import Disk
from qtui.system.gpu_readings import Reading, Snapshot
from qtui.widgets.glyphs import in_ascii
from qtui.widgets.key_bar import SHOWN, KeyBar
from tests.dashboard import machines, run_folders
from tests.dashboard.harness import Machine, drive, on_screen, screen_text, seen, shows, until

# -- questions ------------------------------------------------------------------------------------

OPTIONS = (Option("keep", "k", "keep it"), Option("drop", "d", "drop [INST] it"))


async def asked(pilot: Pilot[None], question: Choice | Ask) -> list[str | None]:
    """Puts `question`; the answer comes into the list that is returned."""
    answers: list[str | None] = []
    pilot.app.push_screen(question, answers.append)
    await until(pilot, lambda: pilot.app.screen is question and question.focused)
    return answers


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["d"], "drop"),
        (["enter"], "keep"),
        (["down", "enter"], "drop"),
        (["escape"], None),
        (["x", "k"], "keep"),
    ],
)
def test_a_choice_by_key_arrows_or_not_at_all(
    keys: list[str], answer: str | None, tmp_path: Path
) -> None:
    @on_screen
    async def choose() -> None:
        async with drive(tmp_path) as pilot:
            answers = await asked(pilot, Choice("Keep it?", "It is \x1b[31mold.", OPTIONS))
            assert "drop [INST] it" in screen_text(pilot.app)
            assert "\x1b" not in screen_text(pilot.app)
            await pilot.press(*keys)
            await until(pilot, lambda: answers)
            assert answers == [answer]

    choose()


@on_screen
async def test_a_line_of_text_is_asked_for(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        answers = await asked(pilot, Ask("Name?", "Any name.", "quiet"))
        await pilot.press("minus", "o", "enter")
        await until(pilot, lambda: answers)
        assert answers == ["quiet-o"]
        answers = await asked(pilot, Ask("Name?", "", suggestions=["quiet-otter"]))
        await pilot.press("q", "u")
        await until(pilot, lambda: pilot.app.screen.query_one(Input)._suggestion)
        await pilot.press("right", "enter")
        await until(pilot, lambda: answers)
        assert answers == ["quiet-otter"]


@on_screen
async def test_a_question_looks_so(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        await seen(pilot, "No runs")
        await asked(pilot, Choice("Keep it?", "It is old.", OPTIONS))
        await shows(pilot, "shell-choice-80x24")


# -- ways -----------------------------------------------------------------------------------------


@on_screen
async def test_numbers_go_to_screens_and_q_comes_back(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        for number, mode in (("2", "configure"), ("4", "monitor"), ("9", "system"), ("1", "home")):
            await pilot.press(number)
            await until(pilot, lambda mode=mode: pilot.app.current_mode == mode)
        await pilot.press("9", "q")
        await until(pilot, lambda: pilot.app.current_mode == "home")
        await pilot.press("9", "escape")
        await until(pilot, lambda: pilot.app.current_mode == "home")


@on_screen
async def test_on_home_q_asks_and_escape_does_nothing(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        await seen(pilot, "No runs")
        await pilot.press("escape")
        await pilot.press("q")
        await seen(pilot, "Runs go on by themselves.")
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Choice))
        assert not pilot.app._exit
        await pilot.press("q")
        await seen(pilot, "Leave the dashboard?")
        await pilot.press("y")
        await until(pilot, lambda: pilot.app._exit)


@on_screen
async def test_a_message_is_shown_as_it_was_written(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        pilot.app.say("[b]not bold[/b] [INST] \x1b]0;x\x07")
        await seen(pilot, "[b]not bold[/b] [INST]")
        assert "\x1b" not in screen_text(pilot.app)


@on_screen
async def test_ctrl_c_names_the_key_that_leaves(tmp_path: Path) -> None:
    async with drive(tmp_path, config='[keys]\n"app.quit" = "ctrl+x"\n') as pilot:
        await pilot.press("ctrl+c")
        await seen(pilot, "ctrl+x leaves")
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert not pilot.app._exit
        await pilot.press("ctrl+x")
        await until(pilot, lambda: pilot.app._exit)


# -- help, palette, jump --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16)])
def test_help_begins_with_the_screen_that_it_was_called_on(
    size: tuple[int, int], tmp_path: Path
) -> None:
    @on_screen
    async def look() -> None:
        async with drive(tmp_path, size) as pilot:
            await seen(pilot, "No runs")
            await pilot.press("question_mark")
            await seen(pilot, "Home (here)")
            assert "home.open" in "".join(screen_text(pilot.app).split("\n")[2:5])
            await pilot.press("question_mark")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Help))

    look()


@on_screen
async def test_help_has_every_key_as_it_was_remapped(tmp_path: Path) -> None:
    async with drive(tmp_path, (120, 600), config='[keys]\n"app.theme" = "f9"\n') as pilot:
        await pilot.press("f1")
        await seen(pilot, "Other keys")
        lines = screen_text(pilot.app).split("\n")
        for key in keymap.TABLE:
            (line,) = [line for line in lines if line.endswith(f" {key.id}")]
            wanted = "f9" if key.id == "app.theme" else display(key.keys)
            if len(wanted) <= 13:
                assert line.split("  ")[1].strip() == wanted, key.id
        assert any("config.toml" in line for line in lines)


@on_screen
async def test_the_palette_finds_actions_screens_themes_and_runs(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        async with drive(tmp_path) as pilot:
            await seen(pilot, "quiet-otter")
            for words, done in (
                ("goto sys", lambda: pilot.app.current_mode == "system"),
                ("theme light", lambda: pilot.app.theme == "light"),
                ("help", lambda: isinstance(pilot.app.screen, Help)),
            ):
                await pilot.press("colon")
                await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
                await pilot.press(*("space" if c == " " else c for c in words), "enter")
                await until(pilot, done)
            await pilot.press("escape")
            await pilot.press("ctrl+p")
            await seen(pilot, "part of a name")
            await pilot.press(*"calm")
            await seen(pilot, "open calm-otter")
            await pilot.press("enter")
            await until(pilot, lambda: pilot.app.current_mode == "monitor")
            await seen(pilot, "calm-otter")


@on_screen
async def test_the_palette_moves_by_arrows_and_escape_leaves_it(tmp_path: Path) -> None:
    async with drive(tmp_path) as pilot:
        await pilot.press("colon")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press("down", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "configure")
        await pilot.press("colon")
        await until(pilot, lambda: isinstance(pilot.app.screen, Palette))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Palette))


def test_what_fits_best_comes_first_and_what_does_not_fit_not_at_all() -> None:
    deeds = [
        Deed("stop", "Stop the run.", list),
        Deed("theme light", "for light terminals", list),
        Deed("resume", "Go on with a run.", list),
    ]
    assert [deed.name for deed in matching(deeds, "")] == ["stop", "theme light", "resume"]
    assert next(deed.name for deed in matching(deeds, "res")) == "resume"
    assert [deed.name for deed in matching(deeds, "terminals")] == ["theme light"]
    assert matching(deeds, "zzz") == []


@on_screen
async def test_jump_puts_letters_on_what_takes_the_focus(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        async with drive(tmp_path) as pilot:
            await seen(pilot, "quiet-otter")
            chain = pilot.app.screen.focus_chain
            pilot.app.screen.set_focus(None)
            await pilot.press("ctrl+g")
            await until(pilot, lambda: isinstance(pilot.app.screen, Jump))
            await seen(pilot, " a ")
            await pilot.press("a")
            await until(pilot, lambda: pilot.app.focused in chain)
            await pilot.press("ctrl+g")
            await until(pilot, lambda: isinstance(pilot.app.screen, Jump))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Jump))


def test_there_are_labels_for_any_number() -> None:
    for count in (1, 26, 27, 300):
        made = list(labels(count))
        assert len(set(made)) == count
        assert len({len(label) for label in made}) == 1


# -- the two lines --------------------------------------------------------------------------------


@on_screen
async def test_the_bottom_line_shows_whole_keys_at_most_six_and_help(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        for width in (80, 40, 20):
            async with drive(tmp_path, (width, 24)) as pilot:
                await until(pilot, lambda: pilot.app.screen.query(KeyBar))
                bar = pilot.app.screen.query_one(KeyBar)
                await until(pilot, lambda bar=bar: bar._drawn)
                assert len(bar._drawn) <= SHOWN
                assert bar._drawn[-1] == ("?", "help")
                line = screen_text(pilot.app).split("\n")[-1]
                assert line.split() == [
                    word for item in bar._drawn for word in " ".join(item).split()
                ]


GPU_LINES = [
    (machines.NO_GPU, "no GPU"),
    (machines.RTX_4090, "RTX 4090 17/24G 97%"),
    (machines.TWO_H100, "2×H100 71/80G 64/80G"),
    (machines.GPU_LOST, "GPU unavailable since 12:03:11: GPU is lost"),
    (
        machines.GPU_HANGS,
        "GPU unavailable since 12:03:11: the driver did not answer within 5 s",
    ),
    (Snapshot(available=True), "no GPU"),
    (Snapshot(available=False, cause="starting", why="waiting, 3 s so far"), "asking for the GPU"),
    (
        Snapshot(available=False, cause="crash", why="unavailable since 4 s: the library crashed"),
        "GPU unavailable since 12:03:11: the library crashed",
    ),
    (
        msgspec.structs.replace(
            machines.RTX_4090,
            gpus=(msgspec.structs.replace(machines.RTX_4090.gpus[0], utilisation=Reading(None)),),
        ),
        "RTX 4090 17/24G",
    ),
]


@pytest.mark.parametrize(("gpus", "line"), GPU_LINES)
def test_gpus_in_one_line(gpus: Snapshot, line: str) -> None:
    assert gpu_line(gpus, "12:03:11") == line


def test_trouble_has_one_beginning() -> None:
    with patch("time.time", lambda: 0.0):
        since = Since()
        assert since.at("") == ""
        first = since.at("the driver hangs")
    with patch("time.time", lambda: 90.0):
        assert since.at("the driver still hangs") == first
        assert since.at("") == ""
        assert since.at("again") != first


@on_screen
async def test_a_gpu_that_hangs_is_told_with_its_time_and_keys_go_on(tmp_path: Path) -> None:
    told = Machine(machines.RTX_4090)
    async with drive(tmp_path, machine=told) as pilot:
        await seen(pilot, "RTX 4090 17/24G 97%")
        told.gpus = machines.GPU_HANGS
        await seen(pilot, "GPU unavailable since 15:42:10")
        assert "1 Home" in screen_text(pilot.app)
        await pilot.press("9")
        await until(pilot, lambda: pilot.app.current_mode == "system")
        await seen(pilot, "GPU unavailable since 15:42:10")
        told.gpus = machines.RTX_4090
        await seen(pilot, "RTX 4090 17/24G 97%")


def test_a_disk_that_hangs_is_told_with_the_last_figures(tmp_path: Path) -> None:
    answers = iter(
        [
            Disk(path="w", total=10, free=4),
            Disk(path="w", why="the disk did not answer within 1 s"),
            Disk(path="w", total=10, free=3),
        ]
    )
    reader = MachineReader(tmp_path, lambda message: None)
    with patch("qtui.system.disk.disk", lambda path, timeout: next(answers)):
        first, second, third = (reader._read_disk() for _ in range(3))
    assert (first.free, first.why) == (4, "")
    assert second.free == 4
    assert second.why.startswith("unavailable since ")
    assert second.why.endswith(": the disk did not answer within 1 s")
    assert (third.free, third.why) == (3, "")


def test_closing_the_reader_waits_for_nothing(tmp_path: Path) -> None:
    begun, never = threading.Event(), threading.Event()

    def hang(self: MachineReader) -> None:
        begun.set()
        never.wait()

    with patch.object(MachineReader, "_read", hang):
        reader = MachineReader(tmp_path, lambda message: None).start()
        assert begun.wait(30)
        reader.close()
    never.set()


def test_ascii_twins_are_as_wide_as_what_they_stand_for() -> None:
    drawn = "┌─┐│▸ ● training ✓ ▁▃█ 2×H100 66 °C … “x” – −"
    assert in_ascii(drawn, False).isascii()
    assert len(in_ascii(drawn, False)) == len(drawn)
    assert in_ascii("日本 ok", False) == "日本 ok"
    assert in_ascii("日本 ok", True) == "???? ok"
