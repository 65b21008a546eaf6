"""What a .gguf file says of itself, read before llama.cpp is let near it.

llama.cpp ends the whole process on some broken files; here each of them is an error with a reason.
Only the header is read: keys with their values, and where the tensors lie. The layout is that of
`docs/gguf.md` in the ggml repository, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from qtui.errors import InputError, NotFoundError
from qtui.terminal import clean_line

# Type of a value: (format, bytes); 8 is a text and 9 an array.
_SCALARS = {
    0: ("<B", 1),
    1: ("<b", 1),
    2: ("<H", 2),
    3: ("<h", 2),
    4: ("<I", 4),
    5: ("<i", 4),
    6: ("<f", 4),
    7: ("<?", 1),
    10: ("<Q", 8),
    11: ("<q", 8),
    12: ("<d", 8),
}
_TEXT, _ARRAY = 8, 9
_KEPT_ARRAY = 4096
"""Longest array of numbers that is kept: one value a layer, not one a token."""
_TOKENS = "tokenizer.ggml.tokens"
_MOST = 10_000_000
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Header:
    """The header of a .gguf file."""

    path: Path
    architecture: str
    fields: Mapping[str, Any]
    """Numbers, truth values and texts; arrays of at most 4,096 numbers as tuples."""
    file_bytes: int
    """Size of the file, or of all its parts."""

    def number(self, key: str) -> int | None:
        """`ARCHITECTURE.key` as a whole number; none where the file does not say it."""
        value = self.fields.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def text(self, key: str) -> str | None:
        """The text under `key`; none where there is none."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else None

    @property
    def max_context(self) -> int:
        """Longest sequence that the model was trained on, in tokens."""
        return self.number("context_length") or 2048

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values that one token takes in all layers, at 16 bits."""
        layers = self.number("block_count") or 0
        heads = self.fields.get(f"{self.architecture}.attention.head_count", 1)
        most = max(heads) if isinstance(heads, tuple) else heads
        width = (self.number("embedding_length") or 0) // max(most, 1)
        keys = self.number("attention.key_length") or width
        values = self.number("attention.value_length") or width
        shared = self.fields.get(f"{self.architecture}.attention.head_count_kv", heads)
        total = sum(shared) if isinstance(shared, tuple) else layers * shared
        return int(2 * total * (keys + values))


class _Torn(Exception):
    """The file ends within its header."""


class _Odd(Exception):
    """Something in it is as no GGUF file has it."""


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def scalar(self, kind: int) -> Any:
        form, size = _SCALARS[kind]
        if self.at + size > len(self.data):
            raise _Torn
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return value

    def count(self) -> int:
        value: int = self.scalar(10)
        if value > max(_MOST, len(self.data)):
            raise _Torn
        return value

    def skip(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise _Torn
        self.at += size

    def text(self) -> str:
        size = self.count()
        start = self.at
        self.skip(size)
        return self.data[start : self.at].decode("utf-8", "replace")

    def tokens(self) -> None:
        """Pass over the vocabulary. Two tokens that are the same would end llama.cpp."""
        kind, length = self.scalar(4), self.count()
        if kind != _TEXT:
            raise _Odd("its tokens are no texts")
        seen = set()
        for _ in range(length):
            size = self.count()
            start = self.at
            self.skip(size)
            seen.add(self.data[start : self.at])
        if len(seen) != length:
            raise _Odd(f"{length - len(seen)} of its {length:,} tokens are there twice")

    def value(self, kind: int) -> Any:
        """One value; none for an array that is not kept."""
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise _Odd(f"its metadata has a value of the unknown type {kind}")
        return self.scalar(kind)

    def _array(self) -> tuple[Any, ...] | None:
        kind, length = self.scalar(4), self.count()
        if kind == _TEXT:
            for _ in range(length):
                self.skip(self.count())
            return None
        if kind not in _SCALARS:
            raise _Odd(f"its metadata has an array of the unknown type {kind}")
        if length > _KEPT_ARRAY:
            self.skip(length * _SCALARS[kind][1])
            return None
        return tuple(self.scalar(kind) for _ in range(length))


def read(path: Path) -> Header:
    """Read the header of the .gguf file at `path`, or of the first of its parts.

    Raises:
        NotFoundError: there is no such file, or a part of it is missing.
        InputError: it is no GGUF file, is torn, or says too little to be loaded.
    """
    shown = clean_line(str(path))
    parts = _parts(path, shown)
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                _refuse(shown, "is not a GGUF file: it does not begin with GGUF")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                fields = _fields(_Reader(data), shown)
    except _Torn:
        _refuse(shown, "is torn: it ends within its header", "copy or download it again")
    except _Odd as error:
        _refuse(shown, f"cannot be read: {error}")
    except OSError as error:
        raise NotFoundError(f"{shown} cannot be read: {error.strerror}") from error
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        _refuse(shown, "does not say which architecture it has")
    if architecture == "clip":
        _refuse(shown, "is the picture part of a model, which writes no text")
    header = Header(path, architecture, fields, sum(part.stat().st_size for part in parts))
    _check(header, shown)
    return header


def _parts(path: Path, shown: str) -> list[Path]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {shown}", remedy="give the path of a .gguf file")
    found = _PART.search(path.name)
    if found is None:
        return [path]
    number, count = found.groups()
    first = path.with_name(f"{path.name[: found.start()]}-00001-of-{count}.gguf")
    if int(number) != 1:
        _refuse(shown, f"is part {int(number)} of {int(count)}", f"name the first: {first.name}")
    stem = path.name[: found.start()]
    parts = [
        path.with_name(f"{stem}-{index:05d}-of-{count}.gguf") for index in range(1, int(count) + 1)
    ]
    for part in parts:
        if not part.is_file():
            raise NotFoundError(
                f"{clean_line(str(part))} is missing: {shown} has {int(count)} parts",
                remedy="put all parts into one folder",
            )
    return parts


def _fields(reader: _Reader, shown: str) -> dict[str, Any]:
    reader.skip(4)
    version = reader.scalar(4)
    if version not in (2, 3):
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        what = "is big-endian" if swapped in (2, 3) else f"has the unknown GGUF version {version}"
        _refuse(shown, what, "convert it again with a current llama.cpp")
    tensors, keys = reader.count(), reader.count()
    fields: dict[str, Any] = {}
    for _ in range(keys):
        key = reader.text()
        kind = reader.scalar(4)
        if key == _TOKENS and kind == _ARRAY:
            reader.tokens()
            fields[key] = True
        elif (value := reader.value(kind)) is not None:
            fields[key] = value
    furthest = 0
    for _ in range(tensors):
        reader.text()
        dimensions = reader.scalar(4)
        if dimensions > 4:
            raise _Odd(f"its tensors have {dimensions} dimensions")
        reader.skip(8 * dimensions + 4)
        furthest = max(furthest, reader.scalar(10))
    if tensors and reader.at + furthest >= len(reader.data):
        _refuse(shown, "is torn: it ends before its tensors do", "copy or download it again")
    return fields


def _check(header: Header, shown: str) -> None:
    """Refuse what llama.cpp would divide by, or ask for without looking."""
    for key in ("block_count", "embedding_length", "context_length"):
        value = header.number(key)
        if value is None or value < 1:
            _refuse(shown, f"does not say its {header.architecture}.{key}")
    if header.text("tokenizer.ggml.model") in (None, "none", "no_vocab") or not header.fields.get(
        _TOKENS
    ):
        _refuse(shown, "has no tokenizer, so that no text can be given to it")


def _refuse(shown: str, what: str, remedy: str = "") -> NoReturn:
    raise InputError(
        f"{shown} {what}", remedy=remedy or "convert the model again with llama.cpp's converter"
    )
