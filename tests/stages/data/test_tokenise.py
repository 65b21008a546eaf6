"""The fast ways to ids, borders and labels give what the tokenizer itself says."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qtui.builtin import model_path
from qtui.stages.data.encoding import tokenise as module
from qtui.stages.data.encoding.render import Rendered
from qtui.stages.data.encoding.spelling import spelling_of
from qtui.stages.data.encoding.tokenise import IGNORED, Tokens, tokenise
from tests.stages.data import tiny

pytestmark = pytest.mark.train

TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("the answer is \n\n  ▁Ġé👩‍👩‍👧e\u0301ﬁ\u00a0<0x0A>"),
    ),
    max_size=60,
)


def bytewise() -> Any:
    """Byte-level BPE whose own offsets leave out leading spaces."""
    return tiny.tokenizer(tiny.CHATML)


def builtin() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path())


def composing() -> Any:
    """Byte-level BPE that composes characters first, as Qwen's: other text than was given."""
    from tokenizers import normalizers

    tokenizer = tiny.tokenizer(tiny.MARKED)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def spaced() -> Any:
    """BPE over characters with bytes for those that it does not know, as Gemma's and Llama 2's."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁theanswris", "▁t", "he"]
    vocabulary = {word: number for number, word in enumerate(words)}
    core = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[("▁", "t"), ("h", "e")], byte_fallback=True)
    )
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


KINDS = {kind.__name__: kind for kind in (bytewise, builtin, composing, spaced)}


def ids_of(tokens: Tokens) -> list[int]:
    return list(struct.unpack(f"<{len(tokens.all_ids) // 4}I", tokens.all_ids))


def ends_of(tokens: Tokens) -> list[int]:
    return list(struct.unpack(f"<{len(tokens.ends) // 4}I", tokens.ends))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_borders_are_the_tokenizers(kind: str) -> None:
    tokenizer = KINDS[kind]()
    # Offsets as they are, to compare with: not without the spaces at the edge of a token.
    from tokenizers import processors

    plain = KINDS[kind]()
    plain.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)

    @settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
    @given(TEXTS)
    @example("")
    @example("the 👩‍👩‍👧 answer")
    @example("cafe\u0301")
    def holds(text: str) -> None:
        (found,) = tokenise(tokenizer, [Rendered(text, ())], max_seq_length=10_000, mask=True)
        wanted = plain(text, add_special_tokens=False, return_offsets_mapping=True)
        if found.length == 0:
            assert wanted["input_ids"] == []
            return
        assert ids_of(found) == wanted["input_ids"] == list(found.input_ids)
        if kind != "composing" or plain.backend_tokenizer.normalizer.normalize_str(text) == text:
            assert ends_of(found) == [end for _, end in wanted["offset_mapping"]]
            assert ends_of(found)[-1] == len(text)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_same_however_the_borders_were_found(kind: str) -> None:
    """A token is trained when it overlaps an answer and holds nothing else but white space."""
    tokenizer = KINDS[kind]()
    spelt = spelling_of(tokenizer)

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(TEXTS, st.data())
    def holds(text: str, data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
        spans = tuple(zip(cuts[::2], cuts[1::2], strict=False))
        rendered = Rendered(text, spans)
        spelt._seen = spelt._missed = 0
        (fast,) = tokenise(tokenizer, [rendered], max_seq_length=10_000, mask=True)
        spelt._seen = spelt._missed = 1000  # from here on the tokenizer is asked
        assert not spelt.helps
        (asked,) = tokenise(tokenizer, [rendered], max_seq_length=10_000, mask=True)
        assert fast.all_ids == asked.all_ids
        ends, start = ends_of(fast), 0
        for place, (one, other) in enumerate(zip(fast.labels, asked.labels, strict=True)):
            end = ends[place]
            if one != other:  # the tokenizer does not count the spaces at the edge of a token
                assert not text[start:end].strip()
            start = end

    holds()


def test_whole_batches_and_rows_that_are_spelt_otherwise_come_back_in_their_place() -> None:
    tokenizer = composing()
    texts = ["the answer", "cafe\u0301 the answer", "", "is"] * 40
    rendered = [Rendered(text, ((0, len(text)),)) for text in texts]
    found = tokenise(tokenizer, rendered, max_seq_length=10_000, mask=True)
    assert spelling_of(tokenizer).helps
    wanted = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [ids_of(tokens) for tokens in found] == wanted
    assert all(list(tokens.labels) == list(tokens.input_ids) for tokens in found)


def test_a_tokenizer_that_changes_all_texts_is_no_longer_spelt() -> None:
    from tokenizers import normalizers

    tokenizer = bytewise()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    rendered = [Rendered("The Answer", ((4, 10),))] * 200
    found = tokenise(tokenizer, rendered, max_seq_length=100, mask=True)
    assert not spelling_of(tokenizer).helps
    again = tokenise(tokenizer, rendered[:1], max_seq_length=100, mask=True)
    assert again[0] == found[0] == found[-1]
    learnt = [label for label in found[0].labels if label != IGNORED]
    assert tokenizer.decode(learnt).strip() == "answer"


def test_cutting_keeps_the_whole_for_the_screen() -> None:
    tokenizer = bytewise()
    text = "<s><s>the answer to the question"
    (found,) = tokenise(tokenizer, [Rendered(text, ((6, 16),))], max_seq_length=3, mask=True)
    assert len(found.input_ids) == len(found.labels) == 3
    assert found.length == len(ids_of(found)) == len(ends_of(found)) > 3
    # The beginning that was written twice is one token, which ends where the second one ends.
    assert ends_of(found)[0] == 6
    assert tokenizer.decode(ids_of(found)) == text.removeprefix("<s>")
    assert found.trained == sum(label != IGNORED for label in found.labels)


def test_a_tokenizer_with_a_way_of_its_own_is_called() -> None:
    from transformers import PreTrainedTokenizerFast

    class Own(PreTrainedTokenizerFast):  # type: ignore[misc]
        def _encode_plus(self, *arguments: Any, **keywords: Any) -> Any:
            encoded = super()._encode_plus(*arguments, **keywords)
            calls.append(1)
            return encoded

    calls: list[int] = []
    plain = bytewise()
    own = Own(tokenizer_object=plain.backend_tokenizer, bos_token="<s>", eos_token="<|im_end|>")
    rendered = [Rendered("the answer is", ((4, 10),))]
    assert (
        tokenise(own, rendered, max_seq_length=100, mask=True)[0].labels
        == tokenise(plain, rendered, max_seq_length=100, mask=True)[0].labels
    )
    assert calls
    assert tokenise(own, [], max_seq_length=100, mask=True) == []


def test_a_tokenizer_that_does_not_know_its_characters_can_still_learn_from_everything() -> None:
    class Slow:
        is_fast = False
        bos_token_id = None

        def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
            return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    (found,) = tokenise(Slow(), [Rendered("abc", ((0, 3),))], max_seq_length=2, mask=False)
    assert (list(found.input_ids), list(found.labels)) == ([97, 98], [97, 98])
    assert (found.length, found.trained, ids_of(found), found.ends) == (3, 1, [97, 98, 99], b"")


def test_threads_are_used_here_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    with module._all_cores():
        assert module.os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert module.os.environ["TOKENIZERS_PARALLELISM"] == "false"
