"""The check itself can fail: every attack of the corpus is found between Textual's own bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.corpus import ATTACKS, READABLE
from tests.e2e.terminal import Terminal
from tests.e2e.wire import foreign

SHOWS = """
import sys
from textual.app import App
from textual.widgets import Static
class Shows(App):
    def compose(self):
        yield Static(sys.argv[1], markup=False)
Shows().run()
"""


def shown(text: str, tmp_path: Path) -> bytes:
    """What a Textual application writes that shows `text` without cleaning it."""
    with Terminal(
        [sys.executable, "-c", SHOWS, text], cwd=tmp_path, env={"COLORTERM": "truecolor"}
    ) as terminal:
        terminal.until(lambda: b"\x1b[24;1H" in terminal.sent)
        terminal.press("ctrl+q")
        terminal.wait()
        return bytes(terminal.sent)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return shown(" ".join(READABLE), tmp_path_factory.mktemp("harmless"))


def test_textual_itself_writes_nothing_that_is_not_on_the_list(harmless: bytes) -> None:
    assert foreign(harmless) == []


@pytest.mark.parametrize(
    "name", sorted(ATTACKS.keys() - {"surrogate", "carriage return", "line separator", "next line"})
)
def test_every_attack_is_found(name: str, harmless: bytes) -> None:
    before, after = harmless.split(b"[INST]", 1)
    assert foreign(before + ATTACKS[name].encode() + after) != []


def test_an_attack_that_textual_lets_through_is_found(tmp_path: Path) -> None:
    assert foreign(shown("\x1b]52;c;ZXZpbA==\x07 \x1b[35m", tmp_path)) != []
