"""All keys of the dashboard in one table: what binds them, what shows them, what the help says.

A screen takes its bindings from here with `bindings("home")`; the help screen, the bottom line and
the user's remapping (`[keys]` in the config file) use the same entries, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

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


TABLE: tuple[Key, ...] = (
    # -- every screen ------------------------------------------------------------------------
    Key("app.home", "1", "screen('home')", "home", "All runs.", bar=False),
    Key("app.configure", "2", "screen('configure')", "configure", "Set up a run.", bar=False),
    Key("app.monitor", "4", "screen('monitor')", "monitor", "Watch a run.", bar=False),
    Key("app.system", "9", "screen('system')", "system", "This machine.", bar=False),
    Key("app.help", "question_mark,f1", "help", "help", "Show what every key does."),
    Key(
        "app.palette",
        "colon,ctrl+p",
        "command_palette",
        "palette",
        "Find a command by its name.",
        bar=False,
    ),
    Key(
        "app.jump",
        "ctrl+g",
        "jump",
        "jump",
        "Put a letter on everything that takes the focus; type it to go there.",
        bar=False,
        priority=True,
    ),
    Key("app.theme", "ctrl+t", "next_theme", "theme", "Next theme.", bar=False),
    Key("app.back", "q,escape", "back", "back", "Back to where you came from.", bar=False),
    Key(
        "app.quit",
        "ctrl+q",
        "quit",
        "quit",
        "Leave the dashboard. Runs go on by themselves.",
        bar=False,
        priority=True,
    ),
)


def bindings(screen: str) -> list[Binding]:
    """The bindings of `screen` (`EVERYWHERE` for the application's own)."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.bar,
            id=key.id,
            tooltip=key.help,
            priority=key.priority,
        )
        for key in TABLE
        if key.screen == screen
    ]
