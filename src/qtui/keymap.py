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
    Key("app.data", "3", "screen('data')", "data", "Every row as the model sees it.", bar=False),
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
    # -- help --------------------------------------------------------------------------------
    Key("help.close", "escape,q,question_mark,f1", "close", "close", "Close the help.", bar=False),
    Key("help.down", "j", "scroll('scroll_down')", "down", "A line down.", bar=False),
    Key("help.up", "k", "scroll('scroll_up')", "up", "A line up.", bar=False),
    Key("help.page", "space", "scroll('scroll_page_down')", "page", "A page down.", bar=False),
    # -- home --------------------------------------------------------------------------------
    Key("home.open", "enter", "open", "open", "Watch the run under the cursor."),
    Key("home.new", "n", "new", "new", "Set up a run."),
    Key("home.stop", "s", "stop", "stop…", "Stop the run; asks whether with a checkpoint."),
    Key("home.resume", "r", "resume", "resume", "Go on with a run that is over."),
    Key("home.compare", "x", "compare", "compare", "Compare the two marked runs."),
    Key("home.mark", "space", "mark", "mark", "Mark the run; two marked ones are compared."),
    Key("home.filter", "slash", "filter", "filter", "Show runs by name, model or state."),
    Key(
        "home.unfilter",
        "escape",
        "unfilter",
        "all",
        "All runs again, when the list is filtered.",
        bar=False,
    ),
    Key("home.sort", "o", "sort", "sort", "Sort by age, state, loss or name.", bar=False),
    Key(
        "home.copy",
        "c",
        "copy",
        "copy",
        "Set up a new run with the settings of this one.",
        bar=False,
    ),
    Key("home.delete", "d", "delete", "delete…", "Delete the run; asks first.", bar=False),
    Key(
        "home.command",
        "y",
        "command",
        "command",
        "Copy the run's command: to the clipboard, and always to a file.",
        bar=False,
    ),
    Key("home.up", "up,k", "move(-1)", "up", "The run above.", bar=False),
    Key("home.down", "down,j", "move(1)", "down", "The run below.", bar=False),
    Key("home.page_up", "pageup", "page(-1)", "page up", "A page of runs up.", bar=False),
    Key("home.page_down", "pagedown", "page(1)", "page down", "A page of runs down.", bar=False),
    Key("home.top", "home,g", "move(-100000)", "first", "The first run.", bar=False),
    Key("home.end", "end,G", "move(100000)", "last", "The last run.", bar=False),
    Key("home_filter.leave", "escape", "leave", "all runs", "Show all runs again."),
    # -- comparing two runs ------------------------------------------------------------------
    Key("compare.metric", "m", "metric(1)", "metric", "The next metric."),
    Key("compare.metric_before", "M", "metric(-1)", "metric", "The metric before.", bar=False),
    Key("compare.left", "left", "crosshair(-1)", "crosshair", "Crosshair to the left."),
    Key("compare.right", "right", "crosshair(1)", "crosshair", "Crosshair to the right."),
    Key("compare.zoom_in", "plus,equals_sign", "zoom(0.5)", "zoom", "Fewer steps, nearer."),
    Key("compare.zoom_out", "minus", "zoom(2.0)", "wider", "More steps, wider.", bar=False),
    Key(
        "compare.pan_left",
        "shift+left,left_square_bracket",
        "pan(-0.5)",
        "earlier",
        "Earlier steps.",
        bar=False,
    ),
    Key(
        "compare.pan_right",
        "shift+right,right_square_bracket",
        "pan(0.5)",
        "later",
        "Later steps.",
        bar=False,
    ),
    Key("compare.smooth", "t,tilde", "look('smooth')", "smooth", "Smooth the curves."),
    Key("compare.log_scale", "g", "look('log')", "log scale", "Logarithmic values.", bar=False),
    Key("compare.reset", "0", "look('all')", "all", "All steps again, as at first.", bar=False),
    Key("compare.up", "up,k", "text(-1)", "up", "Scroll the differences up.", bar=False),
    Key("compare.down", "down,j", "text(1)", "down", "Scroll the differences down.", bar=False),
    Key("compare.page_up", "pageup", "text(-8)", "page up", "A page up.", bar=False),
    Key("compare.page_down", "pagedown", "text(8)", "page down", "A page down.", bar=False),
    Key(
        "compare.command",
        "y",
        "command",
        "command",
        "Copy the command that prints the differences.",
        bar=False,
    ),
    # -- monitor -----------------------------------------------------------------------------
    Key("monitor.stop", "s", "stop", "stop…", "Stop the run; asks whether with a checkpoint."),
    Key("monitor.save", "c", "save", "save now", "Write a checkpoint at the next step."),
    Key("monitor.resume", "r", "resume", "resume", "Go on with a run that is over."),
    Key(
        "monitor.back_in_time",
        "left",
        "crosshair(-1)",
        "crosshair",
        "Crosshair to the left: read the values at a step.",
    ),
    Key(
        "monitor.forth_in_time",
        "right",
        "crosshair(1)",
        "crosshair",
        "Crosshair to the right.",
        bar=False,
    ),
    Key("monitor.zoom_in", "plus,equals_sign", "zoom(0.5)", "zoom", "Fewer steps, nearer."),
    Key("monitor.zoom_out", "minus", "zoom(2.0)", "wider", "More steps, wider.", bar=False),
    Key(
        "monitor.pan_left",
        "shift+left,left_square_bracket",
        "pan(-0.5)",
        "earlier",
        "Earlier steps.",
        bar=False,
    ),
    Key(
        "monitor.pan_right",
        "shift+right,right_square_bracket",
        "pan(0.5)",
        "later",
        "Later steps.",
        bar=False,
    ),
    Key("monitor.reset", "0", "reset", "all", "All steps again, no crosshair.", bar=False),
    Key(
        "monitor.smooth",
        "t,tilde",
        "look('smooth')",
        "smooth",
        "Smooth the chart: none, 0.6, 0.9, 0.97.",
        bar=False,
    ),
    Key("monitor.log_scale", "g", "look('log')", "log scale", "Logarithmic values.", bar=False),
    Key("monitor.clip", "x", "look('clip')", "clip", "Leave outliers out of the axis.", bar=False),
    Key("monitor.overlay", "o", "overlay", "overlay", "Lay curves of other runs over these."),
    Key(
        "monitor.metrics",
        "m",
        "metrics",
        "metrics",
        "Choose the charts by a regular expression over the names of the metrics.",
    ),
    Key("monitor.full", "f", "full", "full", "This chart over the whole screen.", bar=False),
    Key(
        "monitor.leave",
        "escape",
        "leave",
        "back",
        "From a chart or text over the whole screen back to all of it.",
        bar=False,
    ),
    Key("monitor.next_chart", "tab", "chart(1)", "next chart", "Next chart.", bar=False),
    Key(
        "monitor.previous_chart",
        "shift+tab",
        "chart(-1)",
        "previous chart",
        "Previous chart.",
        bar=False,
    ),
    Key("monitor.log", "l", "pane('log')", "log", "The log; again: over the whole screen."),
    Key(
        "monitor.samples",
        "v",
        "pane('samples')",
        "samples",
        "What the model answers; again: over the whole screen.",
        bar=False,
    ),
    Key(
        "monitor.checkpoints",
        "k",
        "pane('checkpoints')",
        "checkpoints",
        "The checkpoints; again: over the whole screen.",
        bar=False,
    ),
    Key(
        "monitor.info",
        "i",
        "pane('info')",
        "info",
        "The run's frozen config, versions, command; again: over the whole screen.",
        bar=False,
    ),
    Key(
        "monitor.worker",
        "w",
        "pane('worker')",
        "worker.log",
        "What the worker printed; again: over the whole screen.",
        bar=False,
    ),
    Key("monitor.up", "up", "scroll('up')", "up", "Scroll the text up.", bar=False),
    Key("monitor.down", "down", "scroll('down')", "down", "Scroll the text down.", bar=False),
    Key("monitor.page_up", "pageup", "scroll('page_up')", "page up", "A page up.", bar=False),
    Key(
        "monitor.page_down",
        "pagedown",
        "scroll('page_down')",
        "page down",
        "A page down.",
        bar=False,
    ),
    Key("monitor.top", "home", "scroll('home')", "top", "To the text's beginning.", bar=False),
    Key("monitor.end", "end", "scroll('end')", "end", "To the text's end.", bar=False),
    Key(
        "monitor.copy", "y", "copy", "copy command", "Copy the command that shows this.", bar=False
    ),
    Key("monitor.seen", "a", "seen", "seen", "Take the alert away: you have seen it.", bar=False),
    Key(
        "monitor.previous_run",
        "less_than_sign,comma",
        "run(-1)",
        "newer run",
        "Show the run that is newer than this one.",
        bar=False,
    ),
    Key(
        "monitor.next_run",
        "greater_than_sign,full_stop",
        "run(1)",
        "older run",
        "Show the run that is older than this one.",
        bar=False,
    ),
    Key(
        "monitor_filter.leave",
        "escape",
        "leave",
        "leave",
        "Leave the charts as they were.",
        bar=False,
    ),
    # -- choosing several runs ---------------------------------------------------------------
    # Both at once, or enter would overtake a space that is typed just before it.
    Key(
        "runs_picker.mark",
        "space",
        "mark",
        "mark",
        "Mark the run, or take the mark away.",
        priority=True,
    ),
    Key("runs_picker.done", "enter", "done", "done", "Take the marked runs.", priority=True),
    Key("runs_picker.leave", "escape", "leave", "leave", "Change nothing."),
    # -- configure ---------------------------------------------------------------------------
    Key(
        "configure.launch",
        "ctrl+l",
        "launch",
        "launch",
        "Start the run. Nothing is started while something is to mend.",
    ),
    Key(
        "configure.edit",
        "enter",
        "edit",
        "edit",
        "Change the setting, choose a preset, model or data; open or fold a section.",
    ),
    Key(
        "configure.fit",
        "e",
        "fit",
        "fit",
        "Whether it fits, item by item, how long it takes, and the run file as YAML.",
    ),
    Key(
        "configure.data",
        "p",
        "data",
        "data",
        "Let a worker read the data, and show the rows as the model will see them.",
    ),
    Key("configure.find", "slash", "find", "find", "Find a setting by a part of its name."),
    Key("configure.save", "ctrl+s", "save", "save", "Write the run file.", bar=False),
    Key("configure.open", "ctrl+o", "open_file", "open", "Open a run file.", bar=False),
    Key(
        "configure.command",
        "y",
        "command",
        "command",
        "Copy as a command: to the clipboard, and always to a file.",
        bar=False,
    ),
    Key(
        "configure.reset",
        "r,delete,backspace",
        "reset",
        "reset",
        "Give the setting its preset's or default value back.",
        bar=False,
    ),
    Key("configure.undo", "u", "undo", "undo", "Take the last change back.", bar=False),
    Key(
        "configure.apply",
        "a",
        "apply",
        "apply",
        "Apply the first suggestion that makes the run fit.",
        bar=False,
    ),
    Key(
        "configure.changed",
        "c",
        "changed",
        "changed",
        "Show only what differs from the defaults, or all.",
        bar=False,
    ),
    Key(
        "configure.next_choice",
        "space",
        "next_choice",
        "next",
        "The next choice of a setting that has few; elsewhere as enter.",
        bar=False,
    ),
    Key("configure.up", "up,k", "line(-1)", "up", "One line up.", bar=False),
    Key("configure.down", "down,j", "line(1)", "down", "One line down.", bar=False),
    Key("configure.page_up", "pageup", "page(-1)", "page up", "One page up.", bar=False),
    Key("configure.page_down", "pagedown", "page(1)", "page down", "One page down.", bar=False),
    Key("configure.top", "home,g", "line(-1000)", "top", "To the first line.", bar=False),
    Key("configure.end", "end,G", "line(1000)", "end", "To the last line.", bar=False),
    Key("configure.unfold", "right,l", "fold(False)", "unfold", "Open the section.", bar=False),
    Key("configure.fold", "left,h", "fold(True)", "fold", "Fold the section.", bar=False),
    Key(
        "configure.row_before",
        "left_square_bracket",
        "row(-1)",
        "row before",
        "The row of data before this one.",
        bar=False,
    ),
    Key(
        "configure.row_after",
        "right_square_bracket",
        "row(1)",
        "next row",
        "The next row of data.",
        bar=False,
    ),
    Key(
        "configure.leave",
        "q,escape",
        "leave",
        "back",
        "Stop a look at the data; close the pane; back to Home.",
        bar=False,
    ),
    # -- data --------------------------------------------------------------------------------
    Key("data.before", "left", "turn(-1)", "rows", "The row before."),
    Key("data.after", "right", "turn(1)", "rows", "The next row."),
    Key("data.view", "tab", "view(1)", "view", "The next view: raw, cleaned, template, tokens."),
    Key("data.view_before", "shift+tab", "view(-1)", "view", "The view before.", bar=False),
    Key(
        "data.next_finding",
        "f",
        "finding(1)",
        "next finding",
        "Go to the next row with a finding of the chosen kind.",
    ),
    Key(
        "data.finding_before",
        "F",
        "finding(-1)",
        "finding before",
        "Go to the row before with a finding of the chosen kind.",
        bar=False,
    ),
    Key(
        "data.drop",
        "d",
        "choose('drop')",
        "drop",
        "Drop the row at the next preparation, by its key in the run file. Again: take that back.",
    ),
    Key(
        "data.keep",
        "k",
        "choose('keep')",
        "keep",
        "Keep the row whatever was found in it, by its key in the run file. Again: take that back.",
        bar=False,
    ),
    Key("data.batch", "b", "page('batch')", "batch", "The first real batch, as the model gets it."),
    Key("data.enter", "enter", "enter", "go there", "The next finding; of the batch, the row."),
    Key("data.prepare", "p", "prepare", "prepare", "Prepare the data anew, in a run of its own."),
    Key("data.cancel", "x", "cancel", "cancel", "Call the preparation off; nothing of it is left."),
    Key(
        "data.charts",
        "g",
        "page('charts')",
        "charts",
        "Histograms of lengths, parts, sources and findings.",
        bar=False,
    ),
    Key(
        "data.sources",
        "s",
        "page('sources')",
        "sources",
        "All sources with their rows and findings.",
        bar=False,
    ),
    Key(
        "data.parts",
        "t",
        "parts",
        "parts",
        "Show all rows, or those of one part: training, validation, test, not used.",
        bar=False,
    ),
    Key(
        "data.kind_up",
        "shift+up,left_square_bracket",
        "kind(-1)",
        "kind above",
        "The kind of findings above.",
        bar=False,
    ),
    Key(
        "data.kind_down",
        "shift+down,right_square_bracket",
        "kind(1)",
        "kind below",
        "The kind of findings below.",
        bar=False,
    ),
    Key("data.ids", "i", "look('ids')", "ids", "The number of each token beside it.", bar=False),
    Key(
        "data.white",
        "w",
        "look('visible')",
        "white space",
        "Make white space and other invisible characters visible.",
        bar=False,
    ),
    Key(
        "data.changes",
        "c",
        "look('before')",
        "before",
        "The text before cleaning, or after it; what differs is marked.",
        bar=False,
    ),
    Key("data.go_to", "r", "go_to", "go to row", "Go to a row by its number.", bar=False),
    Key("data.page_up", "pageup", "turn(-100)", "100 back", "A hundred rows back.", bar=False),
    Key("data.page_down", "pagedown", "turn(100)", "100 on", "A hundred rows on.", bar=False),
    Key("data.first", "home", "end(-1)", "first", "The first row.", bar=False),
    Key("data.last", "end", "end(1)", "last", "The last row.", bar=False),
    Key(
        "data.up",
        "up",
        "scroll(-1)",
        "up",
        "Scroll the text up; in the batch the row above.",
        bar=False,
    ),
    Key(
        "data.down",
        "down",
        "scroll(1)",
        "down",
        "Scroll the text down; in the batch the row below.",
        bar=False,
    ),
    Key(
        "data.text_down",
        "space",
        "scroll_page(1)",
        "text on",
        "A page of the text down.",
        bar=False,
    ),
    Key(
        "data.text_up",
        "backspace",
        "scroll_page(-1)",
        "text back",
        "A page of the text up.",
        bar=False,
    ),
    Key("data.open", "o", "open", "open", "Choose the run whose data are shown.", bar=False),
    Key(
        "data.command",
        "y",
        "command",
        "command",
        "Copy the command that prepares these data: to the clipboard, and always to a file.",
        bar=False,
    ),
    Key("data.leave", "q,escape", "leave", "back", "Back to the row; from there to Home."),
    # -- choosing from a list ----------------------------------------------------------------
    Key("picker.up", "up", "move(-1)", "up", "The entry above.", bar=False),
    Key("picker.down", "down", "move(1)", "down", "The entry below.", bar=False),
    Key("picker.page_up", "pageup", "move(-12)", "page up", "A page of entries up.", bar=False),
    Key("picker.page_down", "pagedown", "move(12)", "page down", "A page down.", bar=False),
    Key("list.up", "up", "move(-1)", "up", "The entry above.", bar=False),
    Key("list.down", "down", "move(1)", "down", "The entry below.", bar=False),
    Key("list.done", "ctrl+s", "done", "done", "Take the list as it is now.", bar=False),
    Key("list.leave", "escape", "leave", "cancel", "Leave the list as it was.", bar=False),
    Key("picker.leave", "escape", "leave", "cancel", "Choose nothing.", bar=False),
    # -- system ------------------------------------------------------------------------------
    Key("system.again", "r", "again", "look again", "Look for what is missing once more."),
    Key("system.copy", "y", "copy", "copy command", "Copy the command that mends the finding."),
    Key("system.gpu", "g", "next_gpu", "next GPU", "Show the details of the next GPU."),
    Key("system.up", "up,k", "move(-1)", "up", "The finding above.", bar=False),
    Key("system.down", "down,j", "move(1)", "down", "The finding below.", bar=False),
    Key("system.page_up", "pageup", "move(-5)", "page up", "Five findings up.", bar=False),
    Key("system.page_down", "pagedown", "move(5)", "page down", "Five findings down.", bar=False),
    Key("system.top", "home", "move(-1000)", "top", "To the first finding.", bar=False),
    Key("system.end", "end", "move(1000)", "end", "To the last finding.", bar=False),
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


def find(id: str) -> Key:
    """The entry with that id. Raises `KeyError` when there is none."""
    for key in TABLE:
        if key.id == id:
            return key
    raise KeyError(id)
