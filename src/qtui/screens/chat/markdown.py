"""An answer's Markdown as rows of text, at a given width.

Textual's own Markdown makes a widget of each paragraph, and draws all of a paragraph again for each
word that comes; an answer that streams needs rows that can be compared. Nothing of the text is
lost: what is no Markdown (`[INST]`, HTML, special tokens) stays as it is, single line breaks hold,
code keeps every character. Each piece of text passes `terminal.clean` after the parser, which makes
characters of entities such as `&#x202E;`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from textual.content import Content, Span

from qtui.terminal import clean, columns

CODE = "$accent"
_QUIET = "$text-muted"
_STYLES = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}
_HEADINGS = {"h1": "bold underline $primary", "h2": "bold $primary"}
_TAB = 4


@lru_cache(1)
def _parser() -> MarkdownIt:
    # HTML stays text: a browser would make something of it, a terminal cannot.
    parser = MarkdownIt("commonmark", {"html": False})
    # Nor may a definition of a link vanish.
    return parser.enable("table").enable("strikethrough").disable("reference")


def nodes_of(text: str) -> list[SyntaxTreeNode]:
    """The blocks of `text` in their order; `map` of each has its first line and the end."""
    return list(SyntaxTreeNode(_parser().parse(text)).children)


def rows_of(nodes: Sequence[SyntaxTreeNode], width: int, *, unicode: bool) -> list[Content]:
    """Blocks in rows of at most `width` columns, an empty row between two blocks."""
    rows: list[Content] = []
    for node in nodes:
        if rows:
            rows.append(Content(""))
        rows += _block(node, max(width, 8), unicode)
    return rows


def plain_rows(text: str, width: int, style: str = "") -> list[Content]:
    """`text` exactly as it is, in rows of at most `width` columns; also blanks are kept."""
    rows = []
    for line in clean(text).expandtabs(_TAB).split("\n"):
        rows += [Content.styled(piece, style) for piece in folded(line, max(width, 8))]
    return rows


def folded(line: str, width: int) -> list[str]:
    """`line` in pieces of at most `width` columns, broken wherever it is full."""
    if columns(line) <= width:
        return [line]
    pieces, start, used = [], 0, 0
    for at, character in enumerate(line):
        wide = columns(character)
        if used + wide > width:
            pieces.append(line[start:at])
            start, used = at, 0
        used += wide
    return [*pieces, line[start:]]


# ---- blocks --------------------------------------------------------------------------------------


def _block(node: SyntaxTreeNode, width: int, unicode: bool) -> list[Content]:
    kind = node.type
    if kind == "heading":
        style = _HEADINGS.get(node.tag, "bold")
        return [row.stylize(style) for row in _inline(node).wrap(width)]
    if kind in ("fence", "code_block"):
        return _code(node, width)
    if kind in ("bullet_list", "ordered_list"):
        return _list(node, width, unicode)
    if kind == "blockquote":
        bar = Content.styled("▌ " if unicode else "| ", _QUIET)
        return [bar + row for row in rows_of(node.children, width - 2, unicode=unicode)]
    if kind == "hr":
        return [Content.styled(("─" if unicode else "-") * width, _QUIET)]
    if kind == "table":
        return _table(node, width, unicode)
    return _inline(node).wrap(width) if node.children else plain_rows(node.content, width)


def _code(node: SyntaxTreeNode, width: int) -> list[Content]:
    """Code, indented by two columns; its language above it."""
    language = clean(node.info).strip() if node.type == "fence" else ""
    head = [Content.styled(f"  {language[: width - 2]}", _QUIET)] if language else []
    text = node.content.removesuffix("\n")
    return head + [Content("  ") + row for row in plain_rows(text, width - 2, CODE)]


def _list(node: SyntaxTreeNode, width: int, unicode: bool) -> list[Content]:
    rows: list[Content] = []
    number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
    loose = any(
        child.type == "paragraph" and not child.hidden
        for item in node.children
        for child in item.children
    )
    for at, item in enumerate(node.children):
        sign = f"{number + at}. " if node.type == "ordered_list" else ("• " if unicode else "- ")
        room = max(width - len(sign), 8)
        inside: list[Content] = []
        for child in item.children:
            if inside and loose:
                inside.append(Content(""))
            inside += _block(child, room, unicode)
        if rows and loose:
            rows.append(Content(""))
        for line, row in enumerate(inside or [Content("")]):
            rows.append(Content.styled(sign if line == 0 else " " * len(sign), _QUIET) + row)
    return rows


def _table(node: SyntaxTreeNode, width: int, unicode: bool) -> list[Content]:
    """Columns side by side where they fit; else each row as its cells, one after the other."""
    lines = [row for part in node.children for row in part.children]
    cells = [[_inline(cell) for cell in line.children] for line in lines]
    wide = [max(cell.cell_length for cell in column) for column in zip(*cells, strict=False)]
    bar = Content.styled(" │ " if unicode else " | ", _QUIET)
    fits = sum(wide) + 3 * (len(wide) - 1) <= width
    rows: list[Content] = []
    for number, line in enumerate(cells):
        head = "bold" if number == 0 else ""
        if fits:
            padded = [
                cell.stylize(head).pad_right(room - cell.cell_length)
                for cell, room in zip(line, wide, strict=False)
            ]
            rows.append(bar.join(padded))
        else:
            rows += bar.join([cell.stylize(head) for cell in line]).wrap(width)
        if number == 0:
            used = sum(wide) + 3 * (len(wide) - 1) if fits else width
            rows.append(Content.styled(("─" if unicode else "-") * used, _QUIET))
    return rows


# ---- within a line -------------------------------------------------------------------------------


def _inline(node: SyntaxTreeNode) -> Content:
    """The text of a paragraph, heading or cell with its styles."""
    pieces: list[str] = []
    spans: list[Span] = []
    _walk(node, pieces, spans, 0)
    return Content("".join(pieces), spans)


def _walk(node: SyntaxTreeNode, pieces: list[str], spans: list[Span], at: int) -> int:
    """Write what is in `node`, which begins at character `at`; the character after it."""
    for child in node.children:
        start = at
        if child.type in ("softbreak", "hardbreak"):
            text = "\n"
        elif child.type == "image":
            text = clean(child.content or str(child.attrs.get("src", "")))
        elif child.children:
            at = _walk(child, pieces, spans, at)
            text = _target(child, "".join(pieces)[start:]) if child.type == "link" else ""
        else:
            text = clean(child.content).replace("\t", " ")
        pieces.append(text)
        at += len(text)
        style = CODE if child.type == "code_inline" else _STYLES.get(child.type, "")
        if style and at > start:
            spans.append(Span(start, at, style))
    return at


def _target(link: SyntaxTreeNode, said: str) -> str:
    """Where a link leads, unless its text says so."""
    href = clean(str(link.attrs.get("href", "")))
    return f" ({href})" if href and href.removeprefix("mailto:") != said else ""
