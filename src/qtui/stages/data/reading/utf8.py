"""Any text file as a stream of UTF-8, whatever it was written in, without being held whole.

What a file is written in is told from its first megabyte. A file in UTF-8 passes as it is, with its
few bad bytes in place, so that the reader can say in which row they stand.
"""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import Any

from qtui.errors import InputError
from qtui.stages.data.reading import encodings
from qtui.stages.data.reading.compressed import FindingSink, Nobody, consumed, is_damaged, opened
from qtui.stages.data.reading.suffixes import Compression
from qtui.terminal import clean_line

SAMPLE = 2**20
_BUFFER = 2**18
# Fewer bad bytes than these are damage to a text in UTF-8; a guess from them would be invented.
_FEW = 8
_BAD = re.compile("[\udc80-\udcff]")
_WIDE_MARKS = (
    *(codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    *(codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
)
# A JSON text begins with two ASCII characters, so its zeros tell how wide they are (RFC 4627, 3).
_ZEROS: dict[tuple[bool, ...], str] = {
    (True, True, True, False): "utf-32-be",
    (False, True, True, True): "utf-32-le",
    (True, False, True, False): "utf-16-be",
    (False, True, False, True): "utf-16-le",
}


def opened_as_utf8(
    path: Path, compression: Compression, source: str, findings: FindingSink
) -> io.BufferedReader:
    """Open a text file as UTF-8 without a byte order mark.

    Says in a note what else it was read as, and in a warning how many places fitted no character.
    Raises InputError for a file that is no text, OSError for one that cannot be read.
    """
    with opened(path, compression, source, Nobody()) as first:
        sample = first.read(SAMPLE)
    encoding = encoding_of(sample)
    if encoding == encodings.BINARY:
        raise InputError(f"{clean_line(source)} is a binary file, not text")
    stream = opened(path, compression, source, findings)
    if encoding == encodings.UTF_8:
        if sample.startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
        return stream
    findings.add("note", "encoding", f"read as {encoding.upper()}", source)
    return io.BufferedReader(_Recoded(stream, encoding, source, findings), _BUFFER)


def encoding_of(sample: bytes) -> str:
    """The Python name of what the beginning of a file is written in, "binary" for no text."""
    if sample.startswith(codecs.BOM_UTF8):
        return encodings.UTF_8
    if sample.startswith(_WIDE_MARKS):
        return encodings.decode(sample[: len(sample) // 4 * 4]).encoding
    wide = _ZEROS.get((*(byte == 0 for byte in sample[:4]),))
    if wide is not None:
        return wide
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    zeros = b"\0" in whole[:4096]
    if not zeros and _almost_utf8(whole):
        return encodings.UTF_8
    found = encodings.decode(whole).encoding
    # Without zeros it is a text with some rubbish in it: its reader will say in which rows.
    return encodings.UTF_8 if found == encodings.BINARY and not zeros else found


def _almost_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return len(_BAD.findall(text.decode("utf-8", "surrogateescape"))) < _FEW
    return True


class _Recoded(io.RawIOBase):
    def __init__(
        self, stream: io.BufferedReader, encoding: str, source: str, findings: FindingSink
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._source = source
        self._findings = findings
        self._ready = memoryview(b"")
        self._replaced = 0
        self._first = True
        self._ended = False

    @property
    def damaged(self) -> bool:
        return is_damaged(self._stream)

    def consumed(self) -> int:
        return consumed(self._stream)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            raw = self._stream.read1(_BUFFER)
            text = self._decoder.decode(raw, final=not raw)
            if self._first and text:
                text = text.removeprefix("\ufeff")
                self._first = False
            self._replaced += text.count("\ufffd")
            self._ready = memoryview(text.encode("utf-8", "replace"))
            if not raw:
                self._end()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _end(self) -> None:
        self._ended = True
        if self._replaced:
            message = (
                f"{self._replaced} places fit no character of {self._encoding.upper()}; "
                "they became U+FFFD"
            )
            self._findings.add("warning", "encoding-damage", message, self._source)

    def close(self) -> None:
        self._stream.close()
        super().close()
