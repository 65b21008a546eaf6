"""Prepared data as a worker leaves them in a run's folder, the same on every machine.

    folder = write(run.data, tickets())         # 48 rows with everything that a screen can show
    folder = many(run.data, 10_000_000)         # as many small rows as wanted, within seconds

The format is that of `qtui.runs.dataset`. The tokens are made by a simple rule and not by a
tokenizer, so that no test needs one.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec

from qtui.runs.dataset import (
    BATCH,
    FINDINGS,
    PARTS,
    REPORT,
    ROWS,
    TOKENS,
    Finding,
    Part,
    StoredRow,
    StoredTokens,
)

_PIECE = re.compile(r"<\|[a-z_]+\|>| ?\w+|\s+|[^\w\s]")
SEQUENCE = 64
"""max_seq_length of the made data, in tokens."""


@dataclass
class Made:
    """Rows with what became of them, and what was found."""

    rows: list[StoredRow] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    tokens: list[StoredTokens | None] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, row: StoredRow, part: Part, *found: tuple[str, str, str]) -> None:
        """Add a row, and a finding (level, kind, message) about it each."""
        number = len(self.rows)
        self.rows.append(row)
        self.parts.append(part)
        self.tokens.append(tokens_of(row) if part.used else None)
        self.findings += [
            Finding(level, kind, message, row.source, row.line, number)  # type: ignore[arg-type]
            for level, kind, message in found
        ]


def key(text: str) -> str:
    """A row's key: 16 hexadecimal digits."""
    return f"{zlib.crc32(text.encode()):08x}{zlib.adler32(text.encode()):08x}"


def conversation(source: str, line: int, *turns: str, **more: Any) -> StoredRow:
    """A row whose turns are said by user and assistant in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    more.setdefault("raw", {"messages": messages})
    return StoredRow(source=source, line=line, key=key("\0".join(turns)), messages=messages, **more)


def tokens_of(row: StoredRow) -> StoredTokens:
    """The row in a template like that of Llama 3, in tokens; answers are trained."""
    text = "" if row.text is None else row.text
    trained = [(0, len(text))] if text else []
    for message in row.messages:
        text += f"<|start_header_id|>{message['role']}<|end_header_id|>\n\n"
        start = len(text)
        text += f"{message['content']}<|eot_id|>"
        if message["role"] == "assistant":
            trained.append((start, len(text)))
    pieces = list(_PIECE.finditer(text))
    ends = [piece.end() for piece in pieces]
    ids = [zlib.crc32(piece[0].encode("utf-8", "surrogatepass")) % 32000 for piece in pieces]
    kept = min(len(ids), SEQUENCE)
    learnt = sum(any(first < end <= last for first, last in trained) for end in ends[:kept])
    return StoredTokens(
        text=text,
        trained=trained,
        ids=struct.pack(f"<{len(ids)}I", *ids),
        ends=struct.pack(f"<{len(ends)}I", *ends),
        kept=kept,
        trained_tokens=learnt,
    )


# ---- the files -----------------------------------------------------------------------------------


def write(folder: Path, made: Made, *, report: dict[str, Any] | None = None) -> Path:
    """The files of `made` in `folder`; `report` is laid over what is reckoned from the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    records(folder / ROWS, (msgspec.json.encode(row) + b"\n" for row in made.rows))
    records(
        folder / TOKENS,
        (msgspec.msgpack.encode(tokens) if tokens else b"" for tokens in made.tokens),
    )
    records(folder / FINDINGS, (msgspec.json.encode(found) + b"\n" for found in made.findings))
    (folder / PARTS).write_bytes(bytes(made.parts))
    (folder / REPORT).write_text(json.dumps(report_of(made) | (report or {})))
    (folder / "manifest.json").write_text("{}")
    return folder


def records(path: Path, frames: Iterable[bytes]) -> None:
    """`frames` one behind the other, and the index beside them."""
    ends = array("Q", [0])
    with path.open("wb") as file:
        for frame in frames:
            file.write(frame)
            ends.append(ends[-1] + len(frame))
    path.with_name(f"{path.name}.index").write_bytes(ends.tobytes())


