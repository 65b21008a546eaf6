"""The sink: nothing but clean text leaves, colour only where it is wanted, tables fit."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.cli.output import Column, Output, SafeStream, Styled
from qtui.terminal import columns
from tests.cli.corpus import EVERYTHING, control_characters


class Terminal(io.TextIOWrapper):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def stream(*, terminal: bool = False, encoding: str = "utf-8") -> SafeStream:
    kind = Terminal if terminal else io.TextIOWrapper
    return SafeStream(kind(io.BytesIO(), encoding=encoding, newline="\n", write_through=True))


def shown(stream: SafeStream) -> bytes:
    stream.flush()
    return stream.raw.buffer.getvalue()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)


def test_whatever_is_printed_is_cleaned() -> None:
    sink = stream(terminal=True)
    print(EVERYTHING, file=sink)
    assert control_characters(shown(sink)) == []
    assert b"[INST]" in shown(sink)


@given(st.text(alphabet=st.characters(codec=None)))
def test_styled_text_brings_only_our_own_codes(text: str) -> None:
    out = Output(stream(terminal=True), stream(terminal=True))
    out.line(Styled(text, "red"))
    body = shown(out.stdout)
    assert body.startswith(b"\x1b[31m")
    assert body.count(b"\x1b") == 2
    assert control_characters(body, colours=True) == []


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_when_it_is_not_wanted(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    out = Output(stream(terminal=True), stream(terminal=True))
    out.line(Styled("x", "red"))
    assert shown(out.stdout) == b"x\n"


def test_no_colour_and_no_live_line_in_a_pipe() -> None:
    out = Output(stream(), stream())
    out.status("half way")
    out.line(Styled("x", "red"))
    assert (shown(out.stdout), shown(out.stderr)) == (b"x\n", b"")


def test_without_a_utf8_locale_only_ascii_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "POSIX")
    out = Output(stream(terminal=True), stream(terminal=True))
    out.line(out.sign("✓", "+"), " ឯ naïve")  # U+17AF has the byte 0x9F in UTF-8
    out.line("half – of 2 × 3 → 6 …")
    assert shown(out.stdout) == b"+ ? na?ve\nhalf - of 2 x 3 -> 6 ...\n"
    latin = stream(encoding="latin-1")
    latin.write("naïve")
    assert shown(latin) == b"na?ve"


@given(st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_json_is_ascii_and_says_the_same(value: object) -> None:
    out = Output(stream(terminal=True), stream(), json=True)
    out.document({"value": value})
    body = shown(out.stdout)
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in body)
    assert json.loads(body)["value"] == _without_nan(value)


def _without_nan(value: object) -> object:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


HEADER = [Column("RUN", flexible=True), Column("STEP", "right"), Column("MODEL", flexible=True)]


def test_a_table_is_whole_in_a_pipe_and_fits_a_terminal() -> None:
    rows = [["r" * 60, "12", Styled("日本" * 30, "red")], ["short", "1200", "m"]]
    piped = Output(stream(), stream())
    piped.table(HEADER, rows)
    assert "r" * 60 in shown(piped.stdout).decode()
    fitted = Output(stream(terminal=True), stream(terminal=True))
    fitted.table([Column(c.title, c.align, c.flexible) for c in HEADER], rows)
    lines = shown(fitted.stdout).decode().replace("\x1b[2m", "").replace("\x1b[0m", "")
    for line in lines.replace("\x1b[31m", "").splitlines():
        assert columns(line) < 80
    assert "1200" in lines


def test_a_table_cell_cannot_make_a_second_row() -> None:
    out = Output(stream(), stream())
    out.table([Column("A")], [["one\ntwo"]])
    assert shown(out.stdout).decode().splitlines() == ["A", "one two"]


def test_the_live_line_gives_way_to_lines_and_comes_back() -> None:
    out = Output(stream(terminal=True), stream(terminal=True))
    out.status("step 1 \x1b[35m")
    out.note("said")
    body = shown(out.stderr).decode()
    assert body == "step 1 \ufffd[35m\r\x1b[Ksaid\nstep 1 \ufffd[35m"
    out.status("")
    assert shown(out.stderr).decode() == body + "\r\x1b[K"


def test_a_block_is_drawn_over_the_one_before() -> None:
    out = Output(stream(terminal=True), stream(terminal=True))
    out.block([["one"], ["two \x1b[H"]])
    out.block([["x" * 200]])
    body = shown(out.stdout).decode()
    assert body.startswith("one\ntwo \ufffd[H\n\x1b[2F\x1b[Jxxx")
    assert columns(body.rpartition("J")[2].rstrip("\n")) < 80
