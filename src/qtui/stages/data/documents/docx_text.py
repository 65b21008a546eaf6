"""Reads the text of a Word document with its structure.

docx2txt, which is behind LangChain's Docx2txtLoader, writes each cell of a table as a paragraph,
loses footnotes, does not tell a heading, and puts headers before and footers behind the text. So
mammoth turns the document into HTML (tables, footnotes, lists and headings in order), which is read
like any page. docx2txt reads what is left to it: headers and footers where they are wanted, and
documents that mammoth cannot read.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from qtui.stages.data.documents.document_blocks import Block, Extracted, Note, UnreadableError, tidy
from qtui.stages.data.documents.html_text import read_html

DOCUMENT = "word/document.xml"
MOST_TEXT = 64 * 2**20
"""Bytes of XML that a document may unpack to; a book has about one million."""
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
r[style-name='Code'] => code
"""
_EDGE = re.compile(r"word/(header|footer)\d*\.xml")
_NOTE_LINK = re.compile(r'<a href="#(?:foot|end)note-ref-[^"]*">[^<]*</a>')


def read_docx(raw: bytes, *, boilerplate: bool) -> Extracted:
    """Return the blocks of a document; raises UnreadableError where there is no text to be had.

    With `boilerplate` the texts of page headers stand before it and those of footers behind.
    """
    notes: list[Note] = []
    with _checked(raw) as archive:
        try:
            blocks = _through_mammoth(raw)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            blocks = _plain(archive)
            reason = str(error) or type(error).__name__
            notes.append(Note("warning", "damaged", f"was read without its structure: {reason}"))
        headers, footers = _edges(archive)
    if not blocks:
        raise UnreadableError("no-text", "has no text")
    if boilerplate:
        blocks = [*map(Block, headers), *blocks, *map(Block, footers)]
    elif headers or footers:
        count = len(headers) + len(footers)
        notes.append(Note("note", "boilerplate", f"{count} page headers and footers removed"))
    return Extracted(blocks, notes)


def _checked(raw: bytes) -> zipfile.ZipFile:
    """The archive, if it is whole and unpacks to a size that a text can have."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        message = f"is a damaged DOCX ({error}); save it again in Word or LibreOffice"
        raise UnreadableError("unreadable", message) from error
    # zipfile unpacks at most what an entry declares, so the declared sizes can be relied upon.
    size = sum(entry.file_size for entry in archive.infolist() if _is_text(entry.filename))
    if size > MOST_TEXT:
        message = (
            f"unpacks to {size / 2**20:,.0f} MiB of text from {len(raw) / 2**10:,.0f} KiB, as only "
            "a zip bomb does; not read"
        )
        raise UnreadableError("over-budget", message)
    if any(entry.flag_bits & 1 for entry in archive.infolist()):
        raise UnreadableError("encrypted", "is encrypted; save it without a password")
    return archive


def _is_text(name: str) -> bool:
    return name.lower().endswith((".xml", ".rels"))


def _through_mammoth(raw: bytes) -> list[Block]:
    import mammoth  # type: ignore[import-untyped, unused-ignore]

    def no_image(_: Any) -> list[Any]:
        return []

    page = mammoth.convert_to_html(
        io.BytesIO(raw), convert_image=no_image, style_map=_STYLES, external_file_access=False
    ).value
    return read_html(f"<body>{_NOTE_LINK.sub('', page)}</body>", boilerplate=True)[0]


def _plain(archive: zipfile.ZipFile) -> list[Block]:
    try:
        text = _text_of(archive.read(DOCUMENT))
    except Exception as error:
        reason = str(error) or type(error).__name__
        message = f"is a damaged DOCX ({reason}); save it again in Word or LibreOffice"
        raise UnreadableError("unreadable", message) from error
    return [Block(text)] if text else []


def _text_of(xml: bytes) -> str:
    from docx2txt import docx2txt  # type: ignore[import-untyped, unused-ignore]

    return tidy(docx2txt.xml2text(xml)).strip()


def _edges(archive: zipfile.ZipFile) -> tuple[list[str], list[str]]:
    """Different texts of headers and of footers, in the order of their numbers."""
    found: dict[str, dict[str, None]] = {"header": {}, "footer": {}}
    for name in sorted(archive.namelist()):
        if edge := _EDGE.fullmatch(name):
            try:
                text = _text_of(archive.read(name))
            except (zipfile.BadZipFile, SyntaxError, ValueError, OSError):
                continue  # a damaged footer is no loss
            if text:
                found[edge[1]][text] = None
    return list(found["header"]), list(found["footer"])
