"""Holds out rows for evaluation: by what they say, so that order and file names do not matter.

Every distinct conversation gets a number from the seed and its own content; those with the lowest
numbers are held out. Two copies of a conversation therefore always fall on the same side, the same
seed gives the same split whatever the order of the files, and rows added later move few others.
"""

from __future__ import annotations

import hashlib

from qtui.stages.data.rows import Findings, Row


def hold_out(
    rows: list[Row], share: float, seed: int, findings: Findings
) -> tuple[list[Row], list[Row]]:
    """Return (training rows, held-out rows), each in the order given.

    `share` is of distinct conversations; above 0, at least one is held out as long as one is left
    to train on.
    """
    if share <= 0:
        return list(rows), []
    keys = [row.key() for row in rows]
    distinct = set(keys)
    if len(distinct) < 2:
        findings.add("warning", "no-validation", "one conversation only: none can be held out")
        return list(rows), []
    number = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    salt = seed.to_bytes(8, "little")

    def rank(key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=16, salt=salt).digest()

    held = set(sorted(distinct, key=rank)[:number])
    train = [row for row, key in zip(rows, keys, strict=True) if key not in held]
    validation = [row for row, key in zip(rows, keys, strict=True) if key in held]
    return train, validation


def remove_shared(rows: list[Row], validation: list[Row], findings: Findings) -> list[Row]:
    """Return the training rows that do not also stand in `validation`; the others are findings."""
    held = {row.key() for row in validation}
    train = []
    for row in rows:
        if row.key() in held:
            message = "also stands in the validation rows; not trained on"
            findings.add("warning", "leak", message, row.source, row.line)
        else:
            train.append(row)
    return train
