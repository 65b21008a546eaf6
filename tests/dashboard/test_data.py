"""The Data screen: every view of a row, findings, the batch, what is written, what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from textual.pilot import Pilot

from qtui import keymap
from qtui.config.load import load, resolve_dict
from qtui.dashboard.copying import command_file
from qtui.runs import data_choices, folder, launch
from qtui.runs.dataset import BATCH, FINDINGS, PARTS, REPORT, ROWS, Dataset, Part
from qtui.runs.events import FailedEvent, FinishedEvent, Phase, PhaseEvent, ProgressEvent
from qtui.runs.folder import Run
from qtui.screens.configure.screen import ConfigureScreen
from qtui.screens.data.screen import DataScreen
from qtui.screens.dialogs import Ask, Choice
from qtui.screens.picker import Picker
from tests.cli.corpus import EVERYTHING, control_characters
from tests.dashboard import prepared, run_folders
from tests.dashboard.harness import drive, on_screen, screen_text, seen, shows, until
from tests.dashboard.run_folders import NOW

ROOT = Path(__file__).parents[2]
SMALL, LARGE = (80, 24), (120, 40)
RUN_FILE = """# the shop's model
preset: quickstart
data:
  input_path: tickets   # from the desk
  validation_split: 0.1
"""


def made(workspace: Path, name: str = "brisk-heron", *, rows: prepared.Made | None = None) -> Run:
    """A finished run of `run.yaml` with prepared data and a first batch."""
    (workspace / "run.yaml").write_text(RUN_FILE)
    (workspace / "tickets").mkdir(exist_ok=True)
    config = resolve_dict(load(workspace / "run.yaml", environ={}))
    events = [FinishedEvent(time=NOW - 100, status="completed")]
    spec = {"kind": "prepare", "config": config, "command": ["qtui", "prepare-data", "run.yaml"]}
    run = run_folders.write(workspace, name, events, age=3 * 3600, spec=spec)
    rows = rows or prepared.tickets()
    prepared.batch(prepared.write(run.data, rows), rows)
    return run


@contextmanager
def inside(folder: Path) -> Any:
    """With `folder` as the current one: then no command says where it is."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@asynccontextmanager
async def dashboard(
    workspace: Path, size: tuple[int, int] = SMALL, **more: Any
) -> AsyncIterator[Pilot[None]]:
    """The dashboard on Home."""
    environment = {"XDG_CACHE_HOME": str(workspace / ".cache"), **more.pop("environment", {})}
    with inside(workspace):
        async with drive(workspace, size, environment=environment, **more) as pilot:
            yield pilot


@asynccontextmanager
async def showing(
    workspace: Path, size: tuple[int, int] = SMALL, **more: Any
) -> AsyncIterator[tuple[Pilot[None], DataScreen]]:
    """The dashboard on the Data screen, with everything read."""
    async with dashboard(workspace, size, **more) as pilot:
        yield pilot, await opened(pilot)


async def opened(pilot: Pilot[None], key: str = "3") -> DataScreen:
    """Press the key that leads to the data, and wait until they are there."""
    screen = await on_data(pilot, key)
    await until(pilot, lambda: screen.state.page is not None and screen.state.subject.sought)
    return screen


async def on_data(pilot: Pilot[None], key: str = "3") -> DataScreen:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    return screen


async def told(pilot: Pilot[None], text: str) -> None:
    """Wait until a message in the corner says `text`, on however many lines."""
    await until(pilot, lambda: any(text in each.message for each in pilot.app._notifications))


async def row(pilot: Pilot[None], screen: DataScreen, number: int) -> None:
    """Go to row `number` (from 1) by its number."""
    await pilot.press("r")
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    await pilot.press(*str(number), "enter")
    await at(pilot, screen, number)


async def at(pilot: Pilot[None], screen: DataScreen, number: int) -> None:
    """Wait until row `number` (from 1) is shown."""
    await until(pilot, lambda: screen.state.page and screen.state.page.number == number - 1)
    await seen(pilot, f" row {number:,} of ")


async def view(pilot: Pilot[None], screen: DataScreen, name: str) -> None:
    """Turn to a view of the row."""
    while screen.state.look.view != name:
        await pilot.press("tab")
    await until(pilot, lambda: screen.state.page and screen.state.page.ask.look.view == name)


# ---- what it looks like --------------------------------------------------------------------------


