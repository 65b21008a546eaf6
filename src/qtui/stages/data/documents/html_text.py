"""Reads the text of a web page (or of what was turned into one) with its structure.

LangChain's BSHTMLLoader takes all text of the page in one go: cells and paragraphs run into each
other, headings are no longer told from text, and menus stay. Here the same parser's tree is walked:
headings, lists, tables and code come out as in Markdown, and what the page itself marks as
navigation is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from qtui.stages.data.documents.document_blocks import Block, counted, heading, tidy

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_NO_TEXT = frozenset(
    (
        *("script", "style", "template", "noscript", "head", "iframe", "object", "svg", "canvas"),
        *("audio", "video", "map", "select", "button", "input", "textarea", "datalist"),
    )
)
_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
        ),
        *("dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form"),
        *("header", "hgroup", "hr", "html", "legend", "li", "main", "nav", "p", "section"),
        *("summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr"),
    )
)
_NAVIGATION = {"nav": "navigation", "aside": "aside", "footer": "footer", "header": "header"}
_ROLES = {
    "navigation": "navigation",
    "menu": "navigation",
    "menubar": "navigation",
    "search": "navigation",
    "banner": "header",
    "contentinfo": "footer",
    "complementary": "aside",
    "dialog": "banner",
    "alertdialog": "banner",
}
_CONSENT = re.compile(r"(?:^|[-_\s])(?:cookies?|consent|gdpr)(?:$|[-_\s])", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_PERMALINK = re.compile(r"[\s#¶§🔗\u200b\ufeff]*")
_LANGUAGE = re.compile(r"(?:language|lang|highlight-source)-([\w+#-]+)")
_SAYS_MUCH = 600
"""Characters outside links above which a header, footer or aside is text."""
_LONG_CELL = 400
"""Characters above which a cell is no datum: the table is there for the layout."""


@dataclass
class _Writer:
    """Collects blocks; text inside a line is collected until a block ends."""

    blocks: list[Block] = field(default_factory=list)
    line: list[str] = field(default_factory=list)

    def end_line(self) -> None:
        text = "\n".join(part.strip() for part in "".join(self.line).split("\n")).strip("\n")
        self.line.clear()
        if text.strip():
            self.blocks.append(Block(text))

    def block(self, text: str) -> None:
        self.end_line()
        if text.strip():
            self.blocks.append(Block(text))

    def heading(self, level: int, title: str) -> None:
        self.end_line()
        if title:
            self.blocks.append(heading(level, title))


def read_html(page: str, *, boilerplate: bool) -> tuple[list[Block], str]:
    """Return the blocks of a page and what was removed; with `boilerplate` nothing but scripts."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, "lxml")
    removed: Counter[str] = Counter()
    body = soup.body or soup
    if not boilerplate:
        body = _without_navigation(soup, body, removed)
    writer = _Writer()
    try:
        _walk(body, writer)
        writer.end_line()
    except RecursionError:  # tags in tags in tags; the text is still there
        writer = _Writer([Block(tidy(body.get_text("\n", strip=True)))])
    title = _text(soup.title) if soup.title else ""
    if title and not any(block.level == 1 for block in writer.blocks):
        writer.blocks.insert(0, heading(1, title))
    gone = ", ".join(counted(number, f"{what} element") for what, number in removed.items())
    return writer.blocks, f"{gone} removed" if gone else ""


def _without_navigation(soup: Any, body: Any, removed: Counter[str]) -> Any:
    """Take out what the page marks as no part of its text; returns what is left to read.

    Headers and footers of an article or of its sections are part of it; those of the page are not.
    """
    for tag in body.find_all(True):
        if tag.decomposed:
            continue
        kind = _ROLES.get(str(tag.get("role", "")).lower()) or _NAVIGATION.get(tag.name)
        if kind in ("header", "footer", "aside") and _is_content(tag, kind):
            kind = None
        if kind is None and _is_consent(tag):
            kind = "banner"
        if kind and not tag.find(("main", "article")):
            tag.decompose()
            removed[kind] += 1
    mains = [main for main in soup.find_all(_is_main) if main.get_text(strip=True)]
    return mains[0] if len(mains) == 1 else body


def _is_content(tag: Any, kind: str) -> bool:
    """Whether a header, footer or aside belongs to the text: that of an article does, and one that
    says much itself instead of linking."""
    if kind != "aside" and tag.find_parent(("article", "main", "section")):
        return True
    if kind == "header" and tag.find(tuple(_HEADINGS)):
        return True
    linked = sum(len(link.get_text(strip=True)) for link in tag.find_all("a"))
    return len(tag.get_text(strip=True)) - linked > _SAYS_MUCH


