"""Reads documents into pieces, in processes that can be killed, a few ahead of their use.

A document that takes too long, wants too much memory or crashes its reader costs itself only: one
finding names it, its process is replaced, and all others go on. Pieces come in the order of the
sources whatever was ready first, and no more than a few documents are held at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import get_args

import msgspec

from qtui.config.models import DataConfig
from qtui.errors import ImpossibleError, InputError, QtuiError
from qtui.stages.data.child import Child
from qtui.stages.data.documents.chunks import Piece
from qtui.stages.data.documents.document_blocks import Note
from qtui.stages.data.documents.document_cache import DocumentCache
from qtui.stages.data.documents.document_formats import Format
from qtui.stages.data.documents.document_process import (
    MEMORY_VARIABLE,
    MODULE,
    Reply,
    Request,
)
from qtui.stages.data.documents.pdf_text import PASSWORD_VARIABLE
from qtui.stages.data.reading.compressed import FindingSink
from qtui.stages.data.reading.sources import Source
from qtui.stages.data.rows import Record

FORMATS: tuple[str, ...] = get_args(Format)
_AHEAD = 2  # documents for each process: one that is read, one that waits to be used
_START_SECONDS = 120.0


_PACKAGES = ("bs4", "docx2txt", "langchain_community", "langchain_text_splitters", "lxml",
             "mammoth", "pypdf")  # fmt: skip


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ImpossibleError(
            f"documents cannot be read here: {', '.join(missing)} not installed",
            remedy="pip install '.[train,documents]' in the checkout, or bash scripts/setup.sh",
        )


class Documents:
    """The documents among `sources`, read by `processes` processes; a context manager.

    `tokenizer_file` is the run's tokenizer.json; InputError where `splitter: token` has none.
    Passwords of PDFs are taken from the environment variable QTUI_PDF_PASSWORD, one a line.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        config: DataConfig,
        *,
        processes: int,
        cache: DocumentCache | None = None,
        tokenizer_file: Path | None = None,
    ) -> None:
        self._sources = [
            source for source in sources if source.kind in FORMATS and source.path is not None
        ]
        if self._sources:
            _require_packages()
        if self._sources and config.splitter == "token" and tokenizer_file is None:
            raise InputError(
                "data.splitter: token needs the model's tokenizer.json, and there is none",
                remedy="Use splitter: recursive, and chunk_size in characters.",
            )
        self._places = {source: place for place, source in reversed([*enumerate(self._sources)])}
        self._config = config
        self._cache = cache
        self._tokenizer_file = tokenizer_file
        lines = os.environ.get(PASSWORD_VARIABLE, "").splitlines()
        self._passwords = [line for line in lines if line]
        self._count = max(min(processes, len(self._sources)), 1)
        self._ahead: dict[int, Future[Reply]] = {}
        self._readers: list[_Reader] = []

    def __enter__(self) -> Documents:
        self._spill = tempfile.TemporaryDirectory(prefix="qtui-documents-")
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="qtui-documents")
        self._idle: queue.SimpleQueue[_Reader] = queue.SimpleQueue()
        self._readers = [_Reader(self._config) for _ in range(self._count)]
        for reader in self._readers:
            self._idle.put(reader)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for reader in self._readers:
            reader.stop()
        self._threads.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.close()
        self._spill.cleanup()

    def read(self, source: Source, findings: FindingSink) -> Iterator[Record]:
        """Yield the pieces of one document as {"text": …}, numbered from 1.

        What was found out about it goes to `findings`; one that cannot be read yields nothing.
        """
        place = self._places[source]
        for earlier in [number for number in self._ahead if number < place]:
            self._ahead.pop(earlier).cancel()
        most = place + self._count * _AHEAD
        for number in range(place, min(most, len(self._sources))):
            if number not in self._ahead:
                self._ahead[number] = self._threads.submit(self._reply, number)
        reply = self._ahead.pop(place).result()
        for note in reply.notes:
            findings.add(note.level, note.kind, note.message, source.name)
        for chunk, piece in enumerate(self._pieces(reply, place), 1):
            yield Record({"text": piece.text}, chunk, piece.page, chunk, piece.headings)

    def _pieces(self, reply: Reply, place: int) -> Iterator[Piece]:
        if not reply.spilled:
            yield from reply.pieces
            return
        path = Path(self._spill_path(place))
        with path.open("rb") as file:
            yield from map(_piece.decode, file)
        path.unlink()

    def _spill_path(self, place: int) -> str:
        return str(Path(self._spill.name) / f"{place}.jsonl")

    def _reply(self, place: int) -> Reply:
        reader = self._idle.get()
        try:
            return reader.read(self._request(place), self._sources[place].kind)
        finally:
            self._idle.put(reader)

    def _request(self, place: int) -> bytes:
        source, config, cache = self._sources[place], self._config, self._cache
        assert source.path is not None
        return _encode(
            Request(
                path=os.fsencode(source.path),
                format=msgspec.convert(source.kind, Format),
                compression=source.compression,
                keep_boilerplate=not config.remove_boilerplate,
                splitter=config.splitter,
                chunk_size=config.chunk_size,
                chunk_overlap=config.chunk_overlap,
                tokenizer_file=str(self._tokenizer_file) if self._tokenizer_file else None,
                passwords=self._passwords,
                cache=[str(folder) for folder in (cache.folder, *cache.others)] if cache else [],
                spill=self._spill_path(place),
            )
        )


