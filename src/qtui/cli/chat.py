"""`qtui chat`: one prompt to one or more models, or the chat screen.

With --prompt, or with something on standard input, the answers go to stdout as they are written;
on a terminal without either the dashboard opens where one talks.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtui.chat.asks import Answered, Ask, Delta, Prompted, Settings
from qtui.cli import talking
from qtui.cli.home import on_terminal
from qtui.cli.interruption import interruptible
from qtui.cli.output import Output, Styled
from qtui.errors import EXIT_DONE, EXIT_FAILED, InputError, QtuiError
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from argparse import Namespace

    from qtui.chat.client import Client
    from qtui.cli.talking import Talk, Whom

MAX_PROMPT = 4 << 20
"""Bytes that are read from standard input."""


def chat(arguments: Namespace, out: Output) -> int:
    """`chat`: ends with 0 when every model answered, 1 when one did not."""
    if arguments.prompt is None and not out.json and not arguments.headless and on_terminal():
        return open_chat(arguments, out)
    ask = _ask(arguments)
    whom = talking.whom(arguments, out, base=arguments.base)
    with talking.talk(whom, arguments, out) as found:
        return interruptible(_asked(found, whom, ask, out, arguments))


def open_chat(arguments: Namespace, out: Output) -> int:
    """The dashboard on its chat screen, with what the command line names and sets."""
    from qtui.chat.client import parse_url
    from qtui.cli.dashboard import open_dashboard
    from qtui.screens.chat import opening, sampling

    for option, key in (("raw", "x"), ("keep", "v")):
        if getattr(arguments, option):
            raise InputError(
                f"--{option} is for --prompt", remedy=f"on the Chat screen {key} does that"
            )
    refs: tuple[str, ...] = tuple(arguments.subjects)
    address = None
    if arguments.url is not None:
        address, refs = parse_url(arguments.url), ()
    elif not refs:
        refs = (talking.newest(arguments.workspace, out),)
    whom = opening.Talk(
        refs,
        address,
        tuple(arguments.models),
        arguments.device,
        arguments.chat_template,
        arguments.quantization,
    )
    schema = arguments.json_schema or ""
    how = sampling.Draft(
        talking.settings(arguments), arguments.system or "", arguments.plain, schema
    )
    out.flush()
    return open_dashboard(arguments.workspace, begin=lambda app: app.talk(whom, how))


def _ask(arguments: Namespace) -> Ask:
    """The request, but for its model."""
    prompt = arguments.prompt
    if prompt is None:
        prompt = _from_stdin()
    if not prompt.strip():
        raise InputError("there is nothing to ask", remedy="--prompt TEXT, or text on stdin")
    settings: Settings = talking.settings(arguments)
    if arguments.plain:
        if arguments.system:
            raise InputError("--system does not go with --plain", remedy="write it into the prompt")
        return Ask("", (), settings, prompt, arguments.raw)
    messages: list[dict[str, str]] = [{"role": "user", "content": prompt}]
    if arguments.system:
        messages.insert(0, {"role": "system", "content": arguments.system})
    return Ask("", tuple(messages), settings, raw=arguments.raw)


def _from_stdin() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("there is nothing to ask", remedy="--prompt TEXT, or text on stdin")
    data = sys.stdin.buffer.read(MAX_PROMPT + 1)
    if len(data) > MAX_PROMPT:
        raise InputError(
            f"standard input has more than {MAX_PROMPT:,} bytes",
            remedy="qtui generate INPUT.jsonl asks many prompts",
        )
    try:
        return data.decode().rstrip("\r\n")  # of the program before the pipe, not the prompt's
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8 (byte {error.start:,})") from error


async def _asked(found: Talk, whom: Whom, ask: Ask, out: Output, arguments: Namespace) -> int:
    answers = []
    async with talking.connected(found, whom, out) as (client, ids):
        for number, name in enumerate(ids):
            if not out.json and len(ids) > 1:
                if number:
                    out.line("")
                out.line(Styled(clean_line(name), "bold"))
            try:
                answers.append(await _answer(client, replace(ask, model=name), out))
            except QtuiError as error:
                why = await asyncio.to_thread(found.ended) or error
                if len(ids) == 1:
                    raise why from None
                answers.append(_failed(name, why, out))
    if out.json:
        out.document(
            {
                "server": found.name,
                "prompt": ask.prompt if ask.prompt is not None else ask.messages[-1]["content"],
                "system": arguments.system or "",
                "answers": answers,
            }
        )
    return EXIT_FAILED if any(answer["error"] for answer in answers) else EXIT_DONE


async def _answer(client: Client, ask: Ask, out: Output) -> dict[str, Any]:
    """One answer, shown as it is written; what a document says of it."""
    pieces: list[str] = []
    seen: str | None = None
    done: Answered | None = None
    last = ""

    def show(text: str) -> None:
        nonlocal last
        if not out.json and text:
            last = text
            _write(text, out)

    try:
        async with aclosing(client.ask(ask)) as answer:
            async for each in answer:
                if isinstance(each, Prompted):
                    seen = each.prompt
                    show(seen)
                elif isinstance(each, Delta):
                    pieces.append(each.text)
                    show(each.text)
                else:
                    done = each
    finally:
        # Whatever ends the answer: what is said next stands on a line of its own.
        if last and not last.endswith("\n"):
            show("\n")
    assert done is not None
    text = "".join(pieces)
    if not out.json:
        if not last:
            show("\n")
        out.note(Styled(_figures(done), "dim"))
    return {
        "model": ask.model,
        "text": text,
        "finish_reason": done.finish_reason,
        "usage": {
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.completion_tokens,
        },
        "first_token_seconds": done.first_token_seconds,
        "seconds": done.seconds,
        "tokens_per_second": done.tokens_per_second,
        "error": None,
    } | ({} if seen is None else {"raw_prompt": seen})


def _write(text: str, out: Output) -> None:
    out.stdout.write(text)
    out.stdout.flush()


def _figures(done: Answered) -> str:
    ended = {"stop": "", "length": " · cut at max_tokens"}.get(
        done.finish_reason, f" · {clean_line(done.finish_reason, 40)}"
    )
    speed = f" · {done.tokens_per_second:.1f} tok/s" if done.tokens_per_second else ""
    first = f" · first {done.first_token_seconds:.2f} s"
    return f"{done.completion_tokens:,} tokens{speed}{first}{ended}"


def _failed(name: str, error: QtuiError, out: Output) -> dict[str, Any]:
    if not out.json:
        out.note(Styled("qtui: ", "red"), error.message.replace("\n", "\n  "))
        if error.remedy:
            out.note("  ", error.remedy.replace("\n", "\n  "))
    told = {"message": error.message, "remedy": error.remedy, "type": type(error).__name__}
    return {"model": name, "text": "", "error": told}
