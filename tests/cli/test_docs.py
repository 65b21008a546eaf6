"""docs/commands.md says what the commands are."""

from __future__ import annotations

from qtui.cli.docs import document
from tests.cli.programs import ROOT


def test_the_document_is_up_to_date() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == document(), "run: python -m qtui.cli.docs > docs/commands.md"
