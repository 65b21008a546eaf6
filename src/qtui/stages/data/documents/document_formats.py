"""Reads a document of any format: by what is in it first, and by its name only then.

A PDF that somebody named .txt is read as the PDF that it is, and said so; what is no document at
all is refused by what it seems to be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from qtui.stages.data.documents import boilerplate as furniture
from qtui.stages.data.documents.document_blocks import (
    Block,
    Extracted,
    Note,
    UnreadableError,
    counted,
    heading,
    tidy,
)
from qtui.stages.data.documents.docx_text import DOCUMENT, read_docx
from qtui.stages.data.documents.html_text import read_html
from qtui.stages.data.documents.pdf_text import read_pdf
from qtui.stages.data.reading import encodings

Format = Literal["pdf", "docx", "html", "md", "txt"]
EXTRACTION_VERSION = 1
"""To be raised when the same bytes come to other text: what was kept before is then not used."""

_NAMES = {
    "pdf": "PDF",
    "docx": "Word document",
    "html": "web page",
    "md": "text file",
    "txt": "text file",
}
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)[\s>]", re.I | re.S
)
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_ANCHOR = re.compile(r"\s*\{#[^}]*\}\s*$")
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_SEEMS = (
    (_OLE, "an old Office file (.doc, .xls, .ppt); save it as DOCX or PDF"),
    (b"PK\x03\x04", "a ZIP archive without a Word document in it"),
    (b"{\\rtf", "RTF; save it as DOCX or TXT"),
    (b"\x89PNG", "a picture; run OCR on it first"),
    (b"\xff\xd8\xff", "a picture; run OCR on it first"),
    (b"%!PS", "PostScript; turn it into a PDF first"),
)


def extract(
    raw: bytes, wanted: Format, passwords: Sequence[str] = (), *, keep_boilerplate: bool
) -> Extracted:
    """Return the text of a document; raises UnreadableError where it has none.

    `wanted` is what its name or the run file says that it is.
    """
    if not raw:
        raise UnreadableError("empty-file", "the file is empty")
    found = format_of(raw, wanted)
    if found == "pdf":
        extracted = read_pdf(raw, passwords, boilerplate=keep_boilerplate)
    elif found == "docx":
        extracted = read_docx(raw, boilerplate=keep_boilerplate)
    else:
        extracted = _read_text(raw, found, wanted, keep_boilerplate)
    if _NAMES[found] != _NAMES[wanted]:
        message = f"is a {_NAMES[found]}, not a {_NAMES[wanted]} as its name says; read as one"
        extracted.notes.insert(0, Note("note", "mislabelled", message))
    if not any(block.text.strip() for block in extracted.blocks):
        raise UnreadableError("no-text", "has no text")
    return extracted


def format_of(raw: bytes, wanted: Format) -> Format:
    """What the bytes are; raises UnreadableError where that is no document."""
    if b"%PDF-" in raw[:1024] and (wanted == "pdf" or raw.lstrip().startswith(b"%PDF-")):
        return "pdf"
    if raw.startswith(b"PK") and DOCUMENT.encode() in raw:
        return "docx"
    for start, what in _SEEMS:
        if raw.startswith(start):
            if start == _OLE and "EncryptedPackage".encode("utf-16-le") in raw:
                raise UnreadableError("encrypted", "is encrypted; save it without a password")
            raise UnreadableError("unreadable", f"is {what}")
    if wanted in ("html", "md"):
        return wanted
    return "txt"


def _read_text(raw: bytes, found: Format, wanted: Format, keep_boilerplate: bool) -> Extracted:
    decoded = encodings.decode(raw, html=found == "html")
    if decoded.encoding == encodings.BINARY:
        article = "document" if wanted in ("pdf", "docx") else "text"
        raise UnreadableError("unreadable", f"is a binary file, no {article}")
    notes = []
    if decoded.encoding != encodings.UTF_8:
        notes.append(Note("note", "encoding", f"read as {decoded.encoding.upper()}"))
    if decoded.replaced:
        message = (
            f"{counted(decoded.replaced, 'place')} could not be decoded as "
            f"{decoded.encoding.upper()} and became U+FFFD"
        )
        notes.append(Note("warning", "undecodable", message))
    if found == "html" or (found == "txt" and _PAGE.match(decoded.text[:4096])):
        if found != "html":
            notes.append(Note("note", "mislabelled", "is a web page; read as one"))
            decoded = encodings.decode(raw, html=True)
        blocks, removed = read_html(decoded.text, boilerplate=keep_boilerplate)
    elif found == "md":
        blocks, removed = _read_markdown(tidy(decoded.text), keep_boilerplate)
    else:
        blocks, removed = _read_plain(decoded.text, keep_boilerplate)
    if removed:
        notes.append(Note("note", "boilerplate", removed))
    return Extracted([_tidied(block) for block in blocks], notes)


def _tidied(block: Block) -> Block:
    text = tidy(block.text)
    return block if text == block.text else Block(text, block.page, block.level, tidy(block.title))


def _read_plain(text: str, keep_boilerplate: bool) -> tuple[list[Block], str]:
    """A text; form feeds, as in RFCs and old reports, end its pages."""
    pages = [tidy(page) for page in text.split("\f")]
    removed = ""
    if not keep_boilerplate:
        pages, gone = furniture.remove(pages)
        removed = str(gone)
    if len(pages) == 1:
        return [Block(pages[0])], removed
    return [Block(page, number) for number, page in enumerate(pages, 1) if page.strip()], removed


def _read_markdown(text: str, keep_boilerplate: bool) -> tuple[list[Block], str]:
    """A Markdown file, its headings found by a CommonMark parser: not those in code."""
    from markdown_it import MarkdownIt

    blocks: list[Block] = []
    removed: Counter[str] = Counter()
    if front := _FRONT_MATTER.match(text):
        text = text[front.end() :]
        title = _TITLE.search(front[1])
        if keep_boilerplate:
            blocks.append(Block(front.group().strip()))
        else:
            removed["block of front matter"] += 1
            if title:
                blocks.append(heading(1, title[1].strip().strip("\"'")))
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    tokens = parser.parse(text)
    lines = text.split("\n")
    done = 0
    for place, token in enumerate(tokens):
        if token.map is None or token.level:
            continue
        start, end = token.map
        comment = token.content.strip() if token.type == "html_block" else ""
        is_comment = comment.startswith("<!--") and comment.endswith("-->")
        if token.type == "heading_open":
            _add(blocks, lines[done:start])
            title_text = _ANCHOR.sub("", tokens[place + 1].content).strip()
            if title_text:
                level = int(token.tag[1:])
                blocks.append(Block("\n".join(lines[start:end]).strip(), 0, level, title_text))
            done = end
        elif is_comment and not keep_boilerplate:
            _add(blocks, lines[done:start])
            removed["comment"] += 1
            done = end
    _add(blocks, lines[done:])
    gone = ", ".join(counted(number, what) for what, number in removed.items())
    return blocks, f"{gone} removed" if gone else ""


def _add(blocks: list[Block], lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        blocks.append(Block(text))