ROWS_SHOWN = (
    ("tokens", 1, "tokens", ""),
    ("ids", 1, "tokens", "i"),
    ("cut", 14, "tokens", ""),
    ("template", 14, "template", ""),
    ("white-space", 15, "template", "w"),
    ("cleaned", 3, "cleaned", ""),
    ("before", 3, "cleaned", "c"),
    ("tools", 4, "cleaned", ""),
    ("raw", 3, "raw", ""),
    ("broken", 6, "raw", ""),
    ("pair", 23, "cleaned", ""),
)
"""Name of the snapshot, row, view, and a key that is pressed for it."""


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
def test_every_view(tmp_path: Path, size: tuple[int, int]) -> None:
    made(tmp_path)

    @on_screen
    async def scenario() -> None:
        async with showing(tmp_path, size) as (pilot, screen):
            for name, number, wanted, key in ROWS_SHOWN:
                await row(pilot, screen, number)
                await view(pilot, screen, wanted)
                await pilot.press(*key)
                await shows(pilot, f"data-{name}-{size[0]}x{size[1]}")
                await pilot.press(*key)

    scenario()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
def test_every_page(tmp_path: Path, size: tuple[int, int]) -> None:
    made(tmp_path)

    @on_screen
    async def scenario() -> None:
        async with showing(tmp_path, size) as (pilot, _):
            for name, key in (("charts", "g"), ("sources", "s"), ("batch", "b")):
                await pilot.press(key)
                await shows(pilot, f"data-{name}-{size[0]}x{size[1]}")
            await pilot.press("b", "f")
            await shows(pilot, f"data-finding-{size[0]}x{size[1]}")

    scenario()


@pytest.mark.parametrize("name", ["tokens", "cleaned"])
def test_in_ascii(tmp_path: Path, name: str) -> None:
    made(tmp_path)

    @on_screen
    async def scenario() -> None:
        async with showing(tmp_path, config="ascii = true") as (pilot, screen):
            await row(pilot, screen, 3)
            await view(pilot, screen, name)
            await shows(pilot, f"data-ascii-{name}-80x24")
            for key in ("b", "g", "s"):
                await pilot.press(key)
                await pilot.pause()
                assert screen_text(pilot.app).isascii()
                await pilot.press("escape")

    scenario()


@on_screen
async def test_without_colours_what_is_trained_is_seen(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path, environment={"NO_COLOR": "1"}) as (pilot, screen):
        assert pilot.app.theme == "mono"
        await view(pilot, screen, "template")
        await shows(pilot, "data-mono-80x24")
        await seen(pilot, "▌Open Orders, choose Return, and print the")
        await seen(pilot, "label. (page 0)<|eot_id|>▐")


@on_screen
async def test_sizes_in_which_not_everything_fits(tmp_path: Path) -> None:
    made(tmp_path)
    for size in ((60, 20), (40, 12), (200, 60)):
        async with showing(tmp_path, size) as (pilot, screen):
            await seen(pilot, " row 1 of 48")
            for key in ("b", "g", "s", "w"):
                await pilot.press(key)
                await pilot.pause()
                assert screen.virtual_size.width == size[0]


# ---- moving --------------------------------------------------------------------------------------


