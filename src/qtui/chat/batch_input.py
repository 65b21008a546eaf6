"""Rows to be asked, out of a file or of standard input, one at a time.

A row is a JSON object with `prompt` or `messages`, or a line of plain text. A row that cannot be
asked keeps its place and says why: one bad line of a million ends nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from qtui.chat.asks import Messages
from qtui.errors import InputError, NotFoundError
from qtui.terminal import clean_line

MAX_LINE = 8 << 20
"""Bytes of the longest row."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Form:
    """How rows are read."""

    plain: bool = False
    """Each line is a prompt as it stands."""
    column: str | None = None
    """Key of the prompt or of the messages; none: `messages`, else `prompt`."""
    system: str = ""
    """System prompt of rows that bring none."""
    completion: bool = False
    """Prompts are texts to go on from, not a user's turns."""


@dataclass(frozen=True)
class Item:
    """A row that is to be asked."""

    line: int
    """From 1."""
    hash: str
    """16 hexadecimal digits of what is asked, by which a changed row is known."""
    input: Any
    """The row as it was read."""
    messages: Messages = ()
    prompt: str | None = None
    error: str = ""
    """Why it cannot be asked."""


def item_of(line: int, raw: bytes, form: Form) -> Item | None:
    """The row that stands at `line`; none where it is blank."""
    text = (raw.removeprefix(_BOM) if line == 1 else raw).strip(b"\r\n")
    if not text.strip():
        return None
    try:
        value: Any = text.decode() if form.plain else json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text[:2000].decode("utf-8", "replace")
        what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"no JSON: {error}"
        return Item(line, _hash(shown), shown, error=what)
    try:
        messages, prompt = _asked(value, form)
    except InputError as error:
        return Item(line, _hash(value), value, error=error.message)
    return Item(line, _hash([messages, prompt]), value, messages, prompt)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _asked(value: Any, form: Form) -> tuple[Messages, str | None]:
    if isinstance(value, dict):
        value = _column(value, form)
    if isinstance(value, str):
        if not value.strip():
            raise InputError("the prompt is blank")
        if form.completion:
            return (), value
        value = [{"role": "user", "content": value}]
    if form.completion:
        raise InputError("messages cannot be gone on from as plain text")
    if not isinstance(value, list) or not value:
        raise InputError("neither a prompt nor a list of messages")
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InputError("a message has no role")
    if form.system and value[0]["role"] != "system":
        value = [{"role": "system", "content": form.system}, *value]
    return tuple(value), None


def _column(row: dict[str, Any], form: Form) -> Any:
    wanted = (form.column,) if form.column else ("messages", "prompt")
    for name in wanted:
        if row.get(name) is not None:
            return row[name]
    keys = ", ".join(clean_line(str(key), 40) for key in list(row)[:8]) or "none"
    raise InputError(f"there is no {' and no '.join(wanted)} in it (keys: {keys})")


def is_plain(path: Path) -> bool:
    """Whether the file at `path` has lines of text and not of JSON, by its name, else by its first
    line. Raises NotFoundError, or InputError when it cannot be read."""
    with opened(path) as file:
        if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
            return False
        return path.suffix.lower() == ".txt" or looks_plain(file.readline(MAX_LINE))


def looks_plain(line: bytes) -> bool:
    """Whether a first line is text and not JSON."""
    return not line.removeprefix(_BOM).lstrip().startswith((b"{", b"[", b'"'))


def opened(path: Path) -> IO[bytes]:
    """The file at `path`, for reading."""
    shown = clean_line(str(path))
    try:
        if path.is_dir():
            raise InputError(f"{shown} is a folder", remedy="give one file with a row on each line")
        return open(path, "rb")
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {shown}") from error
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from error


def items(path: Path, form: Form) -> Iterator[Item]:
    """The rows of a file, in order. Raises InputError for one longer than `MAX_LINE`."""
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise _too_long(number)
            if (item := item_of(number, line, form)) is not None:
                yield item


def _too_long(number: int) -> InputError:
    return InputError(
        f"line {number} is longer than {MAX_LINE:,} bytes", remedy="one row stands on each line"
    )


async def stream_items(source: IO[bytes], form: Form, *, plain: bool | None) -> AsyncIterator[Item]:
    """The rows of a pipe as they come; while one is waited for, answers go on.

    `plain`: whether they are text and not JSON; none: as the first line looks.
    """
    number = 0
    async for line in _lines(source):
        number += 1
        if plain is None and line.strip():
            plain = looks_plain(line)
        if (item := item_of(number, line, replace(form, plain=bool(plain)))) is not None:
            yield item


async def _lines(source: IO[bytes]) -> AsyncIterator[bytes]:
    kind = os.fstat(source.fileno()).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or source.isatty()):
        while line := source.readline(MAX_LINE):
            yield line
        return
    reader = asyncio.StreamReader(limit=MAX_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    number = 0
    try:
        while True:
            number += 1
            try:
                line = await reader.readline()
            except ValueError as error:
                raise _too_long(number) from error
            if not line:
                return
            yield line
    finally:
        transport.close()
