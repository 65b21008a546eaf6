"""Variations change the instruction and nothing else, within their share, whatever the order."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.stages.data.relating.augment import PLACE, TEMPLATES, drawn, may_vary, variations
from qtui.stages.data.rows import Row

SAID = st.sampled_from(
    ["do it", "do it!", "Please do it", "Task: do it", "do it\n\nPlease answer.", "wofür?"]
)
OWN = ["{instruction}!", "Please {instruction}", "{instruction}, {instruction}"]


def row(question: str, answer: str = "the answer", *, system: str = "", line: int = 1) -> Row:
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "and now?"},
        {"role": "assistant", "content": f"more of {answer}"},
    ]
    return Row(tuple(messages), "x.jsonl", line)


ROWS = st.lists(
    st.builds(row, SAID, st.sampled_from(["a", "b"]), system=st.sampled_from(["", "kind"])),
    max_size=30,
)


def keys(rows: Sequence[Row]) -> Any:
    return np.frombuffer(b"".join(each.key() for each in rows), dtype=np.uint8).reshape(-1, 16)


def varied(
    rows: Sequence[Row], share: float, *, templates: Sequence[str] = (), seed: int = 0
) -> list[tuple[int, Row, str]]:
    count = len(templates or TEMPLATES)
    times = drawn(keys(rows), share=share, train_rows=len(rows), templates=count, seed=seed)
    given_rows = [
        (number, each, "en", int(many))
        for number, (each, many) in enumerate(zip(rows, times, strict=True))
    ]
    return list(variations(given_rows, templates=templates, seed=seed, known=keys(rows)))


@settings(deadline=None)
@given(ROWS, st.floats(0, 0.9), st.sampled_from([(), OWN]), st.integers(0, 2**31))
def test_only_the_instruction_changes_and_the_share_holds(
    rows: list[Row], share: float, templates: Sequence[str], seed: int
) -> None:
    found = varied(rows, share, templates=templates, seed=seed)
    assert Fraction(len(found)) <= Fraction(share) * (len(rows) + len(found))
    if share == 0:
        assert found == []
    texts = templates or TEMPLATES
    said = {each.key() for each in rows}
    for number, variation, done in found:
        original = rows[number]
        first = next(at for at, m in enumerate(original.messages) if m["role"] == "user")
        for at, (was, now) in enumerate(zip(original.messages, variation.messages, strict=True)):
            if at != first:
                assert was == now
        template = texts[int(done.removeprefix("augmented: template ")) - 1]
        instruction = original.messages[first]["content"]
        assert variation.messages[first]["content"] == template.replace(PLACE, instruction)
        assert (variation.source, variation.line) == (original.source, original.line)
        assert variation.key() not in said  # neither an original nor another variation
        said.add(variation.key())


@settings(deadline=None)
@given(ROWS, st.floats(0.1, 0.9), st.integers(0, 2**31), st.permutations(range(30)))
def test_order_is_irrelevant_and_seeds_repeat(
    rows: list[Row], share: float, seed: int, order: list[int]
) -> None:
    moved = [rows[place] for place in order if place < len(rows)]
    one, other = (varied(each, share, seed=seed) for each in (rows, moved))
    assert sorted(v.key() for _, v, _ in one) == sorted(v.key() for _, v, _ in other)
    assert varied(rows, share, seed=seed) == one


def test_the_share_is_met_where_rows_differ() -> None:
    rows = [row(f"question {number}") for number in range(1000)]
    for share, wanted in ((0.1, 111), (0.5, 1000), (0.75, 3000)):
        assert len(varied(rows, share)) == wanted
    assert len(varied(rows, 0.9, templates=OWN)) == 3000  # each template once for each row
    used = {done for _, _, done in varied(rows, 0.5)}
    assert len(used) == len(TEMPLATES)
    one, other = ({n for n, _, _ in varied(rows, 0.1, seed=seed)} for seed in (1, 2))
    assert len(one & other) < 40  # 12 expected


def test_two_rows_that_would_become_the_same_become_it_once() -> None:
    rows = [row("Please do it"), row("do it!")]
    found = varied(rows, 0.75, templates=OWN[:2])
    said = [variation.messages[0]["content"] for _, variation, _ in found]
    assert sorted(said) == ["Please Please do it", "Please do it!", "do it!!"]


def test_what_cannot_be_varied_is_left_alone() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    plain = row("do it")
    with_call = Row(
        (plain.messages[0], {"role": "assistant", "content": "", "tool_calls": [call]}), "x", 1
    )
    for other in (
        Row((), "x", 1, text="a text"),
        Row(plain.messages, "x", 1, tools=(call,)),
        with_call,
        Row((*plain.messages, {"role": "tool", "content": "2"}), "x", 1),
        Row(({"role": "assistant", "content": "hello"},), "x", 1),
    ):
        assert not may_vary(other, "en", own_templates=True)
        found = variations([(0, other, "en", 3)], templates=OWN, seed=0, known=keys([other]))
        assert list(found) == []
    assert may_vary(plain, "de", own_templates=True)
    assert not may_vary(plain, "de", own_templates=False)
    assert not may_vary(plain, "", own_templates=False)


def test_the_built_in_templates_differ_and_hold_the_instruction_once() -> None:
    assert len({text.lower() for text in TEMPLATES}) == len(TEMPLATES) == 20
    assert all(text.count(PLACE) == 1 and text != PLACE for text in TEMPLATES)