@on_screen
async def test_rows_are_turned_and_the_ends_hold(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("right", "right", "left", "right")
        await at(pilot, screen, 3)
        await pilot.press("pagedown")
        await at(pilot, screen, 48)
        await pilot.press("right", "right", "left")
        await at(pilot, screen, 47)
        await pilot.press("home")
        await at(pilot, screen, 1)
        await pilot.press("left", "right")
        await at(pilot, screen, 2)
        await pilot.press("end")
        await at(pilot, screen, 48)
        await row(pilot, screen, 17)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await pilot.press(*"9,999", "enter")
        await at(pilot, screen, 48)


@on_screen
async def test_rows_of_one_part_only(tmp_path: Path) -> None:
    rows = prepared.tickets()
    made(tmp_path, rows=rows)
    numbers = {part: [n for n, p in enumerate(rows.parts) if p is part] for part in Part}
    unused = [n for n, part in enumerate(rows.parts) if not part.used]
    async with showing(tmp_path) as (pilot, screen):
        for wanted in (numbers[Part.TRAIN], numbers[Part.VALIDATION], numbers[Part.TEST], unused):
            await pilot.press("t", "home")
            for number in wanted[:4]:
                await at(pilot, screen, number + 1)
                await pilot.press("right")
            await pilot.press("end")
            await at(pilot, screen, wanted[-1] + 1)
            await pilot.press("pageup")
            await at(pilot, screen, wanted[0] + 1)
        assert "only not used" in screen_text(pilot.app)
        await pilot.press("t")
        await until(pilot, lambda: "only not used" not in screen_text(pilot.app))


@on_screen
async def test_a_part_without_rows_is_passed_over(tmp_path: Path) -> None:
    rows = prepared.Made()
    for number in range(3):
        rows.add(prepared.conversation("a.jsonl", number + 1, "hi", str(number)), Part.TRAIN)
    made(tmp_path, rows=rows)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("t", "t")
        await told(pilot, "There are no rows of this part: validation.")
        await until(pilot, lambda: screen.state.filter == 0)
        await seen(pilot, " row 1 of 3")


@on_screen
async def test_no_rows_at_all(tmp_path: Path) -> None:
    made(tmp_path, rows=prepared.Made())
    async with dashboard(tmp_path) as pilot:
        await on_data(pilot)
        await seen(pilot, "There are no rows: nothing could be read")
        await pilot.press("right", "f", "d", "g", "escape", "s", "escape", "b")
        await seen(pilot, "2 sequences of 64 tokens, 0 rows")


@on_screen
async def test_the_text_is_scrolled_and_a_new_row_begins_at_its_beginning(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await row(pilot, screen, 4)
        await view(pilot, screen, "raw")
        await seen(pilot, '"messages": [')
        await pilot.press("down")
        await until(pilot, lambda: '"messages": [' in screen_text(pilot.app).splitlines()[7])
        await pilot.press("space", "space")
        await until(pilot, lambda: '"messages": [' not in screen_text(pilot.app))
        await pilot.press("backspace", "backspace", "up")
        await seen(pilot, '"messages": [')
        await pilot.press("space", "right")
        await at(pilot, screen, 5)
        assert screen.query_one("#data-text").scroll_offset.y == 0


# ---- findings ------------------------------------------------------------------------------------


@on_screen
async def test_findings_lead_to_their_rows(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("f")  # of a whole file: told, and no row is turned
        await seen(pilot, "1 of 12")
        await seen(pilot, "no text")
        await at(pilot, screen, 1)
        await pilot.press("f")
        await at(pilot, screen, 3)
        await pilot.press(*["right_square_bracket"] * 3)
        await seen(pilot, "▸! 3  near duplicate")
        for number in (9, 21, 32):
            await pilot.press("enter")
            await at(pilot, screen, number)
        await seen(pilot, "3 of 3")
        await pilot.press("f")
        await at(pilot, screen, 9)
        await told(pilot, "from the other end again")
        await pilot.press("right", "right", "f")
        await at(pilot, screen, 21)
        await pilot.press("F")
        await at(pilot, screen, 9)
        await pilot.press("t", "t", "shift+up")
        await seen(pilot, "▸✗ 1  no text")
        await pilot.press("f")
        await seen(pilot, "1 of 1")


@on_screen
async def test_a_finding_of_a_row_that_the_filter_hides(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("right_square_bracket", "t")
        await seen(pilot, "only training")
        await pilot.press("f")
        await at(pilot, screen, 6)
        await seen(pilot, "not used: it cannot be read")
        await told(pilot, "All rows are shown again.")


# ---- the batch -----------------------------------------------------------------------------------


@on_screen
async def test_from_the_batch_to_its_rows(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("b")
        await seen(pilot, "▸ row 1  tokens 0 to 33, trained 17 of 33")
        await pilot.press("down", "down", "down")
        await seen(pilot, "▸ row 3")
        await seen(pilot, "▌Open Orders, choose Return, and print it.<|eot_id|>▐")
        await pilot.press("enter")
        await at(pilot, screen, 3)
        await pilot.press("b", "up")
        await seen(pilot, "▸ row 2")


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / BATCH
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b["input_ids"][1].__setitem__(3, 9), "! its ids are not those"),
        (lambda b: b["position_ids"][1].__setitem__(slice(32, 59), range(32, 59)),
         "! its positions begin at 32"),
        (lambda b: b["rows"][1][1].__setitem__("row", 5), "! no such row was prepared"),
        (lambda b: b["labels"][1].__setitem__(slice(0, 32), [-100] * 32), "trained 0 of 32"),
        (lambda b: b.update(kind="padded", position_ids=None), "padded: a row in each"),
    ],
)  # fmt: skip
def test_what_the_batch_really_has_is_shown(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    changed(made(tmp_path).data, change)

    @on_screen
    async def scenario() -> None:
        async with showing(tmp_path, LARGE) as (pilot, _):
            await pilot.press("b")
            await seen(pilot, said)

    scenario()


@on_screen
async def test_no_batch_yet_and_one_that_is_damaged(tmp_path: Path) -> None:
    run = made(tmp_path)
    (run.data / BATCH).write_text("{")
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("b")
        await told(pilot, "batch.json is damaged")
        await pilot.press("b")
        (run.data / BATCH).unlink()
        await pilot.press("b")
        await seen(pilot, "There is no first batch here yet.")
        await pilot.press("down", "enter", "escape", "right")
        await at(pilot, screen, 2)


# ---- what others wrote ---------------------------------------------------------------------------


@on_screen
async def test_foreign_text_is_shown_as_it_reads(tmp_path: Path) -> None:
    text = EVERYTHING.replace("\udc9b", "")  # UTF-8 has no lone surrogates
    rows = prepared.hostile(text)
    run = made(tmp_path, rows=rows)
    report = json.loads((run.data / REPORT).read_text())
    report |= {"suggestions": [text], "content_hash": text, "sources": [{"name": text, "rows": 3}],
               "parts": {text: 4, "train": 2}, "finding_counts": {text: 7},
               "finding_levels": {text: text}}  # fmt: skip
    (run.data / REPORT).write_text(json.dumps(report))
    for size in (SMALL, LARGE):
        async with showing(tmp_path, size) as (pilot, _):
            checked = 0
            for _ in range(3):
                for keys in ("wi", "wic", "w"):
                    await pilot.press("tab", *keys)
                    await pilot.pause(0.05)
                    shown = screen_text(pilot.app)
                    assert control_characters(shown.encode()) == []
                    checked += "[INST]" in shown
                await pilot.press("tab", "f")
                await pilot.pause(0.05)
                assert control_characters(screen_text(pilot.app).encode()) == []
            for key in ("b", "down", "g", "s", "d", "escape", "escape", "o", "escape", "y"):
                await pilot.press(key)
                await pilot.pause(0.05)
                assert control_characters(screen_text(pilot.app).encode()) == []
            assert checked > 4


@on_screen
async def test_invisible_characters_are_named_when_they_are_asked_for(tmp_path: Path) -> None:
    rows = prepared.Made()
    rows.add(prepared.conversation("a", 1, "zero\u200bwidth", "bell\x07 no\u00a0break"), Part.TRAIN)
    made(tmp_path, rows=rows)
    async with showing(tmp_path) as (pilot, screen):
        await view(pilot, screen, "template")
        await pilot.press("w")
        await seen(pilot, "zero<U+200B>width")
        await seen(pilot, "bell<U+0007>·no<U+00A0>break")


@pytest.mark.parametrize(
    "report",
    [{}, {"lengths": 3, "parts": [], "sources": [3, {"name": 4, "rows": "x"}]},
     {"length_histogram": {"edges": [1, "x"], "counts": [3]}, "trained_share": None},
     {"length_histogram": {"edges": [1, 2, 3], "counts": [3]}, "finding_counts": {"a": "b"}},
     {"tokens": 10**30, "seconds": "long", "epoch_cost": [], "suggestions": "none"}],
)  # fmt: skip
def test_a_report_that_knows_less_or_is_odd(tmp_path: Path, report: dict[str, Any]) -> None:
    run = made(tmp_path)
    (run.data / REPORT).write_text(json.dumps(report))

    @on_screen
    async def scenario() -> None:
        async with showing(tmp_path, LARGE) as (pilot, screen):
            await seen(pilot, " row 1 of 48")
            await seen(pilot, "FINDINGS")
            for key in ("g", "s", "b", "b"):
                await pilot.press(key)
            await pilot.press("right")
            await at(pilot, screen, 2)

    scenario()


@on_screen
async def test_sources_are_named_from_the_folder_that_all_are_in(tmp_path: Path) -> None:
    rows = prepared.Made()
    for name in ("/srv/shop/faq/a.pdf", "/srv/shop/b.jsonl"):
        rows.add(prepared.conversation(name, 7, "hi", name), Part.TRAIN, ("note", "kind", "odd"))
    made(tmp_path, rows=rows)
    async with showing(tmp_path, LARGE) as (pilot, screen):
        await seen(pilot, " faq/a.pdf  ")
        await seen(pilot, " faq/a.pdf:7")
        await pilot.press("f")
        await seen(pilot, "· faq/a.pdf:7: kind: odd")
        await pilot.press("right")
        await at(pilot, screen, 2)
        await seen(pilot, " b.jsonl:7")
        await pilot.press("s")
        await seen(pilot, " b.jsonl  ")
        assert "/srv" not in screen_text(pilot.app)


# ---- damage, and disks that do not answer --------------------------------------------------------


@on_screen
async def test_a_row_that_is_damaged_is_told_and_the_next_ones_are_shown(tmp_path: Path) -> None:
    rows = prepared.tickets()
    run = made(tmp_path, rows=rows)
    frames = [msgspec.json.encode(each) + b"\n" for each in rows.rows]
    frames[1] = b'{"source": 3, "\x1b[2J"}\n'
    prepared.records(run.data / ROWS, frames)
    async with showing(tmp_path) as (pilot, screen):
        await pilot.press("right")
        await seen(pilot, " row 2 of 48  cannot be shown")
        await seen(pilot, "rows.jsonl is damaged")
        await pilot.press("d", "w")
        await pilot.press("right")
        await at(pilot, screen, 3)
        await pilot.press("left", "left")
        await at(pilot, screen, 1)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda data: (data / PARTS).write_bytes(b"123"), "do not belong together"),
        (lambda data: (data / ROWS).write_bytes(b"{"), "its index tells of"),
        (lambda data: (data / f"{ROWS}.index").unlink(), "does not exist"),
        (lambda data: (data / REPORT).write_text("[]"), "report.json is damaged"),
    ],
)
def test_files_that_do_not_fit_are_a_sentence(
    tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    harm(made(tmp_path).data)

    @on_screen
    async def scenario() -> None:
        async with dashboard(tmp_path, LARGE) as pilot:
            await on_data(pilot)
            await seen(pilot, "The data cannot be read")
            await seen(pilot, said)
            await seen(pilot, "Try  ")
            await pilot.press("q")
            await until(pilot, lambda: pilot.app.current_mode == "home")

    scenario()


@on_screen
async def test_damaged_findings_leave_the_rows(tmp_path: Path) -> None:
    run = made(tmp_path)
    prepared.records(run.data / FINDINGS, [b"[[["])
    async with dashboard(tmp_path) as pilot:
        screen = await on_data(pilot)
        await seen(pilot, " row 1 of 48")
        await told(pilot, "findings.jsonl is damaged")
        await pilot.press("f", "right")
        await at(pilot, screen, 2)


@on_screen
async def test_a_run_that_is_deleted_while_it_is_shown(tmp_path: Path) -> None:
    run = made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        shutil.rmtree(run.path)
        await pilot.press("end")
        await at(pilot, screen, 48)
        await pilot.press("b")
        await seen(pilot, "There is no first batch here yet.")
        await pilot.press("1")
        await until(pilot, lambda: pilot.app.current_mode == "home")
        await pilot.press("3")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))