class _Reader:
    """A process that reads documents, started when it is needed and replaced when it is lost.

    Used by one thread at a time; `stop` by any.
    """

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self._environment = {
            MEMORY_VARIABLE: str(config.document_memory_mb),
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._child: Child | None = None
        self._stopped = False

    def read(self, request: bytes, kind: str) -> Reply:
        """Read one document of `kind`; a process that is lost over it is a note."""
        child = self._started()
        seconds = self._config.document_seconds
        try:
            reply = _replies.decode(child.submit(request).result(timeout=seconds))
            if reply.unprepared:
                self._ask(child, kind.encode())
                reply = _replies.decode(child.submit(request).result(timeout=seconds))
        except TimeoutError:
            self.close()
            return _left_out(
                "over-budget",
                f"took longer than {seconds:g} s to read; not used "
                "(raise data.document_seconds if it is worth it)",
            )
        except (EOFError, BrokenPipeError):
            code = child.process.wait()
            self.close()
            return _left_out(*self._death(code))
        if reply.exhausted:
            self.close()
        return reply

    def _started(self) -> Child:
        if self._child is None:
            self._child = Child(MODULE, self._environment)
            if self._stopped:  # just now, by another thread
                self._child.kill()
            self._ask(self._child, b"")
        return self._child

    def _ask(self, child: Child, frame: bytes) -> None:
        """Wait for what takes time once and is no fault of a document: starting, importing."""
        try:
            child.submit(frame).result(timeout=_START_SECONDS)
        except (TimeoutError, EOFError, BrokenPipeError):
            self.close()
            raise QtuiError(
                "the process that reads documents could not start",
                remedy="worker.log in the run's folder says why.",
            ) from None

    def _death(self, code: int) -> tuple[str, str]:
        if code in (-signal.SIGKILL, -signal.SIGABRT):
            memory = self._config.document_memory_mb
            return "over-budget", f"ended its process, probably for want of memory ({memory} MiB)"
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return "unreadable", f"ended the process that read it ({ended}); not used"

    def stop(self) -> None:
        """Kill the process; whoever waits for it goes on."""
        self._stopped = True
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """End the process and let go of it."""
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.close()
            self._child = None


def _left_out(kind: str, message: str) -> Reply:
    return Reply([Note("error", kind, message)], [])


_encode = msgspec.msgpack.Encoder().encode
_replies = msgspec.msgpack.Decoder(Reply)
_piece = msgspec.json.Decoder(Piece)
