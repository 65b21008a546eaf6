"""Make `builtin:tiny` again from nothing but this repository and a seed.

    python scripts/make_tiny_model.py --out src/qtui/builtin/tiny

Writes the tokenizer first, then the weights so far every five minutes. About 45 minutes on two
cores; floating-point sums differ between machines, so the result is alike but not bit-identical.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoTokenizer

from tiny_model import pretraining, vocabulary

OUT = Path(__file__).parents[1] / "src" / "qtui" / "builtin" / "tiny"


def main() -> None:
    """Parse, train the tokenizer, pre-train."""
    plan = pretraining.Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--tokens", type=int, default=plan.tokens)
    parser.add_argument("--minutes", type=float, default=plan.minutes, help="upper limit")
    parser.add_argument("--learning-rate", type=float, default=plan.learning_rate)
    parser.add_argument("--batch", type=int, default=plan.batch)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--go-on-from", type=Path, help="folder of a run that was cut off")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.go_on_from:
        tokenizer = AutoTokenizer.from_pretrained(given.go_on_from)
    else:
        tokenizer = vocabulary.train(pretraining.sample_texts(given.seed, 40_000))
    vocabulary.save(tokenizer, given.out)
    plan = pretraining.Plan(
        seed=given.seed, tokens=given.tokens, minutes=given.minutes,
        learning_rate=given.learning_rate, batch=given.batch,
    )  # fmt: skip
    seen = pretraining.pretrain(tokenizer, plan, given.out, given.go_on_from)
    print(f"{seen:,} tokens")


if __name__ == "__main__":
    main()
