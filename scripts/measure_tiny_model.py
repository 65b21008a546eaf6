"""Measure what fine-tuning did to `builtin:tiny`: base against tuned, on the whole test split.

    qtui quickstart
    python scripts/measure_tiny_model.py --base --adapter runs/NAME/adapter

NF4 with double quantisation below the adapter, greedy answers. Prints one JSON object a
measurement: how many answers are valid sessions, how often each field and all fields at once are
exact, and (for the base) how often a string that no training ever showed is copied right.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit
from jsonschema import Draft202012Validator
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from qtui.builtin import data_path, model_path
from tiny_model import tasks, values

FIELDS = ("device", "applicationServer", "qosProfile", "duration")


def load(path: Path, nf4: bool) -> Any:
    """The model in bf16, or in NF4 with double quantisation."""
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.bfloat16, quantization_config=quantised if nf4 else None
    )
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # On AVX512-BF16 an evaluation would repack the weights and spoil later training.
            module.support_avx512bf16_for_cpu = False
    return model


@torch.no_grad()
def answers(model: Any, tokenizer: Any, prompts: list[list[dict[str, str]]]) -> list[str]:
    """Greedy answers to all prompts."""
    model.eval()
    tokenizer.padding_side = "left"
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i][-1]["content"]))
    result = [""] * len(prompts)
    for at in range(0, len(order), 50):
        picked = order[at : at + 50]
        batch = tokenizer.apply_chat_template(
            [prompts[i] for i in picked], add_generation_prompt=True, padding=True,
            return_tensors="pt", return_dict=True,
        )  # fmt: skip
        made = model.generate(**batch, max_new_tokens=120, do_sample=False)
        made = made[:, batch["input_ids"].shape[1] :]
        for i, text in zip(
            picked, tokenizer.batch_decode(made, skip_special_tokens=True), strict=True
        ):
            result[i] = text
    tokenizer.padding_side = "right"
    model.train()
    return result


def copying(model: Any, tokenizer: Any, count: int = 100) -> dict[str, float]:
    """Exact answers to fresh tasks of a few skills, in percent."""
    rng = Random("unseen")
    result = {}
    for skill in (tasks.copy, tasks.which_address, tasks.seconds, tasks.classify,
                  tasks.described_object):  # fmt: skip
        rows = [skill(rng) for _ in range(count)]
        given = answers(model, tokenizer, [row[:-1] for row in rows])
        right = sum(g == row[-1]["content"] for g, row in zip(given, rows, strict=True))
        result[skill.__name__] = 100 * right / count
    quads = [values.ipv4(rng) for _ in range(count)]
    given = answers(model, tokenizer, [tasks.ask(f"Repeat: {q}", "")[:-1] for q in quads])
    result["address"] = 100 * sum(g == q for g, q in zip(given, quads, strict=True)) / count
    return result


def score(model: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Schema-valid answers and exact fields, in percent of `rows`."""
    began = time.monotonic()
    schema = json.loads((data_path() / "session.schema.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    valid = every = 0
    exact = dict.fromkeys(FIELDS, 0)
    wrong = []
    given = answers(model, tokenizer, [row["messages"][:-1] for row in rows])
    for row, text in zip(rows, given, strict=True):
        wanted = json.loads(row["messages"][-1]["content"])
        try:
            got = json.loads(text)
        except ValueError:
            got = None
        good = isinstance(got, dict) and validator.is_valid(got)
        valid += good
        hits = {f: isinstance(got, dict) and got.get(f) == wanted[f] for f in FIELDS}
        for field in FIELDS:
            exact[field] += hits[field]
        whole = good and got == wanted
        every += whole
        if not whole and len(wrong) < 8:
            wrong.append((row["messages"][0]["content"], text))
    share = 100 / len(rows)
    return {
        "rows": len(rows),
        "valid": valid * share,
        **{f: n * share for f, n in exact.items()},
        "all": every * share,
        "seconds": round(time.monotonic() - began, 1),
        "wrong": wrong,
    }


def report(name: str, result: dict[str, Any]) -> None:
    for asked, got in result.pop("wrong", []):
        print(f"  asked {asked}\n  got   {got}")
    print(json.dumps({"what": name, **result}), flush=True)


def main() -> None:
    """Measure the base, the adapter on top of it, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=model_path())
    parser.add_argument("--adapter", type=Path, help="a run's adapter/ folder")
    parser.add_argument("--base", action="store_true", help="measure the base too")
    parser.add_argument("--rows", type=int, default=200)
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    lines = (data_path() / "test.jsonl").read_text(encoding="utf-8").splitlines()
    test = [json.loads(line) for line in lines[: given.rows]]
    if given.base:
        for nf4 in (False, True):
            base = load(given.model, nf4)
            report(f"base nf4={nf4}", score(base, tokenizer, test))
            report(f"base skills nf4={nf4}", copying(base, tokenizer))
    if given.adapter:
        tuned = PeftModel.from_pretrained(load(given.model, nf4=True), given.adapter)
        report("tuned nf4", score(tuned, tokenizer, test))


if __name__ == "__main__":
    main()