def _is_main(tag: Any) -> bool:
    return bool(tag.name == "main" or tag.get("role") == "main")


def _is_consent(tag: Any) -> bool:
    names = [str(tag.get("id", "")), *tag.get_attribute_list("class")]
    return tag.name in ("div", "section", "form") and any(
        _CONSENT.search(str(name)) for name in names if name
    )


def _is_hidden(tag: Any) -> bool:
    return (
        tag.name in _NO_TEXT
        or tag.has_attr("hidden")
        or str(tag.get("aria-hidden", "")).lower() == "true"
        or bool(_HIDDEN.search(str(tag.get("style", ""))))
    )


def _walk(node: Any, out: _Writer) -> None:
    from bs4.element import CData, NavigableString, Tag

    for child in node.children:
        if isinstance(child, Tag):
            _tag(child, out)
        elif type(child) in (NavigableString, CData):  # not comments and declarations
            out.line.append(_SPACE.sub(" ", child))


def _tag(tag: Any, out: _Writer) -> None:
    name = tag.name
    if _is_hidden(tag):
        return
    if name in _HEADINGS:
        out.heading(_HEADINGS[name], _text(tag))
    elif name == "br":
        out.line.append("\n")
    elif name == "pre":
        out.block(_code(tag))
    elif name == "code":
        code = _text(tag)
        out.line.append(f"`{code}`" if code and "`" not in code else code)
    elif name in ("ul", "ol"):
        out.end_line()
        out.block("\n".join(_items(tag)))
    elif name == "table" and not _is_layout(tag):
        out.block(_rows(tag))
    elif name == "a" and str(tag.get("href", "")).startswith("#") and _is_back_link(tag):
        return
    elif name in _BLOCKS:
        out.end_line()
        _walk(tag, out)
        out.end_line()
    else:
        _walk(tag, out)


def _is_back_link(tag: Any) -> bool:
    """A link from a footnote to its place, or from a heading to itself."""
    return tag.get_text(strip=True) in ("↑", "↩", "↩︎", "^", "¶", "#", "§", "")


def _text(tag: Any) -> str:
    """All text of a tag in one line, without links from a heading to itself."""
    parts = [
        str(part)
        for part in tag.strings
        if part.parent is tag or part.parent.name != "a" or not _PERMALINK.fullmatch(part)
    ]
    return _SPACE.sub(" ", "".join(parts)).strip().rstrip("¶\u200b ")


def _code(tag: Any) -> str:
    """Code with its line breaks; pages that colour it make each line a tag of its own."""
    for line_break in tag.find_all("br"):
        line_break.replace_with("\n")
    text = tag.get_text().replace("\xa0", " ").strip("\n")
    if not text.strip():
        return ""
    names = [tag, tag.parent, *tag.find_all("code", limit=1)]
    classes = " ".join(str(c) for t in names if t for c in t.get_attribute_list("class") if c)
    language = _LANGUAGE.search(classes)
    fence = "````" if "```" in text else "```"
    return f"{fence}{language[1] if language else ''}\n{text}\n{fence}"


def _items(tag: Any) -> list[str]:
    lines: list[str] = []
    number = 0
    for child in tag.find_all(True, recursive=False):
        inner = _Writer()
        _walk(child, inner) if child.name == "li" else _tag(child, inner)
        inner.end_line()
        text = "\n".join(block.text for block in inner.blocks)
        if not text.strip() or _is_hidden(child):
            continue
        number += 1
        mark = f"{number}. " if tag.name == "ol" else "- "
        lines.append(mark + text.replace("\n", "\n" + " " * len(mark)))
    return lines


def _is_layout(table: Any) -> bool:
    """Whether a table only places things on the page: it holds more than data."""
    if table.find(("table", "pre", "ul", "ol", *_HEADINGS)):
        return True
    return any(len(cell.get_text()) > _LONG_CELL for cell in table.find_all(("td", "th")))


def _rows(table: Any) -> str:
    lines = []
    for row in table.find_all("tr"):
        cells = [_SPACE.sub(" ", cell.get_text(" ")).strip() for cell in row.find_all(("td", "th"))]
        if not any(cells):
            continue
        lines.append(f"| {' | '.join(cells)} |")
        if len(lines) == 1 and row.find("th"):
            lines.append(f"|{' --- |' * len(cells)}")
    caption = table.find("caption")
    return "\n".join([_text(caption), *lines] if caption else lines)
