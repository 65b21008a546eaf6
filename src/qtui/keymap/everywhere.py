"""The keys of every screen, and of the help."""

from __future__ import annotations

from qtui.keymap.key import Key

KEYS = (
    Key("app.home", "1", "screen('home')", "home", "All runs.", bar=False),
    Key("app.configure", "2", "screen('configure')", "configure", "Set up a run.", bar=False),
    Key("app.data", "3", "screen('data')", "data", "Every row as the model sees it.", bar=False),
    Key("app.monitor", "4", "screen('monitor')", "monitor", "Watch a run.", bar=False),
    Key("app.chat", "6", "screen('chat')", "chat", "Talk to a model.", bar=False),
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
    Key(
        "app.back",
        "q",
        "back",
        "back",
        "Back to where you came from; on Home, leave.",
        bar=False,
    ),
    Key("app.escape", "escape", "back(False)", "back", "Back; on Home, nothing.", bar=False),
    Key(
        "app.quit",
        "ctrl+q",
        "quit",
        "quit",
        "Leave the dashboard at once. Runs go on by themselves.",
        bar=False,
        priority=True,
    ),
    Key("app.how_to_quit", "ctrl+c", "help_quit", "", "Say how to leave.", bar=False),
    Key(
        "app.suspend",
        "ctrl+z",
        "suspend_process",
        "suspend",
        "Back to the shell for a while; fg returns.",
        bar=False,
        priority=True,
    ),
    Key(
        "app.draw_anew",
        "f5",
        "draw_anew",
        "draw anew",
        "Draw the whole screen, after something else has written on it.",
        bar=False,
    ),
    Key("help.close", "escape,q,question_mark,f1", "close", "close", "Close the help.", bar=False),
    Key("help.down", "j", "scroll('scroll_down')", "down", "A line down.", bar=False),
    Key("help.up", "k", "scroll('scroll_up')", "up", "A line up.", bar=False),
    Key("help.page", "space", "scroll('scroll_page_down')", "page", "A page down.", bar=False),
)
