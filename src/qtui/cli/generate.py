"""`qtui generate`: an answer to every row of a file, several at once, to be gone on with later."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtui.chat import batch_input
from qtui.chat.batch import Batch, Progress, run
from qtui.chat.batch_input import Form, Item
from qtui.chat.batch_results import Results, count, encoded, told
from qtui.cli import talking
from qtui.cli.interruption import interruptible
from qtui.cli.output import Output, Styled
from qtui.config.serve import ServeConfig
from qtui.errors import EXIT_DONE, EXIT_FAILED, InputError
from qtui.terminal import clean_line
from qtui.wording import duration

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.chat.asks import Settings
    from qtui.cli.talking import Talk, Whom

CONCURRENCY = 8
"""Requests at once to a server whose limit is not known."""

_TICK = 0.25


@dataclass(frozen=True)
class _Work:
    """What is to be done, and how far it is."""

    arguments: Namespace
    out: Output
    whom: Whom
    form: Form
    settings: Settings
    results: Results | None
    """The output; none: standard output."""
    progress: Progress = field(default_factory=Progress)

    @property
    def told(self) -> dict[str, Any]:
        """The settings as they are written into each row."""
        return _told(self.settings, self.arguments)


def generate(arguments: Namespace, out: Output) -> int:
    """`generate`: ends with 0 when every row was answered, 1 when some were not."""
    form = _form(arguments)
    if arguments.concurrency is not None and arguments.concurrency < 1:
        raise InputError("--concurrency is at least 1")
    if arguments.output is not None:
        _refuse_to_overwrite(arguments)
    settings = talking.settings(arguments)
    whom = talking.whom(arguments, out)
    if len(whom.models) > 1:
        raise InputError("generate asks one model", remedy="name one run, checkpoint or model")
    results = _results(arguments, settings)
    work = _Work(arguments, out, whom, form, settings, results)
    found = None
    try:
        # What is wrong with the files is said before a model is loaded.
        if arguments.input != "-":
            _count(work)
        if not _all_answered(work):
            with talking.talk(whom, arguments, out) as found:
                interruptible(_generate(work, found))
    except BaseException:
        _kept(work)
        raise
    finally:
        out.status("")
        if results is not None:
            results.close()
    _say_end(work, found)
    return EXIT_FAILED if work.progress.failed else EXIT_DONE


def _told(settings: Settings, arguments: Namespace) -> dict[str, Any]:
    return told(settings, raw=arguments.raw, completion=arguments.plain)


def _results(arguments: Namespace, settings: Settings) -> Results | None:
    if arguments.output is None:
        return None
    force = arguments.force or arguments.input == "-"
    return Results(Path(arguments.output), _told(settings, arguments), force=force)


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


def _count(work: _Work) -> None:
    """Count the rows, and those that are answered already."""
    work.out.status("counting the rows")
    progress, results = work.progress, work.results
    if results is not None and any(work.whom.models):
        results.check_model(work.whom.models[0])
    rows = batch_input.items(Path(work.arguments.input), work.form)
    progress.total, progress.skipped = count(rows, results)
    if progress.skipped:
        work.out.note(f"{progress.skipped:,} of {progress.total:,} rows are answered already")
    if results is not None and results.damaged:
        work.out.note(
            Styled("warning: ", "yellow"),
            f"{results.damaged:,} lines of the output were damaged; their rows are asked again",
        )


def _all_answered(work: _Work) -> bool:
    """Whether there is nothing to ask, so that no server is needed. What a server calls its base
    it has to say itself."""
    return any(work.whom.models) and work.progress.total == work.progress.skipped


async def _generate(work: _Work, found: Talk) -> None:
    async with talking.connected(found, work.whom, work.out) as (client, (model,)):
        concurrency = work.arguments.concurrency or _concurrency(found)
        raw = work.arguments.raw
        batch = Batch(client, model, work.settings, work.told, concurrency, raw, found.ended)
        write = _to_stdout(work.out)
        if work.results is not None:
            work.results.begin(model)
            write = work.results.append
        await _watched(batch, _rows(work), write, work.progress, work.out)


def _concurrency(found: Talk) -> int:
    if found.run is None:
        return CONCURRENCY
    return ServeConfig.model_validate(found.run.spec.config).max_concurrent


async def _rows(work: _Work) -> AsyncIterator[Item]:
    """The rows that have no answer yet."""
    if work.arguments.input == "-":
        plain = None if work.arguments.field is None else False
        async for item in batch_input.stream_items(sys.stdin.buffer, work.form, plain=plain):
            yield item
        return
    for item in batch_input.items(Path(work.arguments.input), work.form):
        if work.results is None or not work.results.has(item):
            yield item


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


def _kept(work: _Work) -> None:
    """Say what is there of a batch that ended early."""
    progress, arguments = work.progress, work.arguments
    work.out.status("")
    answered = progress.skipped + progress.done
    if arguments.output is None or not answered:
        return
    of = f" of {progress.total:,}" if progress.total else ""
    work.out.note(f"{answered:,}{of} answers are kept in {clean_line(arguments.output)}")
    if arguments.input != "-":
        work.out.note("  the same command goes on where it stopped")


def _say_end(work: _Work, found: Talk | None) -> None:
    progress, out = work.progress, work.out
    if out.json and work.results is not None:
        out.document(
            {
                "server": None if found is None else found.name,
                "output": str(work.results.path),
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
    if progress.failed and work.results is not None:
        out.note("  each failed row says why; the same command asks them again")