@contextmanager
def held(rows: set[int]) -> Any:
    """Rows of these numbers are read only once the event that this gives is set; and the list of
    all that were asked for."""
    released, asked = threading.Event(), []
    real = Dataset.row

    def read(self: Dataset, number: int) -> Any:
        asked.append(number)
        if number in rows:
            released.wait(60)
        return real(self, number)

    with patch.object(Dataset, "row", read):
        yield released, asked


@on_screen
async def test_of_several_requests_the_newest_wins(tmp_path: Path) -> None:
    made(tmp_path)
    with held({1}) as (released, asked):
        async with showing(tmp_path) as (pilot, screen):
            await pilot.press("right")
            await until(pilot, lambda: 1 in asked)
            await pilot.press(*["right"] * 9)
            released.set()
            await at(pilot, screen, 11)
            assert asked == [0, 1, 10]


@on_screen
async def test_keys_go_on_while_the_disk_hangs(tmp_path: Path) -> None:
    made(tmp_path)
    other = made(tmp_path, "calm-otter")
    with held({1}) as (released, _):
        async with showing(tmp_path) as (pilot, screen):
            await pilot.press("right")
            await seen(pilot, "the disk has not answered for 3 s")
            await pilot.press("g", "1")
            await until(pilot, lambda: pilot.app.current_mode == "home")
            await pilot.press("3", "o")
            await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
            await pilot.press(*"calm", "enter")
            await until(pilot, lambda: screen.state.subject.run == other)
            await seen(pilot, " row 1 of 48")
            released.set()


