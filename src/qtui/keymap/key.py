"""What an entry of the table of keys is."""

from __future__ import annotations

from dataclasses import dataclass

EVERYWHERE = "app"
"""The `screen` of keys that work on every screen."""


@dataclass(frozen=True)
class Key:
    """One binding. `id` is what a user remaps; `screen` is its first part."""

    id: str
    keys: str
    """Comma-separated key names, as Textual spells them."""
    action: str
    label: str
    """One or two words, for the bottom line."""
    help: str
    """A sentence, for the help screen."""
    bar: bool = True
    """Whether the bottom line shows it; it has room for six."""
    priority: bool = False
    """Whether it works although a text field has the focus."""

    @property
    def screen(self) -> str:
        return self.id.partition(".")[0]
