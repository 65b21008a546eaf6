"""Each kind of finding is found where it is and not where it only looks so, and does its part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.stages.data.refining.checks import Checked, Checker, Issue, role_order, weight_issue
from qtui.stages.data.refining.endings import broken_off
from qtui.stages.data.refining.repetition import share
from qtui.stages.data.rows import Record, Row
from qtui.stages.data.shapes.shapes import ShapeError, row_of

SFT = Path(__file__).parents[3].parent / "shared" / "data" / "sft"

PROSE = (
    "A river finds its way to the sea because water always runs downhill. On its way it carries "
    "sand and stones along, and where it slows down it lets them fall again. Over thousands of "
    "years this is how valleys become wide and flat, and why the soil in them is so good. "
)


def row(answer: str, question: str = "Tell me.", **more: Any) -> Row:
    turns = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return Row(turns, "rows.jsonl", 1, **more)


def check(given_row: Row | str, **settings: Any) -> Checked:
    given_row = row(given_row) if isinstance(given_row, str) else given_row
    return Checker(DataConfig(**settings))(given_row)


def kinds(checked: Checked) -> list[str]:
    return [issue.kind for issue in checked.issues]


def test_a_sound_row_has_no_issues_and_is_the_same_object() -> None:
    given_row = row(PROSE)
    checked = check(given_row, on_pii="mask", languages=["en"])
    assert checked.row is given_row
    assert (checked.issues, checked.done, checked.language) == ((), (), "en")


# ---- verdicts -----------------------------------------------------------------------------------

GERMAN = "Ein Fluss findet seinen Weg zum Meer, weil Wasser immer bergab fließt und nie ruht."
BAD: dict[str, tuple[Row, str, dict[str, Any]]] = {
    "role-order": (
        Row(({"role": "assistant", "content": PROSE},), "f", 1), "on_role_order", {}),
    "language": (row(GERMAN, GERMAN), "on_language", {"languages": ["en", "fr"]}),
    "repetition": (row("I am so very sorry about that. " * 30), "on_repetition", {}),
    "mojibake": (row("Un cafÃ© trÃ¨s serrÃ©."), "on_mojibake", {}),
    "control-characters": (row("a\x00b"), "on_control_characters", {}),
    "truncated-answer": (row("```python\nprint(1)"), "on_truncated_answer", {}),
    "pii-email": (row("Write to jane@example.com."), "on_pii", {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("verdict", ["keep", "drop", "fail"])
def test_the_setting_is_the_verdict(kind: str, verdict: str) -> None:
    bad, setting, more = BAD[kind]
    checked = check(bad, **{setting: verdict}, **more)
    assert kinds(checked) == [kind]
    assert checked.issues[0].verdict == verdict
    assert checked.issues[0].level == "warning"
    assert checked.row is bad


def test_what_can_be_mended_keeps_the_row() -> None:
    assert check("Un cafÃ©.", on_mojibake="fix").issues[0].verdict == "keep"
    assert check("a\x00b", on_control_characters="remove").issues == ()
    assert check("jane@example.com", on_pii="mask").issues[0].verdict == "keep"


# ---- order of roles -----------------------------------------------------------------------------


def order(turns: str) -> str:
    made: list[dict[str, Any]] = []
    names = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}
    for turn in turns:
        made.append({"role": names[turn], "content": "x"})
        if turn == "c":
            made[-1]["tool_calls"] = [{"type": "function", "function": {"name": "f"}}]
    return role_order(made)


@pytest.mark.parametrize("turns", ["ua", "sua", "uaua", "uctua", "ucctta", "ucttaua", "uc", "ucua"])
def test_orders_that_chats_have(turns: str) -> None:
    if turns == "uctua":
        assert order(turns) == "the result of a tool that no answer follows"
    else:
        assert order(turns) == ""


@pytest.mark.parametrize(
    ("turns", "wrong"),
    [
        ("a", "begins with an answer"),
        ("sa", "begins with an answer"),
        ("c", "begins with an answer"),
        ("tua", "begins with the result"),
        ("uua", "two questions"),
        ("uaa", "two answers"),
        ("uac", "two answers"),
        ("uca", "without the result"),
        ("uta", "nobody called"),
        ("uata", "nobody called"),
        ("uasua", "a system message in the middle"),
        ("ssua", "a system message in the middle"),
    ],
)
def test_orders_that_no_chat_has(turns: str, wrong: str) -> None:
    assert wrong in order(turns)


# ---- language -----------------------------------------------------------------------------------


def test_languages_are_held_against_the_list() -> None:
    assert kinds(check(row(GERMAN, GERMAN), languages=["de"])) == []
    assert kinds(check(row(GERMAN, GERMAN), languages=["de-CH"])) == []
    assert kinds(check(row(GERMAN, GERMAN))) == []
    assert check(row(GERMAN, GERMAN), languages=["en"]).issues[0].message == "is in de, not in en"
    assert kinds(check("Ja.", languages=["en"])) == []  # too short to tell
    assert kinds(check(row(f"{GERMAN} {PROSE}"), languages=["en"])) == []  # both are there


# ---- repetition ---------------------------------------------------------------------------------


def test_loops_are_found() -> None:
    assert share("Ooh ooh ah ah! *giggle* " * 80) == 1.0
    assert share(PROSE + "I think that " * 40) > 0.4
    assert share(PROSE * 4) == 1.0
    assert share(PROSE + "\n".join(["The answer is not known to me at this time."] * 12)) > 0.5
    assert share("我不知道这个问题的答案是什么，请再说一遍。" * 12) > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "no no no no no no no",
        PROSE,
        PROSE * 2,
        "1. Warm-up: 5 minutes of light cardio. 2. Strength training: 3 sets of 10 reps of squats, "
        "3 sets of 10 reps of push-ups, 3 sets of 10 reps of lunges, 3 sets of 10 reps of rows. "
        "3. Endurance: 20 minutes of running, 1 minute of sprinting, then 2 minutes of walking. "
        "4. Cool-down: 5 minutes of stretching for the hamstrings, the calves and the back.",
        "```python\n" + "x = compute(x, y, z) + compute(x, y, z) - 1\n" * 40 + "```",
        "| a | b | c | d | e | f | g |\n" * 60,
        json.dumps([{"name": "x", "kind": "none", "tags": []}] * 40, indent=1),
        "\n".join(f"{n} + {n} = {2 * n}" for n in range(80)),
        # A song: four verses, each with its own lines, and the chorus between them.
        "\n".join(
            f"{verse}\nOh river, carry me down\nfrom the hills to the sleeping town\n"
            for verse in (
                "I left my coat upon a stone\nand walked a night and day alone",
                "The ferryman had lost his bell\nbut knew the current very well",
                "My mother kept a yellow light\nthat burned for sailors every night",
                "And when at last the morning came\nthe water seemed to speak my name",
            )
        ),
    ],
)
def test_what_repeats_for_a_reason_is_not_a_loop(text: str) -> None:
    assert share(text) == 0.0


# ---- answers that stop in the middle ------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "middle"),
    [
        ("Here it is:\n```python\ndef f():\n    return", "a code block"),
        ('{"name": "Ann", "tags": ["a", "b', "JSON"),
        ('[{"a": 1}, {"a": 2', "JSON"),
        ("Rivers run downhill. They carry sand, and where they slow down, the", "a sentence"),
        ("Rivers run downhill. This is why over many thousands of years they have slowly cut",
         "a sentence"),
        ("Der Fluss fließt zum Meer. Auf dem Weg nimmt er Sand mit und", "a sentence"),
        ("河流总是往低处流。一路上它带走泥沙和石头，在流得慢的地方又把它们留下来，于是山谷变得又宽又平，而且那里的土地",
         "a sentence"),
        ("We need flour, sugar, butter, eggs, milk, vanilla,", "a sentence"),
    ],
)  # fmt: skip
def test_broken_off(answer: str, middle: str) -> None:
    assert broken_off(answer) == middle
    assert f"in the middle of {middle}" in check(answer).issues[0].message


@pytest.mark.parametrize(
    "answer",
    [
        *("Paris", "42", "Yes", "the", "New York and", "3.14 km", "C", "a, b, c"),
        *("It runs downhill.", "Really?!", 'He said "no."', "(see above)", "そうです。", "是的！"),
        *("Great 🎉", "See https://example.com/a/path", "Done ✅", "**Bold**", "`code`", "…"),
        "```python\nprint(1)\n```",
        "the code: ```python\nprint(1)\n```",
        '{"name": "Ann"}',
        '{"a": 1} is the answer that the service gives to all of its callers',
        "[1] Smith and others, who wrote about the rivers of the world and their sands",
        "Rivers run downhill. They carry:\n- sand and stones that were broken from the rock",
        "It runs. Then:\n1. The river carries sand and stones along on its way to the sea",
        "Dear Ann,\n\nthank you. I am looking forward to it.\n\nBest regards,\nJohn Miller",
        "A river runs downhill and never stops\nbecause the sea is where it wants to be",
        "| river | length |\n|---|---|\n| the Rhine and all that flows into it | a thousand km |",
        "a very long title of a book about the rivers and mountains of the old world",
        "天气很好。我们走了",
    ],
)
def test_complete_answers(answer: str) -> None:
    assert broken_off(answer) == ""


# ---- placeholders, weights, blanks --------------------------------------------------------------


def test_placeholders_that_nobody_filled_in() -> None:
    assert check("I am {{ name }}.").issues == (
        Issue(
            "warning", "placeholder", "an answer holds the unfilled placeholder {{ name }}", "keep"
        ),
    )
    assert kinds(check(row("Yes.", question="Fill in {{ name }}."))) == []
    assert kinds(check("a {{ b c }} d {} {{}}")) == []


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"messages": [{"role": "assistant", "content": "x", "weight": 0}]}, True),
        ({"messages": [{"role": "assistant", "content": "x", "loss_weight": 0.0}]}, True),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 1}]}, False),
        ({"messages": [{"role": "user", "content": "x", "weight": 0}]}, False),
        ({"messages": "text"}, False),
        ({"messages": [None, 3, []]}, False),
        ([], False),
        (None, False),
    ],
)
def test_weights(record: Any, found: bool) -> None:
    issue = weight_issue(record)
    assert (issue is not None) == found
    assert issue is None or (issue.level, issue.kind, issue.verdict) == (
        "warning",
        "weight",
        "keep",
    )


def test_nothing_left_after_cleaning_is_an_error() -> None:
    blank = check("")
    assert [(i.level, i.kind, i.verdict) for i in blank.issues] == [("error", "blank-text", "drop")]
    assert kinds(check(Row((), "f", 1, text=" "))) == ["blank-text"]
    call = {"role": "assistant", "content": "", "tool_calls": [call_of({"a": 1})]}
    assert kinds(check(Row(({"role": "user", "content": "x"}, call), "f", 1))) == []


# ---- personal data ------------------------------------------------------------------------------


def call_of(arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "arguments": arguments}}


def test_personal_data_are_named_by_kind_and_number_never_quoted() -> None:
    mails = "jane@example.com, bob@example.com, ann@example.com"
    text = f"{mails} from 203.0.113.7, key AKIAIOSFODNN7EXAMPLE"
    checked = check(text)
    assert {issue.kind: (issue.level, issue.message) for issue in checked.issues} == {
        "pii-email": ("warning", "holds an e-mail address (and 2 more)"),
        "pii-ip": ("note", "holds an IP address"),
        "pii-secret": ("warning", "holds a key, token or password"),
    }
    assert checked.done == ()
    assert checked.row.messages[1]["content"] == text


def test_masking_reaches_every_text_and_the_arguments_of_calls() -> None:
    mail = "jane@example.com"
    arguments = {"to": mail, "cc": [mail, {"deep": mail}], "n": 3, mail: None}
    tools = ({"type": "function", "function": {"name": "f", "description": mail}},)
    turns = (
        {"role": "system", "content": mail},
        {"role": "user", "content": mail},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": mail,
            "tool_calls": [call_of(arguments)],
        },
        {"role": "tool", "content": mail, "name": "f"},
        {"role": "assistant", "content": "Sent."},
    )
    rejected = ({"role": "assistant", "content": mail},)
    given_row = Row(turns, "f", 1, tools, mail, rejected)
    checked = check(given_row, on_pii="mask")
    got = checked.row
    said = [message["content"] for message in got.messages]
    assert said == ["[EMAIL]", "[EMAIL]", "", "[EMAIL]", "Sent."]
    assert got.messages[2]["reasoning_content"] == "[EMAIL]"
    assert got.messages[2]["tool_calls"][0]["function"]["arguments"] == {
        "to": "[EMAIL]", "cc": ["[EMAIL]", {"deep": "[EMAIL]"}], "n": 3, mail: None,
    }  # fmt: skip
    assert got.text == "[EMAIL]"
    assert got.rejected == ({"role": "assistant", "content": "[EMAIL]"},)
    assert got.tools is tools
    assert checked.done == ("masked email: 9",)
    assert checked.issues[-1].message == "holds an e-mail address (and 8 more), masked"
    assert turns[1]["content"] == mail  # the row that was given is as it was
    again = check(got, on_pii="mask")
    assert again.row is got
    assert again.done == ()


def test_only_the_kinds_of_the_settings_are_looked_for() -> None:
    text = "jane@example.com 203.0.113.7"
    assert kinds(check(text, pii_kinds=["ip"])) == ["pii-ip"]
    assert kinds(check(text, pii_kinds=[])) == []


# ---- any text, real files -----------------------------------------------------------------------


_TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool"]),
        "content": st.text(st.characters(), max_size=60),
    }
)


@given(st.lists(_TURN, min_size=1, max_size=5), st.sampled_from(["keep", "mask"]))
def test_no_text_raises_and_checking_a_masked_row_masks_nothing(
    turns: list[dict[str, Any]], on_pii: str
) -> None:
    settings: dict[str, Any] = {"on_pii": on_pii, "languages": ["en"], "on_mojibake": "drop"}
    once = check(Row(tuple(turns), "f", 1), on_control_characters="keep", **settings)
    if on_pii == "mask":
        assert check(once.row, **settings).done == ()
    assert [message["role"] for message in once.row.messages] == [turn["role"] for turn in turns]


@pytest.mark.skipif(not SFT.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("llamafactory/identity.json", {"placeholder": 85}),
        ("tinker/conversations.jsonl", {}),
        ("soup/reasoning_math.jsonl", {}),
        ("torchtune/chat_tiny.json", {}),
        ("llamafactory/glaive_toolcall_zh_demo.json",
         {"role-order": 2, "pii-email": 9, "pii-secret": 15, "truncated-answer": 1}),
    ],
)  # fmt: skip
def test_real_files(file: str, expected: dict[str, int]) -> None:
    text = (SFT / file).read_text(encoding="utf-8")
    records = json.loads(text) if file.endswith(".json") else map(json.loads, text.splitlines())
    checker = Checker(DataConfig())
    found: dict[str, int] = {}
    for line, record in enumerate(records, 1):
        try:
            row = row_of(Record(record, line), file, DataConfig())
        except ShapeError:
            continue
        for issue in checker(row).issues:
            found[issue.kind] = found.get(issue.kind, 0) + 1
    assert found == expected
