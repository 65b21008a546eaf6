"""Text that attacks the terminal goes through every screen, and no control byte of it comes out.

Names of folders, runs, models, metrics, files and settings, samples, logs, messages and data rows
are all the corpus of attacks. What can be read of it is read: `[INST]` is not taken for markup.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.corpus import IN_FILES, IN_NAMES
from tests.dashboard import run_folders
from tests.e2e.terminal import Terminal, qtui
from tests.e2e.wire import foreign

RUN_FILE = f"""\
model:
  model_name: {json.dumps(IN_FILES)}
data:
  input_path: {json.dumps(IN_FILES)}
  system_prompt: {json.dumps(IN_FILES)}
training:
  run_name: {json.dumps(IN_FILES)}
  output_dir: {json.dumps(IN_FILES)}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace whose own name, runs, run files and data attack."""
    folder = tmp_path / IN_NAMES
    folder.mkdir()
    evil = run_folders.hostile(folder)
    shutil.copytree(evil.path, evil.path.with_name("20200101-000000-x" + IN_NAMES))
    run_folders.finished(folder)
    (folder / (IN_NAMES + ".yaml")).write_text(RUN_FILE, encoding="utf-8")
    (folder / "evil.yaml").write_text(RUN_FILE, encoding="utf-8")
    (folder / (IN_NAMES + ".jsonl")).write_text(
        json.dumps({"messages": [{"role": "user", "content": IN_FILES}]}) + "\n", encoding="utf-8"
    )
    return folder


def opened(workspace: Path, size: tuple[int, int]) -> Terminal:
    return Terminal(qtui(), cwd=workspace, size=size, env={"COLORTERM": "truecolor"})


def drawn(terminal: Terminal) -> None:
    """Wait until what was pressed has been drawn and nothing more is written.

    After escape in any case: with a key right behind it, it is Alt and that key.

    This waits for silence, so a busy machine can end it early: then less is looked at, and
    nothing fails that is right.
    """
    terminal.until(lambda: terminal.still(0.4))


def harmless(terminal: Terminal, *, may_copy: bool = False) -> None:
    """Leave, and look at every byte that was written."""
    terminal.press("ctrl+q")
    assert terminal.wait() == 0, terminal.text
    assert foreign(bytes(terminal.sent), may_copy=may_copy) == []


SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@SIZES
def test_home_and_the_comparison(workspace: Path, size: tuple[int, int]) -> None:
    with opened(workspace, size) as terminal:
        terminal.until("3 runs")
        for _ in range(2):
            terminal.until("[INST]")
            terminal.press("down")
            drawn(terminal)
        terminal.press("home", "space", "down", "space")
        drawn(terminal)
        terminal.press("x")
        terminal.until("Settings that differ")
        for pressed in ("m", "left", "plus", "down", "end"):
            terminal.press("+" if pressed == "plus" else pressed)
        drawn(terminal)
        terminal.press("escape")
        terminal.until("x compares them")
        terminal.press("/")
        drawn(terminal)
        terminal.press("[INST]")
        drawn(terminal)
        terminal.press("escape")
        drawn(terminal)
        terminal.press("d")
        terminal.until("Delete")
        terminal.press("escape")
        drawn(terminal)
        terminal.press("y")
        drawn(terminal)
        terminal.press(":")
        drawn(terminal)
        terminal.press("evil")
        drawn(terminal)
        terminal.press("escape")
        harmless(terminal, may_copy=True)


@SIZES
def test_the_monitor_with_all_its_panes(workspace: Path, size: tuple[int, int]) -> None:
    with opened(workspace, size) as terminal:
        terminal.until("3 runs")
        terminal.press("4")
        terminal.until("evil-shrew")
        for pane in "lvkiw":
            for _ in range(2):  # in its pane, and over the whole screen
                terminal.press(pane)
                drawn(terminal)
                assert pane == "k" or "[INST]" in terminal.text
                terminal.press("pagedown", "end")
                drawn(terminal)
            terminal.press(pane)
            drawn(terminal)
            terminal.until("evil-shrew")
        terminal.press("tab", "f")
        drawn(terminal)
        terminal.press("f", "m")
        drawn(terminal)
        terminal.press("INST")
        drawn(terminal)
        terminal.press("enter")
        drawn(terminal)
        terminal.press("o")
        drawn(terminal)
        terminal.press("space", "down", "space", "enter")
        drawn(terminal)
        terminal.press(">")
        drawn(terminal)
        terminal.press("r")
        drawn(terminal)
        harmless(terminal)


@SIZES
def test_the_form_and_what_it_reads(workspace: Path, size: tuple[int, int]) -> None:
    with opened(workspace, size) as terminal:
        terminal.until("3 runs")
        terminal.press("2")
        terminal.until("builtin:tiny")
        terminal.press("ctrl+o")
        drawn(terminal)
        terminal.press("evil.yaml", "enter")
        terminal.until("[INST]")
        for pressed in ("e", "e", "down", "enter"):  # the fit and the YAML; models that are near
            terminal.press(pressed)
            drawn(terminal)
        terminal.press("escape")
        drawn(terminal)
        terminal.press("down", "enter")  # data that are near
        drawn(terminal)
        terminal.press("escape")
        drawn(terminal)
        terminal.press("c", "y")
        drawn(terminal)
        terminal.press("ctrl+s")
        drawn(terminal)
        terminal.press("escape")
        drawn(terminal)
        terminal.press("p")
        drawn(terminal)
        terminal.press("9")
        drawn(terminal)
        harmless(terminal, may_copy=True)
