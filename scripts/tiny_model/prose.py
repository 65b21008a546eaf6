"""Plain sentences and tiny stories, so that the model has also read ordinary running text."""

from __future__ import annotations

from random import Random

from tiny_model import values

VERBS = (
    ("opens", "opened"), ("finds", "found"), ("paints", "painted"), ("carries", "carried"),
    ("repairs", "repaired"), ("buys", "bought"), ("loses", "lost"), ("cleans", "cleaned"),
    ("likes", "liked"), ("sees", "saw"), ("wants", "wanted"), ("brings", "brought"),
)  # fmt: skip
FEELINGS = ("happy", "tired", "proud", "hungry", "curious", "calm", "late", "early")


def sentence(rng: Random, who: str) -> str:
    """One sentence about somebody."""
    now, then = rng.choice(VERBS)
    thing, place = values.noun(rng), rng.choice(values.PLACES)
    month = rng.choice(values.MONTHS)
    return rng.choice(
        (
            f"{who} {then} the {thing} in {place}.",
            f"Every {rng.choice(values.DAYS)} {who} {now} a {thing}.",
            f"In {month}, {who} {then} a {thing} and was {rng.choice(FEELINGS)}.",
            f"{who} was {rng.choice(FEELINGS)} because the {thing} was not in {place}.",
            f"The {thing} stood beside the {rng.choice(values.MACHINES)}.",
            f"At {values.clock(rng)} {who} went to {place} with a {thing}.",
            f"After {values.span(rng)[0]}, {who} was {rng.choice(FEELINGS)}.",
            f'"Where is the {thing}?" asked {who}.',
            f"{who} is from {place} and {now} the {thing}.",
        )
    )


def story(rng: Random) -> str:
    """Two to five sentences, mostly about one person."""
    who = rng.choice(values.PEOPLE)
    other = rng.choice(values.PEOPLE)
    return " ".join(
        sentence(rng, who if rng.random() < 0.7 else other) for _ in range(rng.randint(2, 5))
    )
