"""Reads documents one after another for `documents`: `python -m` this module is its process.

Everything that a document can do to its reader happens in here: it has a limit on its memory, no
secrets but the passwords of its PDFs, and is killed by its parent when a document takes too long.
Libraries are imported between documents, when they are first needed, so that a document's budget is
its own, and texts that were kept cost no import.
"""

from __future__ import annotations

import gc
import importlib
import io
import logging
import os
import resource
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from qtui.runs.dataset import Level
from qtui.stages.data.child import serve
from qtui.stages.data.documents import document_formats
from qtui.stages.data.documents.chunks import Piece, Splitting, pieces, token_count
from qtui.stages.data.documents.document_blocks import Extracted, Note, UnreadableError
from qtui.stages.data.documents.document_cache import DocumentCache, key_of
from qtui.stages.data.documents.document_formats import EXTRACTION_VERSION, Format
from qtui.stages.data.reading import compressed

MEMORY_VARIABLE = "QTUI_DOCUMENT_MEMORY_MB"
MODULE = "qtui.stages.data.documents.document_process"
_SHORTEST_REQUEST = 8  # bytes; what is shorter is the name of a format
_LIBRARIES: dict[Format, tuple[str, ...]] = {
    "pdf": (
        "pypdf",
        "fontTools.ttLib",
        "cryptography.hazmat.primitives.ciphers",
        "langchain_community.document_loaders.parsers.pdf",
    ),
    "docx": ("bs4", "lxml.etree", "mammoth", "docx2txt"),
    "html": ("bs4", "lxml.etree", "chardet"),
    "md": ("markdown_it", "chardet"),
    "txt": ("chardet",),
}
MOST_INLINE = 4 * 2**20
"""Characters of pieces above which an answer lies in a file, so that the parent stays small."""


class Request(msgspec.Struct, array_like=True):
    """One document to read. `spill` is where a long answer goes; `passwords` open PDFs."""

    path: bytes
    format: Format
    compression: Literal["", "gz", "zst"]
    keep_boilerplate: bool
    splitter: Literal["recursive", "character", "token"]
    chunk_size: int
    chunk_overlap: int
    tokenizer_file: str | None
    passwords: list[str]
    cache: list[str]
    """The folder of the cache and those of others; empty: none."""
    spill: str


class Reply(msgspec.Struct, array_like=True):
    """What was read. `spilled`: the pieces lie in the request's file, a line of JSON each."""

    notes: list[Note]
    pieces: list[Piece]
    spilled: bool = False
    exhausted: bool = False
    """Memory ran out: this process is not to be used again."""
    unprepared: bool = False
    """The libraries for the format are to be imported first, and the document asked for again."""


class _UnpreparedError(Exception):
    """The text is not in the cache, and what reads this format is not imported."""


def read(request: Request) -> Reply:
    """Read one document; whatever is wrong with it is among the notes."""
    notes: list[Note] = []
    try:
        extracted = _extracted(request, notes)
        notes += extracted.notes
        return _reply(request, extracted, notes)
    except _UnpreparedError:
        return Reply([], [], unprepared=True)
    except UnreadableError as error:
        notes.append(Note("error", error.kind, str(error)))
    except MemoryError:
        return Reply([Note("error", "over-budget", _too_much_memory())], [], exhausted=True)
    except RecursionError:
        notes.append(Note("error", "unreadable", "is nested too deep to be read"))
    except OSError as error:
        notes.append(Note("error", "unreadable", f"cannot be read: {error.strerror or error}"))
    except Exception as error:  # libraries raise anything for what they did not expect
        if "memory" in str(error).lower():  # lxml says it in its own words
            return Reply([Note("error", "over-budget", _too_much_memory())], [], exhausted=True)
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        notes.append(Note("error", "unreadable", f"is damaged and cannot be read ({reason})"))
    return Reply(notes, [])


def _too_much_memory() -> str:
    limit = os.environ.get(MEMORY_VARIABLE)
    return (
        f"needs more than {limit} MiB of memory to be read; not used "
        "(raise data.document_memory_mb if it is worth it)"
    )


