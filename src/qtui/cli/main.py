"""`qtui`: reads the command line, calls the one function behind it, reports how it ended.

Exit codes are those of `qtui.errors`: 0 done, 1 failed, 2 wrong input, 3 a gate said no, 4 not
possible here, 130 stopped by the user (141 where the reader of a pipe has gone). Every error
reaches the user the same way: what happened and the way out on stderr and, with --json, as one
object on stdout. A handler is imported only when its command is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.cli.output import Output, Styled, guard
from qtui.errors import EXIT_FAILED, EXIT_STOPPED, QtuiError

if TYPE_CHECKING:
    from argparse import Namespace

_EXIT_PIPE = 141  # what a shell shows for a program that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    out = Output(*guard(), json="--json" in arguments)
    try:
        code = _dispatch(arguments, out)
        out.flush()
    except BrokenPipeError:
        return _pipe_closed()
    except KeyboardInterrupt:
        return _report(QtuiError("stopped by Ctrl-C or a signal"), out, EXIT_STOPPED)
    except Exception as error:
        debug = "--debug" in arguments
        if debug:
            import traceback

            out.status("")
            traceback.print_exc(file=sys.stderr)
        return _report(_described(error, debug), out)
    return code


def _dispatch(arguments: list[str], out: Output) -> int:
    from qtui.cli.parser import build

    try:
        parsed = build().parse_args(arguments)
    except SystemExit as done:  # --help and --version
        out.flush()
        return done.code if isinstance(done.code, int) else EXIT_FAILED
    chosen = parsed.workspace or os.environ.get("QTUI_WORKSPACE") or "."
    parsed.workspace = Path(chosen).absolute()
    module, function = parsed.handler.split(":")
    handler: Callable[[Namespace, Output], int] = getattr(
        import_module(f"qtui.cli.{module}"), function
    )
    return handler(parsed, out)


def _described(error: Exception, debug: bool) -> QtuiError:
    """`error` as one that says what to do: our own as it is, others named for what they are."""
    if isinstance(error, QtuiError):
        return error
    if isinstance(error, OSError):
        where = f": {os.fsdecode(error.filename)}" if error.filename is not None else ""
        return QtuiError(f"{error.strerror or error}{where}")
    remedy = "" if debug else "run it again with --debug and report what it prints"
    return QtuiError(f"internal error: {type(error).__name__}: {error}", remedy=remedy)


def _report(error: QtuiError, out: Output, code: int | None = None) -> int:
    code = error.exit_code if code is None else code
    out.status("")
    try:
        if out.json:
            out.document({"error": _as_document(error, code)})
        # A line break inside a message may come from a file's name: indented, it cannot pass
        # for a line of ours.
        text = error.message.replace("\n", "\n  ")
        out.note(Styled("qtui: ", "red"), text)
        if error.remedy:
            out.note("  ", error.remedy.replace("\n", "\n  "))
        out.flush()
    except BrokenPipeError:
        _pipe_closed()
    return code


def _as_document(error: QtuiError, code: int) -> dict[str, object]:
    document: dict[str, object] = {
        "type": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "exit_code": code,
    }
    problems = getattr(error, "problems", None)
    if problems is not None:
        document["problems"] = [
            {name: getattr(problem, name, None) for name in _PROBLEM} for problem in problems
        ]
    return document


_PROBLEM = ("file", "line", "column", "key", "sentence")


def _pipe_closed() -> int:
    # Nobody reads any more; what is still buffered must not raise again at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except BrokenPipeError:
            os.dup2(null, descriptor)
    os.dup2(null, 1)
    return _EXIT_PIPE
