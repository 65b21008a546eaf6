"""`qtui generate`: an answer to every row of a file, several at once, to be gone on with later."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.chat import batch_input
from qtui.chat.batch import Batch, Progress, run
from qtui.chat.batch_input import Form, Item
from qtui.chat.batch_results import Results, count, encoded, told
from qtui.cli import talking
from qtui.cli.output import Output, Styled
from qtui.config.serve import ServeConfig
from qtui.errors import EXIT_DONE, EXIT_FAILED, InputError
from qtui.terminal import clean_line
from qtui.wording import duration

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.cli.talking import Talk

CONCURRENCY = 8
"""Requests at once to a server whose limit is not known."""

_TICK = 0.25


def generate(arguments: Namespace, out: Output) -> int:
    """`generate`: ends with 0 when every row was answered, 1 when some were not."""
    form = _form(arguments)
    if arguments.concurrency is not None and arguments.concurrency < 1:
        raise InputError("--concurrency is at least 1")
    if arguments.output is not None:
        _refuse_to_overwrite(arguments)
    settings = talking.settings(arguments)
    with talking.talk(arguments, out) as found:
        return asyncio.run(_generate(found, form, settings, arguments, out))


def _form(arguments: Namespace) -> Form:
    plain = False
    if arguments.input != "-":
        plain = batch_input.is_plain(Path(arguments.input))
    if arguments.plain and arguments.system:
        raise InputError("--system does not go with --plain", remedy="write it into the prompts")
    return Form(plain, arguments.field, arguments.system or "", arguments.plain)


def _refuse_to_overwrite(arguments: Namespace) -> None:
    output = Path(arguments.output)
    if not output.exists():
        return
    shown = clean_line(str(output))
    if arguments.input != "-":
        if output.samefile(arguments.input):
            raise InputError(f"{shown} is the input", remedy="give another --output")
    elif not arguments.force and output.stat().st_size:
        raise InputError(
            f"{shown} is there, and what comes from standard input cannot be gone on with",
            remedy="give another --output, or --force to overwrite it",
        )


async def _generate(
    found: Talk, form: Form, settings: Any, arguments: Namespace, out: Output
) -> int:
    async with talking.connected(found, out) as (client, ids):
        if len(ids) != 1:
            raise InputError("generate asks one model", remedy="name one run, checkpoint or model")
        asked_with = told(settings, raw=arguments.raw, completion=arguments.plain)
        concurrency = arguments.concurrency or _concurrency(found)
        batch = Batch(client, ids[0], settings, asked_with, concurrency, arguments.raw, found.ended)
        progress = Progress()
        results = None
        if arguments.output is not None:
            force = arguments.force or arguments.input == "-"
            results = Results(Path(arguments.output), ids[0], asked_with, force=force)
        try:
            rows = await _rows(form, results, progress, arguments, out)
            write = _to_stdout(out) if results is None else results.append
            await _watched(batch, rows, write, progress, out)
        except BaseException:
            _kept(progress, arguments, out)
            raise
        finally:
            out.status("")
            if results is not None:
                results.close()
    _say_end(progress, results, found, arguments, out)
    return EXIT_FAILED if progress.failed else EXIT_DONE


def _concurrency(found: Talk) -> int:
    if found.run is None:
        return CONCURRENCY
    return ServeConfig.model_validate(found.run.spec.config).max_concurrent


async def _rows(
    form: Form, results: Results | None, progress: Progress, arguments: Namespace, out: Output
) -> AsyncIterator[Item]:
    """The rows that have no answer yet."""
    if arguments.input == "-":
        plain = None if arguments.field is None else False
        return batch_input.stream_items(sys.stdin.buffer, form, plain=plain)
    path = Path(arguments.input)
    out.status("counting the rows")
    rows = batch_input.items(path, form)
    progress.total, progress.skipped = await asyncio.to_thread(count, rows, results)
    if progress.skipped:
        out.note(f"{progress.skipped:,} of {progress.total:,} rows are answered already")
    if results is not None and results.damaged:
        out.note(
            Styled("warning: ", "yellow"),
            f"{results.damaged:,} lines of the output were damaged; their rows are asked again",
        )

    async def missing() -> AsyncIterator[Item]:
        for item in batch_input.items(path, form):
            if results is None or not results.has(item):
                yield item

    return missing()


async def _watched(
    batch: Batch,
    rows: AsyncIterator[Item],
    write: Callable[[Mapping[str, Any]], None],
    progress: Progress,
    out: Output,
) -> None:
    """Ask all rows, and show how far it is."""

    async def show() -> None:
        while True:
            out.status(_line(progress))
            await asyncio.sleep(_TICK)

    showing = asyncio.create_task(show())
    try:
        await run(batch, rows, write, progress)
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


def _line(progress: Progress) -> str:
    done = progress.skipped + progress.done + progress.failed
    parts = [f"{done:,}" + (f" of {progress.total:,}" if progress.total else "") + " rows"]
    if progress.rate:
        parts.append(f"{progress.rate:.1f} rows/s")
        parts.append(f"{progress.tokens / progress.seconds:.0f} tok/s")
    if (left := progress.seconds_left) is not None:
        parts.append(f"{duration(left)} left")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.busy:
        parts.append("the server is busy")
    return " · ".join(parts)


def _to_stdout(out: Output) -> Callable[[Mapping[str, Any]], None]:
    def write(row: Mapping[str, Any]) -> None:
        if out.json:
            out.document(row)
        else:
            out.line(encoded(row).decode().rstrip("\n"))

    return write


def _kept(progress: Progress, arguments: Namespace, out: Output) -> None:
    """Say what is there of a batch that ended early."""
    out.status("")
    answered = progress.skipped + progress.done
    if arguments.output is None or not answered:
        return
    of = f" of {progress.total:,}" if progress.total else ""
    out.note(f"{answered:,}{of} answers are kept in {clean_line(arguments.output)}")
    if arguments.input != "-":
        out.note("  the same command goes on where it stopped")


def _say_end(
    progress: Progress, results: Results | None, found: Talk, arguments: Namespace, out: Output
) -> None:
    if out.json and results is not None:
        out.document(
            {
                "server": found.name,
                "output": str(results.path),
                "rows": progress.skipped + progress.done + progress.failed,
                "answered": progress.done,
                "skipped": progress.skipped,
                "failed": progress.failed,
                "tokens": progress.tokens,
                "seconds": progress.seconds,
            }
        )
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    rate = f" · {progress.tokens / progress.seconds:.0f} tok/s" if progress.tokens else ""
    out.note(f"{progress.done:,} rows answered{failed} in {duration(progress.seconds)}{rate}")
    if progress.failed and results is not None:
        out.note("  each failed row says why; the same command asks them again")
