"""Reads the text of a PDF page by page, and says what it has none of.

The pages come from LangChain's pypdf parser (the one behind its PyPDFLoader). It ends at the first
page that cannot be read; pypdf goes on behind that. What the two are silent about is found out
here: passwords, pages that are pictures, and what pypdf only logs.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from qtui.stages.data.documents import boilerplate as furniture
from qtui.stages.data.documents.document_blocks import (
    Block,
    Extracted,
    Note,
    UnreadableError,
    listed,
    tidy,
)

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

PASSWORD_VARIABLE = "QTUI_PDF_PASSWORD"  # noqa: S105 - the name of a variable
_REMEDY = f"put the password into the environment variable {PASSWORD_VARIABLE} (one a line)"
_MESSAGES = 3
_NO_CHARACTER = "\uffff"


def read_pdf(raw: bytes, passwords: Sequence[str], *, boilerplate: bool) -> Extracted:
    """Return the pages as blocks; raises UnreadableError for a PDF that gives no text.

    With `boilerplate` headers, footers and page numbers stay, and words stay split.
    """
    _mend_spaces()
    with _logged() as messages:
        reader, password = _opened(raw, passwords)
        texts, failed = _pages(raw, reader, password)
        pictures = [
            number
            for number, text in enumerate(texts, 1)
            if not text.strip() and number not in failed and _has_picture(reader, number)
        ]
    notes = _notes(texts, failed, pictures, messages)
    if not any(text.strip() for text in texts):
        raise _nothing(failed, pictures, len(texts))
    if not boilerplate:
        texts, removed = furniture.remove(texts)
        if said := str(removed):
            notes.append(Note("note", "boilerplate", said))
    blocks = [Block(text, number) for number, text in enumerate(texts, 1) if text.strip()]
    return Extracted(blocks, notes)


def _opened(raw: bytes, passwords: Sequence[str]) -> tuple[PdfReader, str | None]:
    """A reader that can read, and the password that it took."""
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if not reader.is_encrypted or reader.decrypt(""):
            return reader, None
        for password in passwords:
            if reader.decrypt(password):
                return reader, password
    except PyPdfError as error:
        message = f"is a PDF damaged beyond repair ({error}); export it again"
        raise UnreadableError("unreadable", message) from error
    if passwords:
        wrong = "the password given opens" if len(passwords) == 1 else "none of the passwords opens"
        raise UnreadableError("encrypted", f"is encrypted and {wrong} it not; {_REMEDY}")
    raise UnreadableError("encrypted", f"is encrypted; {_REMEDY}")


def _pages(raw: bytes, reader: PdfReader, password: str | None) -> tuple[list[str], dict[int, str]]:
    """The texts of all pages, and why those that have failed did, by number from 1."""
    from langchain_community.document_loaders.parsers.pdf import PyPDFParser
    from langchain_core.documents.base import Blob

    texts: list[str] = []
    failed: dict[int, str] = {}
    try:
        parser = PyPDFParser(password=password)
        texts += (tidy(page.page_content) for page in parser.lazy_parse(Blob.from_data(raw)))
    except MemoryError:
        raise
    except Exception as error:
        try:
            total = len(reader.pages)
        except Exception:
            message = f"is a PDF damaged beyond repair ({_reason(error)}); export it again"
            raise UnreadableError("unreadable", message) from error
        for number in range(len(texts), total):
            try:
                texts.append(tidy(reader.pages[number].extract_text()))
            except MemoryError:
                raise
            except Exception as reason:
                texts.append("")
                failed[number + 1] = _reason(reason)
    return texts, failed


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) or type(error).__name__


def _has_picture(reader: PdfReader, number: int) -> bool:
    """Whether a page without text shows something; a blank page is no scan."""
    try:
        page: PageObject = reader.pages[number - 1]
        resources = page.get("/Resources")
        return bool(resources and resources.get_object().get("/XObject"))
    except Exception:  # damaged; whatever it was, it is no text
        return True


def _notes(
    texts: list[str], failed: dict[int, str], pictures: list[int], messages: Counter[str]
) -> list[Note]:
    notes = []
    if failed:
        reasons = "; ".join(list(dict.fromkeys(failed.values()))[:_MESSAGES])
        message = f"{_these(list(failed))} of {len(texts)} cannot be read: {reasons}"
        notes.append(Note("warning", "unreadable-page", message))
    if pictures:
        message = (
            f"{_these(pictures)} of {len(texts)} without a text layer: "
            "scans; run OCR on the file to use them too"
        )
        notes.append(Note("note", "no-text", message))
    if messages:
        shown = "; ".join(message for message, _ in messages.most_common(_MESSAGES))
        more = sum(messages.values()) - _MESSAGES
        notes.append(
            Note(
                "warning",
                "damaged",
                f"is damaged and was read as far as it goes: {shown}"
                + (f"; {more} more like these" if more > 0 else ""),
            )
        )
    return notes


def _these(numbers: list[int]) -> str:
    return f"page{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _nothing(failed: dict[int, str], pictures: list[int], pages: int) -> UnreadableError:
    if failed:
        reasons = "; ".join(list(dict.fromkeys(failed.values()))[:_MESSAGES])
        return UnreadableError("unreadable", f"gives no text: {reasons}")
    if pictures:
        return UnreadableError(
            "no-text", "has no text layer: it is a scan; run OCR on it first (ocrmypdf does)"
        )
    return UnreadableError("no-text", f"has no text on {'its' if pages == 1 else 'any'} page")


@cache
def _mend_spaces() -> None:
    """Make pypdf see the narrow spaces of TeX.

    It takes a gap for a space from half the width of character 32 on, but in TeX's fonts that is
    another sign, twice as wide: where a line was set tight, itswordsruntogether. Only a character
    that is a space may be asked for its width; without one pypdf has a good default.
    """
    with suppress(ImportError, AttributeError):  # private: another version may have other names
        from pypdf.generic._font import Font

        space_of = Font._get_space_char

        def real_space(encoding: str | dict[int, str], character_map: dict[Any, Any]) -> str:
            found = space_of(encoding, character_map)
            return _NO_CHARACTER if character_map.get(found, " ") != " " else found

        Font._get_space_char = staticmethod(real_space)  # type: ignore[method-assign, unused-ignore]


@contextmanager
def _logged() -> Iterator[Counter[str]]:
    """Collect what pypdf logs instead of having it printed."""
    messages: Counter[str] = Counter()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages[record.getMessage()] += 1

    logger = logging.getLogger("pypdf")
    handler = Collect(logging.WARNING)
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