def report_of(made: Made) -> dict[str, Any]:
    """What a worker writes into report.json, with all fields."""
    used = [
        (tokens, part)
        for tokens, part in zip(made.tokens, made.parts, strict=True)
        if tokens is not None
    ]
    training = [tokens for tokens, part in used if part is Part.TRAIN]
    lengths = sorted(len(tokens.ids) // 4 for tokens, _ in used) or [0]
    tokens = sum(t.kept for t in training)
    trained = sum(t.trained_tokens for t in training)
    parts = Counter(made.parts)
    edges = [0, 16, 24, 32, 40, 48, 64, 96, 192]
    sources = dict.fromkeys(row.source for row in made.rows)
    return {
        "rows_read": len(made.rows),
        "cleaned": {"white space": 3},
        "rows_bad": parts[Part.UNUSABLE],
        "rows_shared": 0,
        "rows_dropped": parts[Part.UNTRAINED],
        "train_rows": parts[Part.TRAIN],
        "validation_rows": parts[Part.VALIDATION],
        "test_rows": parts[Part.TEST],
        "rows_truncated": sum(len(t.ids) // 4 > t.kept for t, _ in used),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_share": trained / (tokens or 1),
        "validation_tokens": 0,
        "max_seq_length": SEQUENCE,
        "lengths": {
            "p50": lengths[len(lengths) // 2],
            "p90": lengths[len(lengths) * 9 // 10],
            "p99": lengths[len(lengths) * 99 // 100],
            "max": lengths[-1],
        },
        "template": "llama3",
        "mask": "turns",
        "suggestions": ["raise training.max_seq_length to 96: then no row is cut"],
        "findings": msgspec.to_builtins(made.findings[:20]),
        "finding_counts": dict(Counter(found.kind for found in made.findings)),
        "finding_levels": {found.kind: found.level for found in made.findings},
        "sources": [
            {
                "name": source,
                "rows": sum(row.source == source for row in made.rows),
                "used": sum(
                    row.source == source and part.used
                    for row, part in zip(made.rows, made.parts, strict=True)
                ),
                "findings": sum(found.source == source for found in made.findings),
            }
            for source in sources
        ],
        "length_histogram": {
            "edges": edges,
            "counts": [
                sum(low <= length < high for length in lengths) for low, high in pairwise(edges)
            ],
        },
        "parts": {part.name.lower(): parts[part] for part in Part if parts[part]},
        "packing_efficiency": 0.97,
        "content_hash": "9f3a41c2d07be6558812",
        "seconds": 1.24,
        "epoch_seconds": 81.0,
        "epoch_cost": 0.0155,
    }


# ---- a folder of documents and tickets -----------------------------------------------------------

ANSWERS = (
    "Open Orders, choose Return, and print the label.",
    "Refunds take five days after the parcel has reached us.",
    "Hold the button for ten seconds until the lamp blinks twice.",
    "The courier collects it between nine and noon.",
    "We ship to all countries of the Union, and to Norway.",
)
QUESTIONS = (
    "How do I return a lamp?",
    "When do I get my money back?",
    "The lamp does not turn on. What can I do?",
    "Do I have to bring the parcel to a shop?",
    "Do you ship abroad?",
)


def tickets(rows: int = 48) -> Made:
    """Documents, tickets and an export, with a row of everything that can happen to one."""
    made = Made()
    for number in range(rows):
        question, answer = QUESTIONS[number % 5], ANSWERS[number % 5]
        part = (Part.VALIDATION if number % 12 == 7 else Part.TEST if number % 12 == 11
                else Part.TRAIN)  # fmt: skip
        special = _SPECIAL.get(number)
        if special is not None:
            special(made, number)
        elif number % 3 == 0:
            made.add(
                conversation(
                    "faq.pdf", number + 1, question, f"{answer} (page {number})",
                    page=number // 4 + 1, chunk=number % 4 + 1, headings=["Help", "Returns"],
                    group="faq.pdf", language="en",
                ),
                part,
            )  # fmt: skip
        else:
            made.add(
                conversation(
                    "tickets.jsonl", number + 1, question, f"{answer} Ticket {number}.",
                    language="en",
                ),
                part,
            )  # fmt: skip
    made.findings.append(
        Finding("error", "no_text", "has no text: it was scanned", "scans/old.pdf")
    )
    return made


def _cleaned(made: Made, number: int) -> None:
    before = [
        "How do I  return a lamp?  \r\n",
        "Open Orders,\u00a0choose Return\x07, and print it.",
    ]
    row = conversation(
        "tickets.jsonl", number + 1, "How do I return a lamp?",
        "Open Orders, choose Return, and print it.",
        before=before, done=["white space", "control characters"],
        raw={"messages": [{"role": "user", "content": before[0]},
                          {"role": "assistant", "content": before[1]}]},
    )  # fmt: skip
    made.add(row, Part.TRAIN, ("note", "control_characters", "1 control character was removed"))


def _broken(made: Made, number: int) -> None:
    row = StoredRow(
        source="tickets.jsonl", line=number + 1, raw='{"messages": [{"role": "user", "cont',
        error="is not valid JSON: it ends within a text",
    )  # fmt: skip
    made.add(row, Part.UNUSABLE, ("error", "broken_json", "ends within a text, at character 37"))


def _near(made: Made, number: int) -> None:
    row = conversation("export.csv", number + 1, QUESTIONS[0], f"{ANSWERS[0]} Please.")
    made.add(row, Part.TRAIN, ("warning", "near_duplicate", "says nearly what row 1 says (0.86)"))


def _same(made: Made, number: int) -> None:
    row = conversation("export.csv", number + 1, QUESTIONS[0], f"{ANSWERS[0]} (page 0)")
    made.add(row, Part.DUPLICATE, ("warning", "duplicate", "says the same as row 1"))


def _personal(made: Made, number: int) -> None:
    row = conversation(
        "export.csv", number + 1, "Where is my order? My address is [EMAIL], phone [PHONE].",
        "It left our house this morning.", done=["2 masked"],
        before=["Where is my order? My address is ann@example.org, phone +49 30 901820.",
                "It left our house this morning."],
    )  # fmt: skip
    made.add(row, Part.TRAIN, ("warning", "pii", "e-mail address, phone number"))


def _long(made: Made, number: int) -> None:
    answer = " ".join(f"Step {n}: turn the screw by {n * 5} degrees." for n in range(1, 16))
    row = conversation("manual.docx", number + 1, "How do I calibrate the lamp?", answer,
                       chunk=3, headings=["Calibration"])  # fmt: skip
    length = len(tokens_of(row).ids) // 4
    made.add(row, Part.TRAIN, ("warning", "truncated", f"{length} tokens, cut at {SEQUENCE}"))


def _tools(made: Made, number: int) -> None:
    call = {"type": "function", "function": {"name": "find_order", "arguments": '{"id": 5512}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You help customers of a lamp shop."},
        {"role": "user", "content": "Where is order 5512?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"state": "sent"}', "name": "find_order"},
        {"role": "assistant", "content": "It was sent this morning."},
    ]
    tools = [{"type": "function", "function": {"name": "find_order", "description": "Finds it."}}]
    row = StoredRow(
        source="tickets.jsonl", line=number + 1, key=key(f"tools {number}"), messages=messages,
        tools=tools, raw={"messages": messages, "tools": tools},
    )  # fmt: skip
    made.add(row, Part.TRAIN)


def _plain(made: Made, number: int) -> None:
    text = "Lamps of the series A\nA1  12 W\tE14\nA2  20 W\tE27\n"
    row = StoredRow(source="faq.pdf", line=number + 1, key=key(text), text=text, page=9, chunk=1,
                    raw={"text": text}, headings=["Help", "Table"])  # fmt: skip
    made.add(row, Part.TRAIN, ("note", "language", "no language can be told"))


def _pair(made: Made, number: int) -> None:
    row = conversation(
        "export.csv", number + 1, QUESTIONS[4], ANSWERS[4],
        rejected=[{"role": "assistant", "content": "No."}], derived=4,
    )  # fmt: skip
    made.add(row, Part.TRAIN)


_SPECIAL = {
    2: _cleaned,
    3: _tools,
    5: _broken,
    8: _near,
    9: _same,
    10: _personal,
    13: _long,
    14: _plain,
    17: _broken,
    20: _near,
    22: _pair,
    26: _personal,
    31: _near,
}


def batch(folder: Path, made: Made, *, kind: str = "packed", length: int = SEQUENCE) -> Path:
    """Write batch.json: the first training rows packed into two sequences of `length` tokens (or
    padded: one in each)."""
    sequences: list[list[dict[str, int]]] = [[], []]
    ids: list[list[int]] = [[], []]
    labels: list[list[int]] = [[], []]
    positions: list[list[int]] = [[], []]
    at = 0
    for number, tokens in enumerate(made.tokens):
        if tokens is None or made.parts[number] is not Part.TRAIN:
            continue
        row = tokens.token_ids()[: tokens.kept]
        if len(ids[at]) + len(row) > length or (kind == "padded" and ids[at]):
            at += 1
            if at == len(ids):
                break
        learnt = [
            token if any(first < end <= last for first, last in tokens.trained) else -100
            for token, end in zip(row, tokens.token_ends(), strict=False)
        ]
        start = len(ids[at])
        sequences[at].append({"row": number, "start": start, "end": start + len(row)})
        ids[at] += row
        labels[at] += learnt
        positions[at] += range(len(row))
    for at in range(2):
        missing = length - len(ids[at])
        ids[at] += [0] * missing
        labels[at] += [-100] * missing
        positions[at] += range(missing)
    document = {
        "kind": kind,
        "rows": sequences,
        "length": length,
        "input_ids": ids,
        "labels": labels,
        "position_ids": positions if kind == "packed" else None,
    }
    path = folder / BATCH
    path.write_text(json.dumps(document))
    return path


# ---- many rows -----------------------------------------------------------------------------------

_DISTINCT = 1000


def many(folder: Path, rows: int, *, findings: int = 2000) -> Path:
    """`rows` small rows (a multiple of 1000), a thousand of which differ; quickly."""
    import numpy

    folder.mkdir(parents=True, exist_ok=True)
    made = Made()
    for number in range(_DISTINCT):
        row = StoredRow("t.jsonl", number + 1, key(str(number)), text=f"Ticket {number}.")
        part = Part.DUPLICATE if number % 97 == 5 else Part.TRAIN
        made.add(row, Part.VALIDATION if number % 50 == 7 else part)
    times = rows // _DISTINCT
    blocks = {
        ROWS: [msgspec.json.encode(row) + b"\n" for row in made.rows],
        TOKENS: [msgspec.msgpack.encode(t) if t else b"" for t in made.tokens],
    }
    for name, frames in blocks.items():
        block = b"".join(frames)
        ends = numpy.fromiter(accumulate(map(len, frames)), dtype="<u8")
        with (folder / name).open("wb") as file:
            for count in _portions(times, 200):
                file.write(block * count)
        with (folder / f"{name}.index").open("wb") as file:
            file.write(bytes(8))
            for first in range(0, times, 500):
                starts = numpy.arange(first, min(first + 500, times), dtype="<u8") * len(block)
                file.write((starts[:, None] + ends[None, :]).tobytes())
    with (folder / PARTS).open("wb") as file:
        for count in _portions(times, 1000):
            file.write(bytes(made.parts) * count)
    kinds = (("warning", "near_duplicate"), ("warning", "pii"), ("note", "language"))
    found = [
        Finding(level, kind, "found", "t.jsonl", at, at * (rows // max(findings, 1)))  # type: ignore[arg-type]
        for at in range(findings)
        for level, kind in [kinds[at % 3]]
    ]
    records(folder / FINDINGS, (msgspec.json.encode(each) + b"\n" for each in found))
    report = report_of(made)
    for name in ("rows_read", "train_rows", "validation_rows", "tokens", "trained_tokens"):
        report[name] *= times
    report["parts"] = {name: count * times for name, count in report["parts"].items()}
    report["finding_counts"] = dict(Counter(each.kind for each in found))
    report["finding_levels"] = {each.kind: each.level for each in found}
    (folder / REPORT).write_text(json.dumps(report))
    (folder / "manifest.json").write_text("{}")
    return folder


def _portions(times: int, most: int) -> Iterator[int]:
    """`times` in parts of at most `most`."""
    while times > 0:
        yield min(times, most)
        times -= most


def hostile(text: str) -> Made:
    """Rows in which everything that can be a text is `text`."""
    made = Made()
    message = {"role": text, "content": text, text: text}
    row = StoredRow(
        source=text, line=1, key=key(text), raw={text: [text]}, messages=[message],
        tools=[{text: text}], rejected=[message], headings=[text], group=text, before=["x" + text],
        done=[text], language=text, page=1, chunk=1,
    )  # fmt: skip
    made.add(row, Part.TRAIN, ("warning", text, text), ("error", "kind", text))
    made.add(
        StoredRow(source=text, line=2, raw=text, error=text), Part.UNUSABLE, ("error", text, text)
    )
    made.add(StoredRow(source=text, line=3, key=key(text + "2"), text=text, raw=text), Part.TRAIN)
    made.findings.append(Finding("error", text, text, text))
    return made
