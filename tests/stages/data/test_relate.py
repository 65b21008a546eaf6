"""What becomes of rows in view of each other, seen from the rows that are left."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from qtui.config.models import DataConfig
from tests.stages.data.collecting import Loaded, load

LONG = " ".join(f"word{number}" for number in range(60))


def words(number: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices([f"w{n}" for n in range(400)], k=number))


def loaded(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Loaded:
    """Prepare `rows`; `held` are those of a validation file."""
    for name in ("validation", "test"):
        held = settings.pop(name, None)
        if held is not None:
            settings[f"{name}_path"] = written(folder / f"{name}.jsonl", held)
    seed = settings.pop("seed", 1)
    path = written(folder / "rows.jsonl", rows)
    values = {"input_path": path, "validation_split": 0, "preference_rows": "keep", **settings}
    return load(DataConfig(**values), seed=seed)


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def call(name: str, argument: str, question: str = LONG) -> dict[str, Any]:
    function = {"name": name, "arguments": {"of": argument}}
    return {
        "messages": [
            {"role": "user", "content": question},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": function}],
            },
        ]
    }


# ---- what makes two rows alike ------------------------------------------------------------------


def test_another_call_behind_one_question_is_no_near_duplicate(tmp_path: Path) -> None:
    rows = [call(name, "x") for name in ("weather", "news", "stocks", "mail", "calendar", "notes")]
    result = loaded(tmp_path, rows, validation=[call("maps", "x")])
    assert len(result.train) == 6
    assert not result.findings.counts


def test_the_arguments_of_a_call_are_compared_like_words(tmp_path: Path) -> None:
    short = [call("weather", words(9, seed), "What is it like there?") for seed in range(5)]
    result = loaded(tmp_path, [*short, call("weather", "Rome"), call("weather", "Oslo")])
    assert result.findings.counts == {"near-duplicate": 1}
    (finding,) = result.findings.kept
    assert (finding.line, finding.message[:12]) == (7, "is 97% the s")


DIFFERENT: dict[str, list[dict[str, Any]]] = {
    "thumb": [
        {"prompt": LONG, "completion": words(30, 1), "label": True},
        {"prompt": LONG, "completion": words(30, 1) + " more", "label": False},
    ],
    "worse answer": [
        {"prompt": LONG, "chosen": "the better", "rejected": words(60, seed)} for seed in (1, 2)
    ],
    "system text": [
        {"system": f"You are bot {n}.", "instruction": LONG, "output": "an answer"} for n in (1, 2)
    ],
    "tools": [
        {
            **call("weather", "x"),
            "tools": [{"type": "function", "function": {"name": name, "parameters": {}}}],
        }
        for name in ("weather", "news")
    ],
    "a worse answer at all": [
        {"prompt": LONG, "completion": "the better of the two"},
        {"prompt": LONG, "chosen": "the better of the two", "rejected": "bad"},
    ],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_rows_that_differ_in_more_than_words_are_no_near_duplicates(
    tmp_path: Path, name: str
) -> None:
    rows = DIFFERENT[name]
    result = loaded(tmp_path, rows, on_near_duplicate="drop", max_bad_rows=0)
    assert len(result.train) == 2
    assert not result.findings.counts


@pytest.mark.parametrize("name", ["thumb", "worse answer", "system text", "tools"])
def test_rows_that_have_them_in_common_still_are(tmp_path: Path, name: str) -> None:
    row = DIFFERENT[name][0]
    near = json.loads(json.dumps(row).replace("word59", "changed"))
    result = loaded(tmp_path, [row, near], on_near_duplicate="drop")
    assert len(result.train) == 1
    assert result.findings.counts == {"near-duplicate": 1}


# ---- two sides ----------------------------------------------------------------------------------

ONE = [f"word{number}" for number in range(100)]
TWO = ONE[8:] + [f"new{number}" for number in range(8)]
THREE = ONE[16:] + [f"new{number}" for number in range(16)]
CHAIN = [{"text": " ".join(row)} for row in (ONE, TWO, THREE)]
"""The first is like the second, the second like the third, the first not like the third."""
OTHERS = [{"text": words(60, seed)} for seed in range(3)]


def texts(rows: list[Any]) -> list[str]:
    return [row.text for row in rows]


def test_a_row_like_any_held_out_row_is_a_leak(tmp_path: Path) -> None:
    result = loaded(tmp_path, [CHAIN[2], *OTHERS], validation=CHAIN[:2])
    assert texts(result.train) == [row["text"] for row in OTHERS]
    assert result.findings.counts == {"near-duplicate": 1, "leak": 1}
    (leak,) = [found for found in result.findings.kept if found.kind == "leak"]
    assert "validation.jsonl:2 of the validation rows" in leak.message


def test_a_leak_is_found_where_an_earlier_training_row_is_alike_too(tmp_path: Path) -> None:
    """The second training row is like the first, which is no leak, and like a held-out row."""
    four = {"text": " ".join(ONE[24:] + [f"new{number}" for number in range(24)])}
    result = loaded(tmp_path, [four, CHAIN[2], *OTHERS], validation=CHAIN[:2])
    assert texts(result.train) == [four["text"], *[row["text"] for row in OTHERS]]


def test_a_held_out_row_that_is_not_used_makes_no_leak(tmp_path: Path) -> None:
    rows = [CHAIN[2], *OTHERS]
    result = loaded(tmp_path, rows, validation=CHAIN[:2], on_near_duplicate="drop")
    assert len(result.validation) == 1
    assert texts(result.train) == [row["text"] for row in rows]


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_are_split_together_along_a_chain(tmp_path: Path, seed: int) -> None:
    result = loaded(tmp_path, CHAIN + OTHERS, validation_split=0.5, seed=seed)
    sides = [{row["text"] for row in CHAIN} & set(texts(rows)) for rows in
             (result.train, result.validation)]  # fmt: skip
    assert sorted(map(len, sides)) == [0, 3]


def test_rows_that_all_belong_together_are_said_to(tmp_path: Path) -> None:
    result = loaded(tmp_path, CHAIN, validation_split=0.5)
    assert len(result.train) == 3
    (finding,) = [found for found in result.findings.kept if found.kind == "no-validation"]
    assert "near duplicates" in finding.message


@pytest.mark.parametrize("near", ["keep", "drop"])
def test_a_copy_that_is_kept_leaks_as_its_first_does(tmp_path: Path, near: str) -> None:
    held = {"text": " ".join(ONE)}
    leak = {"text": " ".join([*ONE[:-1], "changed"])}
    result = loaded(
        tmp_path,
        [leak, leak, *OTHERS],
        validation=[held],
        on_duplicate="keep",
        on_near_duplicate=near,
    )
    assert texts(result.train) == [row["text"] for row in OTHERS]
    assert result.findings.counts == {"duplicate": 1, "leak": 2}


def test_a_copy_that_is_kept_falls_away_with_its_first(tmp_path: Path) -> None:
    near = {"text": " ".join([*ONE[:-1], "changed"])}
    rows = [CHAIN[0], near, near, *OTHERS]
    result = loaded(tmp_path, rows, on_duplicate="keep", on_near_duplicate="drop")
    assert texts(result.train) == [CHAIN[0]["text"], *[row["text"] for row in OTHERS]]
    kept = loaded(tmp_path, rows, on_duplicate="keep")
    assert len(kept.train) == 6
    assert kept.findings.counts == {"duplicate": 1, "near-duplicate": 1}


# ---- variations ---------------------------------------------------------------------------------


def asked(number: int, text: str) -> dict[str, Any]:
    return {"instruction": f"{text} {number}?", "output": f"{number} and {words(5, number)}"}


def test_variations_that_cannot_be_made_are_said(tmp_path: Path) -> None:
    german = [asked(n, "Wie heißt denn bitte die Nummer, von der wir reden,") for n in range(12)]
    english = [asked(n, "What is the name of the number that we talk about,") for n in range(12)]
    said = loaded(tmp_path, german, augment_share=0.3).collected.mixed
    assert said == [
        "augment_share: 0 of 5 wanted variations were made: 0 of 12 training rows can be varied "
        "(conversations in English without tools)"
    ]
    own = {"augment_share": 0.8, "augment_templates": ["{instruction} Please."]}
    said = loaded(tmp_path, [*english[:6], call("f", "x")], **own).collected.mixed
    assert said == [
        "augment_share: 6 of 28 wanted variations were made: 6 of 7 training rows can be varied "
        "(conversations without tools), each in 1 wording"
    ]
    assert loaded(tmp_path, english, augment_share=0.3).collected.mixed == []
