"""Builds the argument parser from the table of commands; its errors are ours.

argparse prints what it was given and exits; here a wrong command line raises `UsageError` like
any other bad input, with a "did you mean", and is shown by `main` as every error is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

from qtui.cli.commands import COMMANDS, COMMON, GROUPS, Argument, CommandSpec
from qtui.errors import InputError

_TOP_DETAIL = """\
Without a command qtui opens the dashboard; without a terminal, or with --headless
or --json, it prints the runs of this folder. A run is a folder under runs/; it
lives in a process of its own, and any number of viewers may look.

first steps:
  qtui quickstart            see it work: built-in model and data, no GPU
  qtui init run.yaml         write a run file to edit
  qtui train run.yaml        train; Ctrl-C only stops looking
  qtui runs attach latest    look again

exit codes: 0 done, 1 failed, 2 wrong input, 3 a quality gate said no,
4 not possible on this machine, 130 stopped by the user."""


class UsageError(InputError):
    """The command line cannot be understood."""


class _Parser(argparse.ArgumentParser):
    color = False  # from Python 3.14 on argparse colours help by itself, past our sink

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.color = False

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"{self.prog} --help shows how it is used")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            import difflib

            near = difflib.get_close_matches(str(value), list(action.choices), n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            known = ", ".join(action.choices)
            raise UsageError(
                f"there is no command {_words(self.prog, value)!r}{meant}",
                remedy=f"commands: {known}",
            )
        super()._check_value(action, value)


def build() -> argparse.ArgumentParser:
    """The parser of the whole command line; `handler` in its result names the function."""
    from qtui import __version__

    top = _parser("qtui", "QLoRA fine-tuning from a terminal", _TOP_DETAIL)
    top.add_argument("--version", action="version", version=f"qtui {__version__}")
    top.add_argument(
        "--headless", action="store_true", help="never open the dashboard: print and end"
    )
    _add(top, COMMON)
    top.set_defaults(
        handler="home:home", json=False, workspace=None, debug=False, headless=False, command=()
    )
    commands = top.add_subparsers(metavar="COMMAND", title="commands")
    groups: dict[str, Any] = {}
    for spec in COMMANDS:
        parent = commands
        if len(spec.path) == 2:
            group = spec.path[0]
            if group not in groups:
                groups[group] = _group(commands, group)
            parent = groups[group]
        _command(parent, spec)
    return top


def _group(commands: Any, name: str) -> Any:
    summary = GROUPS[name]
    parser = commands.add_parser(
        name, help=summary, description=_sentence(summary), formatter_class=_FORMATTER
    )
    return parser.add_subparsers(metavar="COMMAND", title="commands", required=True)


def _command(commands: Any, spec: CommandSpec) -> None:
    examples = "\n".join(f"  {example}" for example in spec.examples)
    parser = commands.add_parser(
        spec.path[-1],
        help=spec.summary,
        description=" ".join(filter(None, (_sentence(spec.summary), spec.detail))),
        epilog=f"example{'s' if len(spec.examples) > 1 else ''}:\n{examples}",
        formatter_class=_FORMATTER,
        allow_abbrev=False,
    )
    _add(parser, spec.arguments)
    _add(parser, COMMON)
    parser.set_defaults(handler=spec.handler, command=spec.path)


def _add(parser: argparse.ArgumentParser, arguments: Iterable[Argument]) -> None:
    for argument in arguments:
        options = dict(argument.options)
        if argument in COMMON:
            # Given before the command or after it: the one that is absent must not undo the other.
            options["default"] = argparse.SUPPRESS
        parser.add_argument(*argument.flags, help=argument.help, **options)


def _parser(prog: str, description: str, epilog: str) -> _Parser:
    return _Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=_FORMATTER,
        allow_abbrev=False,
    )


def _words(prog: str, value: Any) -> str:
    return f"{prog} {value}".removeprefix("qtui ")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


class _FORMATTER(argparse.HelpFormatter):
    """Wraps descriptions to the terminal and leaves epilogs (examples) as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)
