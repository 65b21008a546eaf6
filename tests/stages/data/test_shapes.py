"""Every shape that others write rows in becomes the same row, or says what it is instead."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.config.models import DataConfig
from qtui.stages.data.reading import json_records, tables
from qtui.stages.data.reading.sources import locate
from qtui.stages.data.rows import Findings, Message, Record, Row
from qtui.stages.data.shapes.shapes import NotWanted, ShapeError, row_of

SFT = Path(__file__).parents[3].parent / "shared" / "data" / "sft"
needs_sft = pytest.mark.skipif(not SFT.is_dir(), reason="the folder of real data sets is absent")

QUESTION: Message = {"role": "user", "content": "q"}
ANSWER: Message = {"role": "assistant", "content": "a"}
WORSE: Message = {"role": "assistant", "content": "b"}
SYSTEM: Message = {"role": "system", "content": "s"}


def row(value: Any, **settings: Any) -> Row:
    return row_of(Record(value, 3), "x.jsonl", DataConfig(**settings))


def refused(value: Any, **settings: Any) -> tuple[str, str]:
    with pytest.raises(ShapeError) as error:
        row(value, **settings)
    return error.value.kind, str(error.value)


# ---- the files of others ------------------------------------------------------------------------

KEYS = "say in data.columns which is which (keys: "
INPUT_TARGET = ["prompt=input", "completion=target"]
# file: usable rows, or what the refusal of every row says
PLAIN: dict[str, int | str] = {
    "axolotl/alpaca.json": 2,
    "axolotl/conversation.json": 1,
    "axolotl/conversation.missingturns.json": "an answer is blank",
    "eval_inspect/biology_qa.jsonl": 20,
    "eval_inspect/samples-mcq.csv": KEYS + "input, target, choices)",
    "eval_inspect/samples-mcq.jsonl": KEYS + "input, target, choices)",
    "eval_inspect/samples-md.csv": KEYS + "input, target, label, metadata)",
    "eval_inspect/samples-md.jsonl": KEYS + "input, target, label, metadata)",
    "eval_inspect/samples.csv": KEYS + "input, target, label, extra, sandbox)",
    "eval_inspect/security_guide.jsonl": KEYS + "input, target)",
    "gpteacher/roleplay-simple-deduped-roleplay-instruct.json": 1923,
    "gpteacher/toolformer-similarity-0.6-dataset.json": 2396,
    "llamafactory/dataset_info.json": KEYS + "identity, alpaca_en_demo",
    "llamafactory/dpo_en_demo.json": "set data.preference_rows: chosen",
    "llamafactory/glaive_toolcall_en_demo.json": 300,
    "llamafactory/glaive_toolcall_zh_demo.json": 300,
    "llamafactory/identity.json": 91,
    "llamafactory/kto_en_demo.json": "(KTO), which supervised fine-tuning cannot use as it is; set "
    "data.preference_rows: chosen",
    "llamafactory/reason_tool_use_demo_50.jsonl": 50,
    "llamafactory/v1_dpo_demo.jsonl": "set data.preference_rows: chosen",
    "ms-swift/alpaca.csv": 3,
    "ms-swift/alpaca.jsonl": 3,
    "ms-swift/alpaca2.csv": 3,
    "ms-swift/chatml.jsonl": 3,
    "ms-swift/conversations.jsonl": 3,
    "ms-swift/sharegpt.jsonl": 3,
    "ms-swift/swift_multi.json": 3,
    "ms-swift/swift_multi.jsonl": 3,
    "ms-swift/swift_pre.csv": "set data.columns: [text=response] to learn it as plain text",
    "ms-swift/swift_pre.jsonl": "set data.columns: [text=response] to learn it as plain text",
    "ms-swift/swift_single.csv": 3,
    "ms-swift/swift_single.jsonl": 3,
    "not_instructions/document_people.csv": KEYS + "id, first_name, last_name, city)",
    "not_instructions/empty.parquet": 0,
    "not_instructions/history.parquet": "a row of numbers without any text (keys: Unnamed: 0",
    "not_instructions/v0.7.1.column-metadata-handling.parquet": KEYS + "a, b, c, index",
    "not_instructions/v0.7.1.parquet": KEYS + "carat, cut",
    "soup/alpaca_tiny.jsonl": 10,
    "soup/chat_preferences.jsonl": "set data.preference_rows: chosen",
    "soup/dpo_sample.jsonl": "set data.preference_rows: chosen",
    "soup/reasoning_math.jsonl": 5,
    "tinker/conversations.jsonl": 128,
    "torchtune/chat_tiny.json": 1,
    "torchtune/hh_rlhf_tiny.json": "set data.preference_rows: chosen",
    "torchtune/instruct_tiny.json": 2,
}
# file: kinds of row with preference_rows: keep, and with chosen
PREFERENCES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "llamafactory/dpo_en_demo.json": ({"pair": 300}, {"conversation": 300}),
    "llamafactory/v1_dpo_demo.jsonl": ({"pair": 10}, {"conversation": 10}),
    "soup/chat_preferences.jsonl": ({"pair": 5}, {"conversation": 5}),
    "soup/dpo_sample.jsonl": ({"pair": 8}, {"conversation": 8}),
    "torchtune/hh_rlhf_tiny.json": ({"pair": 1}, {"conversation": 1}),
    "llamafactory/kto_en_demo.json": (
        {"up": 150, "down": 150},
        {"conversation": 150, "thumbs-down": 150},
    ),
}
# file, data.columns: usable rows, the first of them as (role, text)
MAPPED: list[tuple[str, list[str], int, list[tuple[str, str]]]] = [
    ("eval_inspect/samples-mcq.csv", INPUT_TARGET, 1,
     [("user", "Which is the smallest number?"), ("assistant", "A")]),
    ("eval_inspect/samples-mcq.jsonl", INPUT_TARGET, 1,
     [("user", "Which is the smallest number?"), ("assistant", "A")]),
    ("eval_inspect/samples-md.csv", INPUT_TARGET, 1,
     [("user", "Say 'Hello, World'"), ("assistant", "Hello, World")]),
    ("eval_inspect/samples-md.jsonl", INPUT_TARGET, 1,
     [("user", "Say 'Hello, World'"), ("assistant", "Hello, World")]),
    ("eval_inspect/samples.csv", INPUT_TARGET, 1,
     [("user", "Say 'Hello, World'"), ("assistant", "Hello, World")]),
    ("eval_inspect/security_guide.jsonl", INPUT_TARGET, 16,
     [("user", "How do I prevent SQL Injection attacks?"),
      ("assistant", "use parameterized queries and prepared statements")]),
    ("not_instructions/document_people.csv", ["prompt=first_name", "completion=city"], 250,
     [("user", "Barney"), ("assistant", "Vergara")]),
    ("ms-swift/swift_pre.csv", ["text=response"], 3, [("text", "11111")]),
    ("ms-swift/swift_pre.jsonl", ["text=response"], 3, [("text", "11111")]),
]  # fmt: skip


def rows_of(name: str, **settings: Any) -> tuple[list[Row], Counter[str], list[str]]:
    """Rows, kinds of what was not usable, and what was said about that."""
    config = DataConfig(**settings)
    findings = Findings()
    (source,) = locate(str(SFT / name), config, findings)
    records: list[Record] = []
    if source.kind in ("csv", "tsv", "parquet"):
        records += tables.read(source, findings)
    else:
        for item in json_records.items(source, findings):
            records += (
                [item]
                if isinstance(item, Record)
                else json_records.parse_line(item[1], item[0], source.name, findings)
            )
    assert not findings.errors()
    rows, kinds, said = [], Counter[str](), []
    for record in records:
        try:
            rows.append(row_of(record, source.name, config))
        except (ShapeError, NotWanted) as error:
            kinds[error.kind] += 1
            said.append(str(error))
    return rows, kinds, said


def kind_of(one: Row) -> str:
    if one.rejected is not None:
        return "pair"
    if one.label is not None:
        return "up" if one.label else "down"
    return "conversation" if one.text is None else "text"


def parquet(names: list[str]) -> list[Any]:
    """Those that need pyarrow are marked."""
    return [
        pytest.param(name, marks=pytest.mark.train) if name.endswith("parquet") else name
        for name in names
    ]


@needs_sft
@pytest.mark.parametrize("name", parquet(list(PLAIN)))
def test_real_files(name: str) -> None:
    expected = PLAIN[name]
    rows, _, said = rows_of(name)
    if isinstance(expected, int):
        assert (len(rows), said) == (expected, [])
        assert {kind_of(one) for one in rows} <= {"conversation"}
        assert all(one.messages[-1]["role"] == "assistant" for one in rows)
    else:
        assert rows == []
        assert said
        assert all(expected in one for one in said)


@needs_sft
def test_every_real_file_has_an_expectation() -> None:
    files = {p.relative_to(SFT).as_posix() for p in SFT.rglob("*") if p.is_file()}
    assert files - {"README.md"} == PLAIN.keys()


@needs_sft
@pytest.mark.parametrize("name", PREFERENCES)
def test_real_preferences(name: str) -> None:
    for setting, expected in zip(("keep", "chosen"), PREFERENCES[name], strict=True):
        rows, kinds, _ = rows_of(name, preference_rows=setting)
        assert Counter(kind_of(one) for one in rows) + kinds == expected
        for one in rows:
            assert one.messages[-1]["role"] == "assistant"
            assert any(message["role"] == "user" for message in one.messages)
            if one.rejected is not None:
                assert one.rejected[0]["role"] == one.rejected[-1]["role"] == "assistant"
                assert one.messages[-len(one.rejected) :] != one.rejected


@needs_sft
@pytest.mark.parametrize("name", [n for n in PLAIN if n not in PREFERENCES and "parquet" not in n])
def test_other_rows_do_not_depend_on_preference_rows(name: str) -> None:
    assert rows_of(name)[:2] == rows_of(name, preference_rows="keep")[:2]
    assert rows_of(name)[:2] == rows_of(name, preference_rows="chosen")[:2]


@needs_sft
@pytest.mark.parametrize(("name", "columns", "count", "first"), MAPPED)
def test_real_files_with_their_columns_named(
    name: str, columns: list[str], count: int, first: list[tuple[str, str]]
) -> None:
    rows, kinds, _ = rows_of(name, columns=columns)
    assert (len(rows), kinds) == (count, {})
    said = [(message["role"], message["content"]) for message in rows[0].messages]
    assert (said or [("text", rows[0].text)]) == first


@needs_sft
def test_real_tables_say_what_they_say() -> None:
    rows, _, _ = rows_of("ms-swift/alpaca.csv")
    assert [[m["content"] for m in one.messages] for one in rows] == [
        ["00000", "11111\n22222", "3.3"],
        ["aaaaa", "ccccc"],
        ["AAAAA\nBBBBB", "CCCCC"],
    ]
    rows, _, _ = rows_of("llamafactory/v1_dpo_demo.jsonl", preference_rows="keep")
    assert [m["role"] for m in rows[0].messages] == ["system", "user", "assistant"]
    rows, _, _ = rows_of("torchtune/hh_rlhf_tiny.json", preference_rows="keep")
    assert [m["content"] for m in rows[0].messages] == [
        "What do I do when I have a hole in my trousers?",
        "Fix the hole.",
    ]
    assert rows[0].rejected == ({"role": "assistant", "content": "Take them off."},)


# ---- preferences --------------------------------------------------------------------------------

PAIRS: dict[str, Any] = {
    "flat": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "lists of answers": {"prompt": [QUESTION], "chosen": [ANSWER], "rejected": [WORSE]},
    "lists with the question": {"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, WORSE]},
    "both": {"prompt": "q", "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, WORSE]},
    "list and both": {
        "prompt": [QUESTION],
        "chosen": [QUESTION, ANSWER],
        "rejected": [QUESTION, WORSE],
    },
    "one of each": {"prompt": "q", "chosen": "a", "rejected": [WORSE]},
    "turns beside": {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    },
    "other names": {"chosen_messages": [QUESTION, ANSWER], "rejected_messages": [QUESTION, WORSE]},
    "a worse answer beside turns": {"messages": [QUESTION, ANSWER], "rejected_response": "b"},
    "a worse answer beside a pair": {"query": "q", "response": "a", "rejected_response": "b"},
    "instruction": {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_all_forms_become_the_same(name: str) -> None:
    kept = row(PAIRS[name], preference_rows="keep")
    assert (kept.messages, kept.rejected, kept.label) == ((QUESTION, ANSWER), (WORSE,), None)
    chosen = row(PAIRS[name], preference_rows="chosen")
    assert (chosen.messages, chosen.rejected) == ((QUESTION, ANSWER), None)
    assert refused(PAIRS[name])[0] == "preference-pair"
    with_system = {"system": "s", **PAIRS[name]}
    kept = row(with_system, preference_rows="keep")
    assert (kept.messages, kept.rejected) == ((SYSTEM, QUESTION, ANSWER), (WORSE,))


def test_answers_of_several_turns_part_where_they_differ() -> None:
    more: list[Message] = [ANSWER, {"role": "user", "content": "q2"}]
    value = {"chosen": [QUESTION, *more, ANSWER], "rejected": [QUESTION, *more, WORSE]}
    kept = row(value, preference_rows="keep")
    assert (kept.messages, kept.rejected) == ((QUESTION, *more, ANSWER), (WORSE,))
    value = {"chosen": [QUESTION, *more, ANSWER], "rejected": [QUESTION, WORSE, *more[1:], WORSE]}
    kept = row(value, preference_rows="keep")
    assert kept.rejected == (WORSE, more[1], WORSE)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "equal-answers", "are equal"),
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "blank-text", "rejected is blank"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "null-text", "rejected is null"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "null-text", "chosen is null"),
        ({"prompt": "q", "chosen": "a", "rejected": 3}, "wrong-type", "rejected is a number"),
        ({"chosen": "a", "rejected": "b"}, "missing-key", "an answer without a question"),
        ({"system": "s", "chosen": "a", "rejected": "b"}, "missing-key", "without a question"),
        ({"prompt": "q", "chosen": [], "rejected": "b"}, "blank-text", "chosen is empty"),
        (
            {"chosen": [QUESTION, ANSWER], "rejected": [{"role": "user", "content": "p"}, WORSE]},
            "different-prompts",
            "belong to different questions",
        ),
        (
            {"prompt": "p", "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, WORSE]},
            "different-prompts",
            "chosen begins with another question",
        ),
        (
            {"chosen": [QUESTION, ANSWER, QUESTION, ANSWER], "rejected": [QUESTION, ANSWER]},
            "equal-answers",
            "one the beginning of the other",
        ),
    ],
)
def test_pairs_that_are_none(value: Any, kind: str, message: str) -> None:
    for setting in ("keep", "chosen"):
        found, said = refused(value, preference_rows=setting)
        assert found == kind
        assert message in said


def test_columns_of_nulls_that_another_file_brought_are_no_pair() -> None:
    value = {"messages": [QUESTION, ANSWER], "chosen": None, "rejected": None, "label": None}
    assert row(value).messages == (QUESTION, ANSWER)


@pytest.mark.parametrize(
    "names", [("prompt", "completion"), ("instruction", "output"), ("input", "output")]
)
def test_a_text_beside_columns_of_nulls_is_a_text(names: tuple[str, str]) -> None:
    nulls = {**dict.fromkeys(names), "messages": None, "chosen": None, "rejected": None}
    assert row({**nulls, "label": None, "text": "words"}).text == "words"
    # A pair that lost one half, or both, is not something else.
    for left in ({names[0]: "q"}, {names[1]: "a"}, {"text": None}):
        assert refused({**nulls, **left})[0] == "null-text"
    assert refused({**nulls, "text": "words", names[0]: "q"})[0] == "null-text"


THUMBS: list[tuple[Any, bool]] = [
    ({"prompt": "q", "completion": "a", "label": True}, True),
    ({"prompt": "q", "completion": "a", "label": "False"}, False),
    ({"messages": [QUESTION, ANSWER], "label": False}, False),
    ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
      "kto_tag": True}, True),
]  # fmt: skip


@pytest.mark.parametrize(("value", "up"), THUMBS)
def test_thumbs(value: Any, up: bool) -> None:
    assert refused(value)[0] == "kto"
    kept = row(value, preference_rows="keep")
    assert (kept.messages, kept.label, kept.rejected) == ((QUESTION, ANSWER), up, None)
    if up:
        chosen = row(value, preference_rows="chosen")
        assert (chosen.messages, chosen.label) == ((QUESTION, ANSWER), None)
    else:
        with pytest.raises(NotWanted, match="thumbs-down") as left_out:
            row(value, preference_rows="chosen")
        assert left_out.value.kind == "thumbs-down"


def test_a_label_of_another_kind_is_no_thumb() -> None:
    value = {"prompt": "q", "completion": "a", "label": 1}
    assert row(value).messages == (QUESTION, ANSWER)
    for settings_ in ({"row_format": "kto"}, {"columns": ["label=label"]}):
        assert row(value, preference_rows="keep", **settings_).label is True
    value["label"] = "maybe"
    kind, said = refused(value, preference_rows="keep", row_format="kto")
    assert (kind, said) == ("wrong-type", "label is 'maybe', neither true nor false")


@pytest.mark.parametrize("history", [5, True, 1.5, "text", {"q": "a"}, [5], [["q"]], ["qa"]])
def test_a_history_that_is_none_is_refused(history: Any) -> None:
    kind, said = refused({"history": history, "instruction": "q", "output": "a"})
    assert kind == "wrong-type"
    assert said.startswith("history is ")


# ---- plain text, documents, groups --------------------------------------------------------------


def test_plain_text() -> None:
    found = row({"text": " once upon a time", "url": "u", "id": 3})
    assert (found.text, found.messages, found.tools) == (" once upon a time", (), None)
    assert refused({"text": " \n"})[0] == "blank-text"
    assert refused({"text": None, "id": "x"})[0] == "null-text"
    assert refused({"text": 5, "id": "x"}) == ("wrong-type", "text is a number, not text")


def test_a_text_with_a_label_is_for_another_task() -> None:
    kind, said = refused({"text": "great film", "label": "positive"})
    assert kind == "unknown-shape"
    assert "set data.row_format: text" in said
    assert row({"text": "great film", "label": "pos"}, row_format="text").text == "great film"
    assert row({"text": "x", "instruction": "q", "output": "a"}).messages == (QUESTION, ANSWER)


def test_pieces_of_documents_keep_where_they_stood() -> None:
    record = Record({"text": "words"}, 4, page=2, chunk=7, headings=("One", "Two"))
    config = DataConfig(columns=["prompt=x", "completion=y"], group_by="author")
    assert row_of(record, "a.pdf", config) == Row(
        (), "a.pdf", 4, text="words", page=2, chunk=7, headings=("One", "Two"), group="a.pdf"
    )


@pytest.mark.parametrize(
    ("value", "column", "group"),
    [
        ({"author": "Ann"}, "author", "Ann"),
        ({"author": 7}, "author", "7"),
        ({"author": True}, "author", "true"),
        ({"meta": {"author": {"name": "Ann"}}}, "meta.author.name", "Ann"),
        ({"meta.author": "Ann"}, "meta.author", "Ann"),
        ({"authors": ["Ann", "Ben"]}, "authors.1", "Ben"),
        ({}, "author", None),
        ({"author": None}, "author", None),
        ({"author": " "}, "author", None),
        ({"author": ["Ann"]}, "author", None),
        ({"authors": ["Ann"]}, "authors.1", None),
        ({"author": "Ann"}, "author.name", None),
    ],
)
def test_groups(value: dict[str, Any], column: str, group: str | None) -> None:
    value = {**value, "prompt": "q", "completion": "a"}
    if group is not None:
        assert row(value, group_by=column).group == group
    else:
        kind, said = refused(value, group_by=column)
        assert kind == "missing-column"
        assert "data.group_by" in said


# ---- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"data": {"question": "q", "replies": ["x", "a"]}},
         ["prompt=data.question", "completion=data.replies.1"]),
        ({"input": "q", "target": "a"}, INPUT_TARGET),
        ({"Question": "q", "answer": "a", "input": None}, ["prompt=Question"]),
        ({"instruction": "ignored", "question": "q", "answer": "a"}, ["prompt=question"]),
        ({"chat": [QUESTION, ANSWER]}, ["messages=chat"]),
        ({"chat": json.dumps([QUESTION, ANSWER])}, ["messages=chat"]),
        ({"messages": "not these", "q": "q", "a": "a"}, ["prompt=q", "completion=a"]),
        ({"prompt": "q", "completion": "a"}, ["prompt=elsewhere", "completion=in.another.file"]),
        ({"messages": json.dumps([QUESTION, ANSWER])}, ["text=story"]),
    ],
)  # fmt: skip
def test_columns(value: Any, columns: list[str]) -> None:
    assert row(value, columns=columns).messages == (QUESTION, ANSWER)


def test_all_other_roles_of_columns() -> None:
    value = {"sys": "s", "q": "q", "ctx": "more", "good": "a", "bad": "b", "fn": [{"name": "f"}]}
    columns = ["system=sys", "prompt=q", "input=ctx", "chosen=good", "rejected=bad", "tools=fn"]
    found = row(value, columns=columns, preference_rows="keep")
    asked = {"role": "user", "content": "q\nmore"}
    assert (found.messages, found.rejected) == ((SYSTEM, asked, ANSWER), (WORSE,))
    assert found.tools == ({"type": "function", "function": {"name": "f"}},)
    value = {"q": "q", "a": "a", "good": 0}
    found = row(value, columns=["prompt=q", "completion=a", "label=good"], preference_rows="keep")
    assert (found.messages, found.label) == ((QUESTION, ANSWER), False)
    assert row({"story": "words"}, columns=["text=story"]).text == "words"
    # What a row may lack.
    assert row({"q": "q", "a": "a"}, columns=["prompt=q", "completion=a", "system=sys"]).messages


def test_a_column_that_is_not_there_is_named() -> None:
    kind, said = refused({"question": "q", "a": "a"}, columns=["prompt=qestion", "completion=a"])
    assert kind == "missing-column"
    assert "there is no column qestion (data.columns: prompt=qestion; keys: question, a)" in said


def test_a_forced_shape_is_the_only_one_tried() -> None:
    value = {"instruction": "q", "output": "a", "messages": [QUESTION, WORSE], "text": "t",
             "label": True, "chosen": "a", "rejected": "b"}  # fmt: skip
    assert row(value, row_format="alpaca").messages == (QUESTION, ANSWER)
    assert row(value, row_format="messages").messages == (QUESTION, WORSE)
    assert row(value, row_format="text").text == "t"
    assert row(value, row_format="kto", preference_rows="keep").label is True
    assert refused({"text": "t"}, row_format="messages")[0] == "unknown-shape"
    assert refused({"text": "t"}, row_format="preference", preference_rows="keep")[0] == (
        "missing-key"
    )
    assert refused({"prompt": "q"}, row_format="text")[0] == "missing-key"


# ---- turns --------------------------------------------------------------------------------------


def test_nested_tool_calls_keep_their_arguments() -> None:
    arguments = {"where": {"cities": ["Rome", {"name": "Oslo", "at": [59.9, 10.7]}]}, "n": 10**20}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    for given_ in (arguments, json.dumps(arguments)):
        call["function"] = {"name": "f", "arguments": given_}
        found = row(
            {
                "messages": [
                    QUESTION,
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "content": "", "tool_call_id": "1"},
                    ANSWER,
                ]
            }
        )
        assert found.messages[1]["tool_calls"][0]["function"]["arguments"] == arguments
        assert found.messages[2]["tool_call_id"] == "1"


@pytest.mark.parametrize(
    "arguments",
    ["{broken", "[1, 2]", "NaN", '{"a": "\\ud800"}', "[" * 100_000, 3, ["x"], "7"],
    ids=lambda value: str(value)[:12],
)
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert refused({"messages": [QUESTION, turn]})[0] == "tool-call"


def test_messages_as_json_in_a_cell() -> None:
    assert row({"messages": json.dumps([QUESTION, ANSWER])}).messages == (QUESTION, ANSWER)
    kind, said = refused({"conversations": "[{'role': 'user', 'content': 'q'}]"})
    assert (kind, said) == ("broken-cell", "the text of conversations is not valid JSON")


# ---- laws ---------------------------------------------------------------------------------------

_keys = st.sampled_from([
    "messages", "conversations", "prompt", "completion", "input", "output", "text", "chosen",
    "rejected", "label", "tools", "system", "history", "role", "content", "from", "value", "human",
    "assistant", "tool_calls", "function", "name", "arguments", "type", "kto_tag", "instruction",
])  # fmt: skip
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.sampled_from(
        ["user", "assistant", "gpt", "human", "system", "tool", "text", "function_call"]
    )
    | st.text('ab \n[{"', max_size=4)
)
_records = st.dictionaries(
    _keys,
    st.recursive(
        _leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=5,
)


def texts_in(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(texts_in, inner))


@settings(max_examples=300)
@given(
    _records,
    st.sampled_from(["auto", "messages", "alpaca", "sharegpt", "text", "preference", "kto"]),
    st.sampled_from([[], ["prompt=input", "completion=text"], ["messages=value"], ["label=name"]]),
    st.sampled_from(["refuse", "chosen", "keep"]),
)
def test_no_record_crashes_and_nothing_is_invented(
    record: dict[str, Any],
    row_format: Any,
    columns: list[str],
    preference_rows: Literal["refuse", "chosen", "keep"],
) -> None:
    config = DataConfig(row_format=row_format, columns=columns, preference_rows=preference_rows)
    before = json.dumps(record)
    found: Row | None = None
    said = "used"
    try:
        found = row_of(Record(record, 1), "x", config)
    except (ShapeError, NotWanted) as error:
        said = f"{error.kind}: {error}"
    assert json.dumps(record) == before
    assert len(said) > 3
    if found is None:
        return
    texts = texts_in(record)
    if found.text is not None:
        assert found.text in texts
        assert found.messages == ()
        return
    assert found.messages[-1]["role"] == "assistant"
    pieces = re.compile("|".join([*(re.escape(text) for text in texts if text), "\n"]))
    for message in (*found.messages, *(found.rejected or ())):
        content = message["content"]
        assert re.fullmatch(f"(?:{pieces.pattern})*", content)
        if message["role"] == "assistant":
            assert content.strip() or message["tool_calls"]
