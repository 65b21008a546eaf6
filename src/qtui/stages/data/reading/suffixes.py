"""What kind of file a name stands for; where the name does not say, what the content looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qtui.config.models import InputType

Kind = InputType
Compression = Literal["", "gz", "zst"]

KINDS: dict[str, Kind] = {
    ".json": "auto",
    ".jsonl": "auto",
    ".ndjson": "auto",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".arrow": "parquet",
    ".feather": "parquet",
    ".pdf": "pdf",
    ".docx": "docx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "md",
    ".markdown": "md",
    ".txt": "txt",
    ".text": "txt",
}
"""Kind by suffix. JSON and JSON Lines are told apart by their content, whatever the suffix."""

COMPRESSED: dict[str, Compression] = {".gz": "gz", ".zst": "zst"}
_PACKABLE = frozenset(("auto", "csv", "tsv", "html", "md", "txt"))
_ADVICE = {
    ".xlsx": "Save each sheet as CSV.",
    ".xls": "Save each sheet as CSV.",
    ".ods": "Save each sheet as CSV.",
    ".doc": "Save it as DOCX or PDF.",
    ".odt": "Save it as DOCX or PDF.",
    ".rtf": "Save it as DOCX or PDF.",
    ".pptx": "Save it as PDF.",
    ".epub": "Unpack it (it is a zip file) and name the folder: it holds HTML.",
    ".zip": "Unpack it and name the folder.",
    ".tar": "Unpack it and name the folder.",
    ".tgz": "Unpack it and name the folder.",
    ".bz2": "Unpack it, or pack it as .gz or .zst.",
    ".xz": "Unpack it, or pack it as .gz or .zst.",
    ".7z": "Unpack it and name the folder.",
    ".gz": "Unpack it first.",
    ".zst": "Unpack it first.",
    ".pkl": "Pickles can run code and are not read; save the rows as JSONL or Parquet.",
}
_MAGIC: tuple[tuple[bytes, Kind], ...] = ((b"%PDF", "pdf"), (b"PAR1", "parquet"))
_HEAD = 4096


def by_name(name: str) -> tuple[Kind, Compression] | None:
    """The kind of a file and how it is packed, by its name alone; None for an unknown one."""
    stem, dot, suffix = name.rpartition(".")
    compression = COMPRESSED.get((dot + suffix).lower(), "")
    if compression:
        _, dot, suffix = stem.rpartition(".")
    kind = KINDS.get((dot + suffix).lower())
    if kind is None or (compression and kind not in _PACKABLE):
        return None
    return kind, compression


def advice(name: str) -> str | None:
    """What to do with a file of a kind that is known and not read."""
    return _ADVICE.get(Path(name).suffix.lower())


def by_content(path: Path) -> Kind | None:
    """The kind of a file by its first bytes; None for one that is neither rows nor text."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return "docx" if b"word/" in head else None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start or start[:1] in b"{[" or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "auto"
    if b"\0" in head:
        return None
    return "html" if start[:14].lower().startswith((b"<!doctype html", b"<html")) else "txt"
