"""Keeps the text of documents, so that a later preparation does not read them again.

A text is found by the SHA-256 of the document's bytes and of all that its reading depends on. It is
taken from other runs by a second name for the same file, is written whole or not at all, and counts
as absent when it is damaged: nothing in here can make data wrong, only slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

_DIGEST = 32
_KEY = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".text"


def key_of(raw: bytes, *settings: object) -> str:
    """The name of what is read from these bytes under these settings."""
    digest = hashlib.sha256(raw)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


class DocumentCache:
    """Texts in `folder`, and to be taken from the folders `others`; none of them has to exist."""

    def __init__(self, folder: Path, others: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.others = tuple(others)

    def get(self, key: str) -> bytes | None:
        """What was put under `key` here or elsewhere; None where it is absent or damaged."""
        name = self._name(key)
        if (content := _content(self.folder / name)) is not None:
            return content
        for other in self.others:
            if (content := _content(other / name)) is not None:
                self._take(other / name)
                return content
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`. A disk that is full or read-only is no error: it is read again then."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as file:
                part = Path(file.name)
                try:
                    file.write(hashlib.sha256(content).digest() + content)
                    file.flush()
                    part.replace(self.folder / self._name(key))
                except OSError:
                    part.unlink(missing_ok=True)

    def _take(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            target = self.folder / path.name
            target.unlink(missing_ok=True)  # what is there is damaged
            try:
                os.link(path, target)
            except OSError:  # another disk, or one without links
                part = target.with_name(f".{target.name}.{os.getpid()}")
                shutil.copyfile(path, part)
                part.replace(target)

    @staticmethod
    def _name(key: str) -> str:
        assert _KEY.fullmatch(key), key
        return key + _SUFFIX


def _content(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None
