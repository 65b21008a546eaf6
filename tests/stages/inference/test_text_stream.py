"""Laws of the text stream: the pieces are the whole, and nothing behind a stop string is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from qtui import builtin
from qtui.stages.inference.text_stream import Characters, TextStream

pytestmark = pytest.mark.train

TINY = AutoTokenizer.from_pretrained(builtin.model_path("tiny"))


def metaspace() -> Any:
    """As Llama 2 has it: words begin with ▁, unknown characters are bytes."""
    words = ["<unk>", "</s>", "▁", "▁a", "b", "▁wörd", "s", "."]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {word: at for at, word in enumerate(words)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>")


METASPACE = metaspace()
SLOW = SimpleNamespace(decode=TINY.decode, backend_tokenizer=None)
"""A tokenizer without the tokenizers library's part."""

ids = st.lists(st.integers(0, len(TINY) - 1), max_size=30)
texts = st.text(max_size=30) | st.sampled_from(
    ["日本語 text", "👩‍👩‍👧 family", "a\u0301 naïve\r\n"]
)


def whole(tokenizer: Any, tokens: list[int], skip: bool) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=skip) if tokens else ""


def streamed(tokenizer: Any, tokens: list[int], *, skip: bool = True, stop: Any = ()) -> list[str]:
    stream = TextStream(tokenizer, stop=stop, skip_special_tokens=skip)
    pieces = [stream.add(token) for token in tokens if not stream.stopped]
    return [*pieces, stream.end()]


@given(ids, st.booleans())
def test_the_pieces_of_any_tokens_are_what_all_are_decoded_to(
    tokens: list[int], skip: bool
) -> None:
    assert "".join(streamed(TINY, tokens, skip=skip)) == whole(TINY, tokens, skip)


@given(ids, st.booleans())
def test_so_they_are_without_the_fast_library(tokens: list[int], skip: bool) -> None:
    assert "".join(streamed(SLOW, tokens, skip=skip)) == whole(TINY, tokens, skip)


@given(texts)
def test_texts_of_a_tokenizer_whose_words_begin_with_their_space(text: str) -> None:
    tokens = METASPACE(text)["input_ids"]
    assert "".join(streamed(METASPACE, tokens)) == whole(METASPACE, tokens, True)


@given(texts)
def test_every_piece_is_of_whole_characters(text: str) -> None:
    tokens = TINY(text, add_special_tokens=False)["input_ids"]
    pieces = streamed(TINY, tokens)
    assert "".join(pieces) == whole(TINY, tokens, True)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_text_comes_as_soon_as_it_can() -> None:
    tokens = TINY("Create a session, please", add_special_tokens=False)["input_ids"]
    characters = Characters(TINY, skip_special_tokens=True)
    for at, token in enumerate(tokens):
        characters.add(token)
        assert characters.whole(tokens[: at + 1]) == whole(TINY, tokens[: at + 1], True)
        assert characters.rest() == ""


@given(texts.filter(len), st.data())
def test_an_answer_ends_before_the_stop_string_that_is_whole_first(text: str, data: Any) -> None:
    tokens = TINY(text, add_special_tokens=False)["input_ids"]
    full = whole(TINY, tokens, True)
    inside = st.builds(
        lambda start, length: full[start : start + length],
        st.integers(0, max(len(full) - 1, 0)),
        st.integers(1, 6),
    ).filter(len)
    stops = data.draw(st.lists(inside | st.text("ab \u65e5", min_size=1, max_size=3), max_size=3))
    found = [(at + len(stop), at) for stop in stops if (at := full.find(stop)) >= 0]
    wanted = full[: min(found)[1]] if found else full
    # At each moment, no more is given than what will stay.
    stream = TextStream(TINY, stop=stops, skip_special_tokens=True)
    given_text = ""
    for token in tokens:
        if stream.stopped:
            break
        given_text += stream.add(token)
        assert wanted.startswith(given_text)
    given_text += stream.end()
    assert given_text == wanted
    assert stream.stopped == bool(found)


def test_no_more_is_held_back_than_a_stop_string_may_need() -> None:
    tokens = TINY("one two three", add_special_tokens=False)["input_ids"]
    pieces = streamed(TINY, tokens, stop=("three!",))
    assert "".join(pieces) == "one two three"
    assert pieces[-1] == "three"
    assert "".join(pieces[:-1]) == "one two "


def test_the_fallback_is_used_where_there_is_no_fast_part(tmp_path: Path) -> None:
    assert Characters(SLOW, skip_special_tokens=True)._stream is None
    assert Characters(TINY, skip_special_tokens=True)._stream is not None