def _extracted(request: Request, notes: list[Note]) -> Extracted:
    raw = _bytes(request, notes)
    cache = (
        DocumentCache(Path(request.cache[0]), [*map(Path, request.cache[1:])])
        if request.cache
        else None
    )
    key = key_of(raw, EXTRACTION_VERSION, request.format, request.keep_boilerplate)
    if cache is not None and (kept := cache.get(key)) is not None:
        return _decode_extracted(kept)
    if request.format not in _imported:
        raise _UnpreparedError
    extracted = document_formats.extract(
        raw, request.format, request.passwords, keep_boilerplate=request.keep_boilerplate
    )
    if cache is not None:
        cache.put(key, _encode(extracted))
    return extracted


class _Notes:
    """Findings of a compressed stream, as notes about the document."""

    def __init__(self, notes: list[Note]) -> None:
        self._notes = notes

    def add(self, level: Level, kind: str, message: str, source: str = "", line: int = 0) -> None:
        self._notes.append(Note(level, kind, message))


def _bytes(request: Request, notes: list[Note]) -> bytes:
    """The bytes of the document, read once, so that all that follows sees the same."""
    path = Path(os.fsdecode(request.path))
    before = path.stat()
    with compressed.opened(path, request.compression, path.name, _Notes(notes)) as file:
        parts = list(iter(lambda: file.read(io.DEFAULT_BUFFER_SIZE * 16), b""))
    raw = b"".join(parts)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        notes.append(Note("warning", "changed-while-read", "the file changed while it was read"))
    return raw


def _reply(request: Request, extracted: Extracted, notes: list[Note]) -> Reply:
    if request.splitter == "token" and request.tokenizer_file is not None:
        count = token_count(Path(request.tokenizer_file))
    else:
        count = len
    how = Splitting(request.splitter, request.chunk_size, request.chunk_overlap, count)
    found = pieces(extracted.blocks, how)
    inline: list[Piece] = []
    size = 0
    for piece in found:
        inline.append(piece)
        size += len(piece.text)
        if size > MOST_INLINE:
            _spill(request.spill, inline, found)
            return Reply(notes, [], spilled=True)
    return Reply(notes, inline)


def _spill(path: str, first: list[Piece], rest: Iterator[Piece]) -> None:
    with open(path, "wb") as file:
        for group in (first, rest):
            for piece in group:
                file.write(_line(piece) + b"\n")


def _import(wanted: Format) -> None:
    """What reading documents of this format takes; it does not count as memory of a document."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    for name in _LIBRARIES[wanted]:
        importlib.import_module(name)
    gc.freeze()  # or looking through the libraries' objects takes 50 ms after every document
    limit = _memory_used() + _budget()
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    _imported.add(wanted)


def _budget() -> int:
    return int(os.environ[MEMORY_VARIABLE]) * 2**20


def _memory_used() -> int:
    """Bytes of address space, which is what the limit is on."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


_imported: set[Format] = set()
_requests = msgspec.msgpack.Decoder(Request)
_encode = msgspec.msgpack.Encoder().encode
_decode_extracted = msgspec.msgpack.Decoder(Extracted).decode
_line = msgspec.json.Encoder().encode


def _answer(frame: bytes) -> bytes:
    if not frame:  # the parent asks whether this process has started
        return b""
    if len(frame) < _SHORTEST_REQUEST:
        _import(msgspec.convert(frame.decode(), Format))
        return b""
    before = _memory_used()
    reply = read(_requests.decode(frame))
    gc.collect()
    # What a large document leaves behind is taken from the budget of the next.
    if _memory_used() - before > _budget() // 4:
        reply.exhausted = True
    return _encode(reply)


def main() -> None:
    """Answer requests until the parent is gone."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # what matters is asked for by name
    importlib.import_module("langchain_text_splitters.character")
    gc.freeze()
    serve(_answer, memory=_memory_used() + _budget())


if __name__ == "__main__":
    main()
