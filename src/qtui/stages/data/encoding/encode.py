"""From rows to what the model sees: rendered with the chat template, tokenised, measured, written.

The second stage of a preparation. One process renders a batch while this one tokenises the batch
before it; what comes out is written at once, so that memory does not grow with the rows. A row that
the template refuses, or of which nothing is left to learn within `max_seq_length`, is a finding and
loses its part; all others stand in `tokens.msgpack` as the model sees them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from qtui.config.models import FineTuneConfig
from qtui.errors import InputError, StoppedError
from qtui.runs.dataset import TOKENS, Part, StoredTokens
from qtui.stages.data.collected import Collected, Progress, row_from
from qtui.stages.data.encoding.render import ChatTemplate, Rendered, RenderError
from qtui.stages.data.encoding.render_process import RenderProcess, Reply
from qtui.stages.data.encoding.tokenise import Tokens, tokenise
from qtui.stages.data.measure import Measure
from qtui.stages.data.rows import Row
from qtui.stages.data.store import RecordWriter, TokenWriter

BATCH = 512
PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)


def token_file(folder: Path, part: Part) -> Path:
    """The rows of token ids of one part."""
    return folder / f"{part.name.lower()}.arrow"


@dataclass
class Encoded:
    """What was measured, for each part; `pairs` counts preference rows, which have no token file.

    `folded` says whether the template has no system role and one was needed.
    """

    measured: dict[Part, Measure] = field(default_factory=lambda: {p: Measure() for p in PARTS})
    pairs: int = 0
    folded: bool = False


def encode(
    collected: Collected,
    config: FineTuneConfig,
    tokenizer: Any,
    template: ChatTemplate,
    renderer: RenderProcess,
    out: Path,
    *,
    progress: Progress,
    stopped: Callable[[], bool],
) -> Encoded:
    """Encode all rows of `collected` that are used into `out`; its parts and findings follow.

    Raises InputError when the template does not end, or `data.on_overlong: fail` finds a row;
    StoppedError when `stopped()`.
    """
    for part in PARTS:
        token_file(out, part).unlink(missing_ok=True)
    with ExitStack() as stack:
        work = _Work(
            collected,
            config,
            tokenizer,
            template,
            stack.enter_context(RecordWriter(out / TOKENS)),
            {p: stack.enter_context(TokenWriter(token_file(out, p))) for p in PARTS},
        )
        total = sum(part < Part.UNUSABLE for part in collected.parts)
        done = 0
        for batch, replies in renderer.batches(
            work.batches(), max_seq_length=config.training.max_seq_length
        ):
            if stopped():
                raise StoppedError("stopped while the data were prepared")
            work.take(batch, replies)
            done += len(batch)
            progress("prepare", done, total, "rows")
        work.end()
    return work.encoded


class _Work:
    """Tokenises, measures and writes rendered rows."""

    def __init__(
        self,
        collected: Collected,
        config: FineTuneConfig,
        tokenizer: Any,
        template: ChatTemplate,
        tokens: RecordWriter,
        writers: dict[Part, TokenWriter],
    ) -> None:
        self.encoded = Encoded()
        self._collected = collected
        self._length = config.training.max_seq_length
        self._overlong = config.data.on_overlong
        self._tokenizer = tokenizer
        self._mask = template.mask != "all"
        self._folds = template.folds_system
        self._control = control_tokens(tokenizer)
        self._tokens = tokens
        self._writers = writers
        self._numbers: list[int] = []
        self._pack = msgspec.msgpack.Encoder().encode

    def batches(self) -> Iterator[list[Row]]:
        """All rows that are used, in batches; their numbers are kept until `take`."""
        rows = self._collected.rows()
        while batch := list(islice(rows, BATCH)):
            self._numbers += [number for number, _ in batch]
            yield [row_from(stored) for _, stored in batch]

    def take(self, batch: list[Row], replies: list[Reply]) -> None:
        """Write one batch that was rendered; tokenise it where that is not done yet."""
        numbers = self._numbers[: len(batch)]
        del self._numbers[: len(batch)]
        whole = list(self._usable(numbers, batch, replies))
        texts = [rendered for _, _, (rendered, tokens) in whole if tokens is None]
        made = iter(tokenise(self._tokenizer, texts, max_seq_length=self._length, mask=self._mask))
        for number, row, (rendered, tokens) in whole:
            self._write(number, row, rendered, tokens or next(made))

    def end(self) -> None:
        """Account for rows behind the last one that is used."""
        self._skip_to(len(self._collected.parts))

    def _skip_to(self, number: int) -> None:
        while self._tokens.count < number:
            self._tokens.add(b"")

    def _usable(
        self, numbers: list[int], rows: list[Row], replies: Iterable[Reply]
    ) -> Iterator[tuple[int, Row, tuple[Rendered, Tokens | None]]]:
        for number, row, reply in zip(numbers, rows, replies, strict=True):
            if not isinstance(reply, RenderError):
                self._look_at(number, row)
                yield number, row, reply
            else:
                self._collected.bad += 1
                self._collected.parts[number] = Part.UNUSABLE
                kind = "mask" if reply.mask else "template"
                self._find("error", kind, str(reply), row, number)

    def _look_at(self, number: int, row: Row) -> None:
        """Text such as `<|im_end|>` inside a message becomes the token itself: say so."""
        texts = [row.text] if row.text is not None else [m["content"] for m in row.messages]
        for text in texts:
            found = self._control.search(text)
            if found is not None:
                what = f"a text holds {found.group()!r}, which the model takes for its own mark"
                self._find("warning", "control-token", what, row, number)
                break
        self.encoded.folded |= (
            self._folds and bool(row.messages) and row.messages[0]["role"] == "system"
        )

    def _write(self, number: int, row: Row, text: Rendered, tokens: Tokens) -> None:
        part = Part(self._collected.parts[number])
        overlong = tokens.length > self._length
        if overlong and self._overlong != "cut" and number not in self._collected.pinned:
            what = f"has {tokens.length} tokens; max_seq_length is {self._length}"
            if self._overlong == "fail":
                raise InputError(
                    f"the data hold what they must not: {row.source}:{row.line} {what}",
                    remedy="Raise training.max_seq_length, or set data.on_overlong to cut or drop.",
                )
            self._find("warning", "overlong", f"{what}; not used", row, number)
            self._collected.parts[number] = Part.DROPPED
            return
        self.encoded.measured[part].add(tokens)
        if tokens.trained == 0:
            what = "no trained token is left within max_seq_length; not used"
            self._find("warning", "dropped", what, row, number)
            self._collected.parts[number] = Part.UNTRAINED
            return
        if overlong:
            what = f"has {tokens.length} tokens and is cut at {self._length}"
            self._find("note", "cut", what, row, number)
        if row.rejected is not None or row.label is not None:
            self.encoded.pairs += 1
        else:
            self._writers[part].add(tokens.input_ids, tokens.labels)
        self._skip_to(number)
        stored = StoredTokens(
            text=text.text,
            trained=list(text.spans),
            ids=tokens.all_ids,
            ends=tokens.ends,
            kept=len(tokens.input_ids),
            trained_tokens=tokens.trained,
        )
        self._tokens.add(self._pack(stored))

    def _find(self, level: Any, kind: str, message: str, row: Row, number: int) -> None:
        self._collected.findings.add(level, kind, message, row.source, row.line, number)


def control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches the tokens that structure a conversation (not those that are plain vocabulary)."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)) or "$^")