# ---- drop and keep -------------------------------------------------------------------------------


async def answer(pilot: Pilot[None], key: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
    await pilot.press(key)
    await until(pilot, lambda: not isinstance(pilot.app.screen, Choice))


@on_screen
async def test_rows_are_dropped_and_kept_in_the_run_file(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "run.yaml"
    keys = [each.key for each in prepared.tickets().rows]
    async with showing(tmp_path) as (pilot, screen):
        before = {p: p.read_bytes() for p in (screen.state.subject.run.data).iterdir()}  # type: ignore[union-attr]
        await pilot.press("d")
        await seen(pilot, "Write it into run.yaml?")
        await answer(pilot, "n")
        assert path.read_text() == RUN_FILE
        await pilot.press("d")
        await answer(pilot, "y")
        await told(pilot, "Row 1 will be dropped at the next preparation; written to run.yaml.")
        await seen(pilot, "row 1 of 48  training  will be dropped")
        assert path.read_text() == RUN_FILE + f'  drop_rows: ["{keys[0]}"]\n'
        await pilot.press("right")
        await at(pilot, screen, 2)
        await pilot.press("k")  # asked once
        await told(pilot, "Row 2 will be kept at the next preparation")
        await seen(pilot, "row 2 of 48  training  will be kept")
        await seen(pilot, "2 rows to change: p prepares anew")
        assert data_choices.read(path) == data_choices.Choices((keys[0],), (keys[1],))
        await pilot.press("d")
        await until(pilot, lambda: data_choices.read(path).drop == (keys[0], keys[1]))
        await pilot.press("d")
        await until(pilot, lambda: data_choices.read(path).drop == (keys[0],))
        await pilot.press("left")
        await at(pilot, screen, 1)
        await pilot.press("d")
        await until(pilot, lambda: path.read_text() == RUN_FILE)
        await until(pilot, lambda: "to change" not in screen_text(pilot.app))
        # Never behind the user's back: what was prepared is what it was.
        assert before == {p: p.read_bytes() for p in before}


@on_screen
async def test_what_somebody_else_wrote_into_the_run_file_meanwhile_stays(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "run.yaml"
    async with showing(tmp_path) as (pilot, screen):
        path.write_text(RUN_FILE + "  drop_rows: ['ffffffffffffffff']\n  split: other\n")
        await pilot.press("d")
        await answer(pilot, "y")
        await until(pilot, lambda: len(data_choices.read(path).drop) == 2)
        assert load(path, environ={}).data.split == "other"
        path.write_text("data: [\n")
        await pilot.press("right")
        await at(pilot, screen, 2)
        await pilot.press("d")
        await told(pilot, "The run file was not changed")
        assert path.read_text() == "data: [\n"


@on_screen
async def test_without_a_run_file_the_flags_are_copied(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "run.yaml").unlink()
    key = prepared.tickets().rows[0].key
    async with showing(tmp_path, LARGE) as (pilot, screen):
        await pilot.press("d")
        await told(pilot, "No run file is known for these data, so nothing was written.")
        await seen(pilot, "will be dropped at the next preparation")
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard != "")
        words = pilot.app.clipboard.split()
        assert words[:2] == ["qtui", "prepare-data"]
        assert words[3:] == ["--set", f"'data.drop_rows=[\"{key}\"]'"]
        config = load(Path(words[2]), overrides=[words[4].strip("'")], environ={})
        assert config.data.drop_rows == [key]
        assert config.data.input_path == str(tmp_path / "tickets")
        assert command_file().read_text().strip() == pilot.app.clipboard
        await pilot.press("d")
        await until(pilot, lambda: not screen.state.choices.drop)
    assert not (tmp_path / "run.yaml").exists()


@on_screen
async def test_a_row_that_says_nothing_is_not_chosen(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, screen):
        await row(pilot, screen, 6)
        await pilot.press("d")
        await told(pilot, "Row 6 has no key")


@on_screen
async def test_the_command_names_the_run_file(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path) as (pilot, _):
        await seen(pilot, " qtui prepare-data run.yaml ──")
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard != "")
        assert pilot.app.clipboard == f"qtui prepare-data {tmp_path / 'run.yaml'}"


@on_screen
async def test_a_file_of_other_data_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "run.yaml").write_text("data:\n  input_path: elsewhere\n")
    async with showing(tmp_path) as (pilot, screen):
        assert screen.state.subject.file is None
        await pilot.press("d")
        await told(pilot, "No run file is known")


