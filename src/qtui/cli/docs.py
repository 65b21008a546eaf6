"""Prints docs/commands.md from the table of commands: `python -m qtui.cli.docs`.

A test fails when the file and the table differ, so the document is always what `--help` says.
"""

from __future__ import annotations

import sys

from qtui.cli.commands import COMMANDS, COMMON, GROUPS, Argument, CommandSpec

_HEAD = """\
# Commands

Made from the command table by `python -m qtui.cli.docs > docs/commands.md`; edit
`src/qtui/cli/commands.py`, not this file.

Without a command `qtui` opens the dashboard ([dashboard.md](dashboard.md)). Without a terminal (a
pipe, cron), and with `--headless` or `--json`, it prints instead what the dashboard would show
first: the runs of this folder, the GPUs, and what to type next. Results go to stdout, everything
else to stderr. RUN is a run's folder name, its name, an unambiguous beginning of either, or
`latest`.

## Exit codes

| code | meaning |
|---|---|
| 0 | done; for a followed run: it completed |
| 1 | failed at run time; for a followed run: it failed or was interrupted |
| 2 | wrong input or run file |
| 3 | a quality gate said no |
| 4 | not possible on this machine |
| 129, 143 | the dashboard was ended: its terminal went away, or SIGTERM (runs go on) |
| 130 | stopped by the user: the run was stopped, or Ctrl-C ended the following (the run goes on) |
| 141 | the reader of the output has gone (`qtui runs list \\| head`) |

## JSON

With `--json` stdout carries JSON and nothing else, in ASCII: one document, or, while following,
one object a line. `train` begins with `{"type": "run", "id": …}`, goes on with the run's events as
they stand in its log, and ends with `{"type": "result", "status": …, "exit_code": …}`. With
`--detach` the first of these is all, and has the worker's `pid`. An error is
`{"error": {"type": …, "message": …, "remedy": …, "exit_code": …}}`, with `problems` for a run file.
"""


def document() -> str:
    """The whole of docs/commands.md."""
    parts = [_HEAD, "## For every command\n", _arguments(COMMON)]
    group = ""
    for spec in COMMANDS:
        if len(spec.path) == 2 and spec.path[0] != group:
            group = spec.path[0]
            parts.append(f"## qtui {group}\n\n{_sentence(GROUPS[group])}\n")
        parts.append(_command(spec))
    return "\n".join(parts)


def _command(spec: CommandSpec) -> str:
    level = "##" if len(spec.path) == 1 else "###"
    detail = f" {spec.detail}" if spec.detail else ""
    examples = "\n".join(spec.examples)
    parts = [
        f"{level} qtui {' '.join(spec.path)}\n",
        f"{_sentence(spec.summary)}{detail}\n",
        f"```\n{examples}\n```\n",
    ]
    if spec.arguments:
        parts.append(_arguments(spec.arguments))
    return "\n".join(parts)


def _arguments(arguments: tuple[Argument, ...]) -> str:
    rows = [f"| `{_name(argument)}` | {_cell(argument.help)} |" for argument in arguments]
    return "\n".join(["| argument | meaning |", "|---|---|", *rows, ""])


def _name(argument: Argument) -> str:
    metavar = argument.options.get("metavar", "")
    if argument.flags[0].startswith("-"):
        choices = argument.options.get("choices")
        value = metavar or ("{" + ",".join(choices) + "}" if choices else "")
        return f"{', '.join(argument.flags)} {value}".strip()
    name = metavar or argument.flags[0]
    return {"?": f"[{name}]", "+": f"{name}…"}.get(argument.options.get("nargs", ""), name)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


if __name__ == "__main__":
    sys.stdout.write(document())
