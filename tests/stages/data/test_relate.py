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
