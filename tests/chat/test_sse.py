"""Server-sent events are the same however the bytes are split and the lines are ended."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.chat.sse import EventStream, ServerEvent, TooLongError


def read(*chunks: bytes, limit: int = 1 << 20) -> list[ServerEvent]:
    stream = EventStream(limit)
    found = [event for chunk in chunks for event in stream.feed(chunk)]
    return found + list(stream.end())


def test_the_form_of_an_event() -> None:
    text = (
        b"\xef\xbb\xbf: a comment\n\ndata: one\n\n"
        b"event: error\r\ndata:two\r\ndata:  three\r\nid: 4\r\nretry: 5\r\n\r\n"
        b"data\n\n"
        b"nonsense\n\n"
        b"data: \xe2\x82\xac\rdata: caf\xc3\xa9\r\r"
    )
    assert read(text) == [
        ServerEvent("", "one"),
        ServerEvent("error", "two\n three"),
        ServerEvent("", ""),
        ServerEvent("", "€\ncafé"),
    ]


def test_what_is_not_utf8_is_replaced_and_an_unended_event_counts_at_the_end() -> None:
    assert read(b"data: a\xffb") == [ServerEvent("", "a�b")]
    assert list(EventStream().feed(b"data: a\n")) == []


def test_llama_servers_own_error_field() -> None:
    assert read(b'error: {"message": "no"}\n\n') == [ServerEvent("error", '{"message": "no"}')]


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)
LINES = st.lists(_TEXT, max_size=4)


@given(
    events=st.lists(LINES.filter(bool), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=30),
)
def test_however_it_is_split(events: list[list[str]], end: str, cuts: list[int]) -> None:
    text = "".join(
        f": ping{end}" + "".join(f"data: {line}{end}" for line in lines) + end for lines in events
    ).encode()
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[a:b] for a, b in pairwise(edges)]
    assert [event.data for event in read(*chunks)] == ["\n".join(lines) for lines in events]


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(TooLongError, match="1,000 bytes"):
        read(b"data: ", *[b"x" * 100] * 20, limit=1000)


def test_many_small_lines_of_one_event_are_bounded_as_well() -> None:
    with pytest.raises(TooLongError):
        read(*[b"data: " + b"x" * 100 + b"\n"] * 20, limit=1000)
