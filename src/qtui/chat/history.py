"""The conversations of one place and the prompts that were kept there, as files.

A file is there whole or not at all, and only its user may read it. Texts are kept exactly as they
came, whatever is in them. A file that is damaged is passed over and named, never an end.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qtui.chat.alone import alone, make_private
from qtui.chat.conversation import Conversation
from qtui.errors import CorruptError, InputError, NotFoundError
from qtui.runs import durable
from qtui.terminal import clean_line

VERSION = 1
MAX_BYTES = 64 << 20
"""Size of the largest file that is read."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_writing = threading.Lock()  # two threads would use one temporary name


@dataclass(frozen=True)
class Kept:
    """A conversation in the list."""

    id: str
    title: str
    created: float
    count: int
    """Exchanges in it, all branches together."""


class History:
    """The conversations in `folder`, which is made when something is first kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: tuple[str, ...] = ()
        """Names of files that the last `list` could not read."""

    def save(self, conversation: Conversation) -> None:
        """Keep `conversation` as it is now; what was kept of it before is replaced."""
        path = self._path(conversation.id)
        make_private(self.folder)
        make_private(path.parent)
        document = {"version": VERSION, "conversation": msgspec.to_builtins(conversation)}
        # json, not msgspec: only its escapes keep a lone surrogate, which models do write.
        _write(path, json.dumps(document, indent=1).encode())

    def load(self, conversation_id: str) -> Conversation:
        """A conversation. Raises NotFoundError, or CorruptError when it cannot be read."""
        return _read(self._path(conversation_id))

    def list(self) -> tuple[Kept, ...]:
        """The conversations, newest first; `damaged` then names the files that are none."""
        found, damaged = [], []
        for path in (self.folder / "conversations").glob("[!.]*.json"):
            try:
                read = _read(path)
            except NotFoundError:  # it has just been deleted
                continue
            except CorruptError:
                damaged.append(path.name)
                continue
            found.append(Kept(path.stem, read.title, read.created, len(read.exchanges)))
        self.damaged = tuple(sorted(damaged))
        newest_first = sorted(found, key=lambda kept: (kept.created, kept.id), reverse=True)
        return tuple(newest_first)

    def delete(self, conversation_id: str) -> None:
        """Remove a conversation; its judgements stay. Raises NotFoundError."""
        try:
            self._path(conversation_id).unlink()
        except FileNotFoundError as error:
            raise _missing(conversation_id) from error

    def prompts(self) -> tuple[str, ...]:
        """The prompts that were kept, newest first; none where their file is damaged."""
        try:
            text = self._prompts.read_bytes()
            return msgspec.convert(json.loads(text), tuple[str, ...])
        except (OSError, ValueError, RecursionError):
            return ()

    def save_prompt(self, text: str) -> None:
        """Keep a prompt, or make it the newest one."""
        self._change_prompts(text, keep=True)

    def remove_prompt(self, text: str) -> None:
        """Keep a prompt no longer; does nothing when it was not kept."""
        self._change_prompts(text, keep=False)

    def _change_prompts(self, text: str, *, keep: bool) -> None:
        with alone(self.folder / ".prompts.lock", "the kept prompts"):
            others = [each for each in self.prompts() if each != text]
            found = [text, *others] if keep else others
            _write(self._prompts, json.dumps(found, indent=1).encode())

    @property
    def _prompts(self) -> Path:
        return self.folder / "prompts.json"

    def _path(self, conversation_id: str) -> Path:
        if not _ID.fullmatch(conversation_id):
            raise InputError(f"{clean_line(conversation_id, 80)!r} is no conversation's id")
        return self.folder / "conversations" / f"{conversation_id}.json"


def _write(path: Path, data: bytes) -> None:
    with _writing:
        durable.write_once(path, data, mode=0o600)


def _missing(name: str) -> NotFoundError:
    return NotFoundError(f"there is no conversation {clean_line(name, 80)!r}")


def _read(path: Path) -> Conversation:
    shown = clean_line(path.name)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorruptError(f"{shown} is larger than any conversation ({MAX_BYTES:,} bytes)")
        document: Any = json.loads(path.read_bytes())
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise CorruptError(f"{shown} was written by a newer qtui", remedy="update qtui")
        return msgspec.convert(document["conversation"], Conversation)
    except FileNotFoundError as error:
        raise _missing(path.stem) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptError(
            f"{shown} is damaged: {clean_line(str(error), 200)}",
            remedy="restore it from a copy, or delete it; the other conversations can be read",
        ) from error