# ---- from where it is opened ---------------------------------------------------------------------


@on_screen
async def test_nothing_prepared_says_what_to_do_first(tmp_path: Path) -> None:
    async with dashboard(tmp_path) as pilot:
        await on_data(pilot)
        await shows(pilot, "data-nothing-80x24")
        await pilot.press("right", "f", "d", "b", "g", "x", "tab", "r", "enter", "w")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.current_mode == "home")


@on_screen
async def test_from_home_the_run_under_the_cursor_else_the_newest_with_data(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path, "calm-otter")
    run_folders.failed(tmp_path, age=60)
    async with dashboard(tmp_path) as pilot:
        await seen(pilot, "calm-otter")
        screen = await opened(pilot)  # the failed one has none
        newest = folder.all_runs(tmp_path)[1].id
        assert screen.state.subject.run.id == newest  # type: ignore[union-attr]
        other = next(run for run in (first, second) if run.id != newest)
        await pilot.press("end")
        await at(pilot, screen, 48)
        await pilot.press("1", "end")
        await until(pilot, lambda: pilot.app.screen.table.selected.id == other.id)  # type: ignore[attr-defined]
        await pilot.press("3")
        await until(pilot, lambda: screen.state.subject.run == other)
        await at(pilot, screen, 1)
        await pilot.press("end")
        await at(pilot, screen, 48)
        await pilot.press("9", "3")  # what was shown stays, also its row
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("3")
        await at(pilot, screen, 48)


@on_screen
async def test_from_the_monitor_the_run_that_is_watched(tmp_path: Path) -> None:
    made(tmp_path)
    run_folders.failed(tmp_path, age=60)
    async with dashboard(tmp_path) as pilot:
        await seen(pilot, "pale-lynx")
        await pilot.press("home", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "monitor")
        await on_data(pilot)
        await seen(pilot, "pale-lynx has no prepared data.")
        await seen(pilot, "It failed before they were ready.")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await seen(pilot, "prepare, 3h ago")
        await pilot.press("enter")
        await seen(pilot, " row 1 of 48")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment in which launched workers are those of `preparing_worker`."""
    command = (sys.executable, "-m", "tests.dashboard.preparing_worker")
    monkeypatch.setattr(launch, "WORKER", command)
    monkeypatch.setattr("qtui.runs.prepare.missing", list)
    return {"PYTHONPATH": str(ROOT)}


async def configured(pilot: Pilot[None], *, file: Path | None = None) -> ConfigureScreen:
    """The Configure screen, with the run file opened."""
    pilot.app.configure(path=file)  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfigureScreen))
    screen = pilot.app.screen
    assert isinstance(screen, ConfigureScreen)
    await until(pilot, lambda: screen.is_mounted and screen.form.path == file)
    return screen


@on_screen
async def test_from_configure_the_data_of_the_form(tmp_path: Path) -> None:
    run = made(tmp_path)
    path = tmp_path / "run.yaml"
    async with dashboard(tmp_path) as pilot:
        configure = await configured(pilot, file=path)
        screen = await opened(pilot)
        assert screen.state.subject.run == run
        await pilot.press("d")
        await answer(pilot, "y")
        key = prepared.tickets().rows[0].key
        await until(pilot, lambda: configure.form.value("data.drop_rows") == [key])
        assert not configure.form.unsaved


@on_screen
async def test_the_data_of_a_new_form_are_prepared_first(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    made(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text(RUN_FILE.replace("0.1", "0.2"))
    go = tmp_path / "go"
    async with dashboard(tmp_path, environment={**worker, "FAKE_GO": str(go)}) as pilot:
        await configured(pilot, file=path)
        screen = await on_data(pilot)
        await seen(pilot, "Read 24 of 48 rows")
        await seen(pilot, "50%")
        await seen(pilot, "it goes on when you leave")
        await pilot.press("9", "3")  # leaving changes nothing
        await until(pilot, lambda: pilot.app.screen is screen)
        go.touch()
        await seen(pilot, " row 1 of 48")
        run = screen.state.subject.run
        assert run is not None
        assert run.spec.kind == "prepare"
        assert run.spec.command == ["qtui", "prepare-data", str(path)]
        assert run.spec.config["data"]["validation_split"] == 0.2
        assert screen.state.subject.file == path
        assert len(folder.all_runs(tmp_path)) == 2


@on_screen
async def test_a_form_that_is_not_whole_is_mended_first(tmp_path: Path) -> None:
    made(tmp_path)
    async with dashboard(tmp_path) as pilot:
        configure = await configured(pilot)
        configure.change(configure.form.typed("training.learning_rate", "hot"))
        await on_data(pilot)
        await seen(pilot, "The settings on Configure are not whole yet.")
        await pilot.press("p")
        await seen(pilot, "The preparation was not started")


# ---- preparing -----------------------------------------------------------------------------------


@on_screen
async def test_preparing_anew_takes_what_the_run_file_says(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    before = made(tmp_path)
    async with dashboard(tmp_path, environment=worker) as pilot:
        screen = await opened(pilot)
        await pilot.press("d")
        await answer(pilot, "y")
        await pilot.press("p")
        await until(pilot, lambda: screen.state.opened and screen.state.subject.run != before)
        run = screen.state.subject.run
        assert run is not None
        assert run.spec.config["data"]["drop_rows"] == [prepared.tickets().rows[0].key]
        await seen(pilot, " row 1 of 48")
        assert screen.state.pending() == 0
        assert len(folder.all_runs(tmp_path)) == 2


@on_screen
async def test_a_preparation_is_called_off_and_nothing_of_it_is_left(
    tmp_path: Path, worker: dict[str, str]
) -> None:
    before = made(tmp_path)
    async with dashboard(tmp_path, environment={**worker, "FAKE": "reads"}) as pilot:
        screen = await opened(pilot)
        await pilot.press("p")
        await seen(pilot, "Read 24 of 48 rows")
        await pilot.press("p", "right")
        await pilot.press("x")
        await told(pilot, "was called off; nothing of it is left.")
        await seen(pilot, " row 1 of 48")
        assert screen.state.subject.run == before
        assert folder.all_runs(tmp_path) == [before]
        assert [entry.name for entry in (tmp_path / "runs").iterdir()] == [before.id]


@pytest.mark.parametrize(
    ("fake", "said"),
    [("fails", "3 of 4 rows cannot be read"), ("dies", "died at its start")],
)
def test_a_preparation_that_fails_says_why(
    tmp_path: Path, worker: dict[str, str], fake: str, said: str
) -> None:
    before = made(tmp_path)

    @on_screen
    async def scenario() -> None:
        async with dashboard(tmp_path, LARGE, environment={**worker, "FAKE": fake}) as pilot:
            screen = await opened(pilot)
            await pilot.press("p")
            await seen(pilot, said)
            await seen(pilot, "Try  ")
            assert control_characters(screen_text(pilot.app).encode()) == []
            await pilot.press("o")
            await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
            await pilot.press(*"brisk", "enter")
            await until(pilot, lambda: screen.state.opened)
            assert screen.state.subject.run == before

    scenario()


@on_screen
async def test_a_preparation_that_others_began_is_followed(tmp_path: Path) -> None:
    events = [
        PhaseEvent(time=NOW - 75, phase=Phase.INITIALIZING),
        PhaseEvent(time=NOW - 74, phase=Phase.LOADING_DATASET, detail="tickets"),
        ProgressEvent(time=NOW - 3, what="near duplicates", done=1200, total=4800, unit="rows"),
    ]
    run = run_folders.write(tmp_path, "swift-ibis", events, age=75, spec={"kind": "prepare"})
    with run_folders.living(run):
        async with dashboard(tmp_path) as pilot:
            await seen(pilot, "swift-ibis")
            screen = await on_data(pilot)
            await shows(pilot, "data-preparing-80x24")
            prepared.write(run.data, prepared.tickets())
            run_folders.append(run, [FinishedEvent(time=NOW, status="completed")])
            await seen(pilot, " row 1 of 48")
            assert screen.state.subject.run == run


@on_screen
async def test_a_preparation_that_failed_says_why_when_it_is_looked_at(tmp_path: Path) -> None:
    events = [
        PhaseEvent(time=NOW - 75, phase=Phase.LOADING_DATASET),
        FailedEvent(time=NOW - 70, error="E", message="no room on the disk", remedy="make some"),
    ]
    run_folders.write(tmp_path, "swift-ibis", events, age=75, spec={"kind": "prepare"})
    async with dashboard(tmp_path) as pilot:
        await seen(pilot, "swift-ibis")
        await on_data(pilot)
        await seen(pilot, "The preparation failed")
        await seen(pilot, "no room on the disk")
        await seen(pilot, "Try  make some")


@on_screen
async def test_a_run_that_trains_without_such_data_is_not_waited_for(tmp_path: Path) -> None:
    with run_folders.live(tmp_path):
        async with dashboard(tmp_path) as pilot:
            await seen(pilot, "quiet-otter")
            await on_data(pilot)
            await seen(pilot, "quiet-otter has no prepared data.")
            assert "call it off" not in screen_text(pilot.app)


@on_screen
async def test_without_the_packages_nothing_is_prepared(tmp_path: Path) -> None:
    made(tmp_path)
    with patch("qtui.runs.prepare.missing", lambda: ["torch"]):
        async with showing(tmp_path) as (pilot, screen):
            await pilot.press("p")
            await told(pilot, "Data cannot be read here: torch not installed.")
            assert screen.state.opened


# ---- many rows, and little on the line -----------------------------------------------------------


@on_screen
async def test_a_hundred_thousand_rows_are_not_loaded(tmp_path: Path) -> None:
    run = made(tmp_path)
    shutil.rmtree(run.data)
    prepared.many(run.data, 100_000, findings=900)
    with held(set()) as (_, asked):
        async with showing(tmp_path) as (pilot, screen):
            await pilot.press("end")
            await at(pilot, screen, 100_000)
            await pilot.press("t", "t")  # validation
            await at(pilot, screen, 99_958)
            await pilot.press("home")
            await at(pilot, screen, 8)
            await pilot.press("f", "f")
            await until(pilot, lambda: screen.state.told is not None)
            assert len(asked) < 12


@on_screen
async def test_nothing_is_drawn_when_nothing_changes(tmp_path: Path) -> None:
    made(tmp_path)
    async with showing(tmp_path, LARGE) as (pilot, screen):
        await pilot.pause()
        drawn: list[object] = []
        for widget in screen.query("Readout, MarkedText"):
            widget.refresh = lambda *r, _w=widget, **k: drawn.append(_w) or _w  # type: ignore
        screen.draw()
        assert drawn == []


def test_every_key_of_the_table_has_its_action() -> None:
    keys = [key for key in keymap.TABLE if key.screen == "data"]
    assert len(keys) > 25
    for key in keys:
        assert hasattr(DataScreen, f"action_{key.action.partition('(')[0]}")
