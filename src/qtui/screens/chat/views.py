"""A conversation laid out in rows: prompts, heads, answers, what they took and what was thought of
them. Rows of what does not change are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from textual.content import Content

from qtui.chat import conversation as conversations
from qtui.chat.conversation import Answer, Conversation, Exchange
from qtui.screens.chat.answering import Answering
from qtui.screens.chat.growing import Growing
from qtui.screens.chat.markdown import nodes_of, plain_rows, rows_of
from qtui.screens.chat.opening import said
from qtui.screens.chat.transcript import Pair, Part, widths
from qtui.terminal import clean, clean_line

PROMPT_ROWS = 12
"""Rows of a long prompt that are shown; the raw view has all of them."""
_YOU = "You   "
"""As wide as what stands before a prompt."""
_MEASURED = 0.05
"""Seconds that a speed has to be measured over."""
_QUIET = "$text-muted"
_WRONG = "$text-error"


@dataclass(frozen=True)
class Look:
    """How the conversation is looked at."""

    room: int
    unicode: bool = True
    raw: bool = False
    base: str = ""
    selected: str = ""
    """Id of the exchange under the cursor; empty while something else has the focus."""
    side: int = 0
    """The side under the cursor."""


@dataclass
class Views:
    """Lays conversations out."""

    shown: dict[tuple[str, int], int] = field(default_factory=dict)
    """Which answer of a side is shown, from the newest back; 0 where there is no entry."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """What was thought of an answer, by its id."""
    _rows: dict[tuple[str, int, bool], tuple[Answer, list[Content]]] = field(default_factory=dict)
    _growing: dict[str, Growing] = field(default_factory=dict)
    _prompts: dict[tuple[str, int, bool], list[Content]] = field(default_factory=dict)

    def answer_of(self, exchange: Exchange, side: int) -> Answer | None:
        """The answer of `side` that is shown."""
        answers = exchange.answers_of(side)
        if not answers:
            return None
        back = min(self.shown.get((exchange.id, side), 0), len(answers) - 1)
        return answers[-1 - back]

    def parts(
        self,
        conversation: Conversation,
        answering: Mapping[tuple[str, int], Answering],
        waiting: Sequence[str],
        look: Look,
    ) -> tuple[list[Part], dict[str, int]]:
        """The parts of the transcript, and the number of the first one of each exchange."""
        parts: list[Part] = []
        starts: dict[str, int] = {}
        branches: dict[str | None, list[str]] = {}
        for exchange in conversation.exchanges:
            branches.setdefault(exchange.parent, []).append(exchange.id)
        for exchange in conversations.path(conversation):
            starts[exchange.id] = len(parts)
            parts.append(self._prompt(exchange, branches[exchange.parent], look))
            count = max(len(exchange.answers), len(conversation.sides), 1)
            asked = [side for side in range(count) if _has(exchange, side, answering, waiting)]
            sides = asked or [0]
            room = widths(look.room)
            if len(sides) == 1:
                rows = self._side(exchange, sides[0], answering, waiting, room.whole, look, True)
                parts.append(rows)
            else:
                parts.append(
                    Pair(
                        self._side(exchange, 0, answering, waiting, room.left, look, False),
                        self._side(exchange, 1, answering, waiting, room.right, look, False),
                    )
                )
            parts.append([Content("")])
        alive = {each.id for each in answering.values()}
        for gone in self._growing.keys() - alive:
            del self._growing[gone]
        return parts, starts

    def _prompt(self, exchange: Exchange, branches: list[str], look: Look) -> list[Content]:
        """The prompt of an exchange, one of `branches` in the same place."""
        width = widths(look.room).whole
        key = (exchange.id, width, look.raw)
        rows = self._prompts.get(key)
        if rows is None:
            rows = []
            for line in clean(exchange.prompt).expandtabs(4).split("\n"):
                rows += Content(line).wrap(width - len(_YOU)) or [Content("")]
            if len(rows) > PROMPT_ROWS and not look.raw:
                more = len(rows) - PROMPT_ROWS + 1
                rows = rows[: PROMPT_ROWS - 1]
                rows.append(Content.styled(f"{more:,} more lines", _QUIET))
            self._prompts[key] = rows
        here = exchange.id == look.selected
        mark = ("▸" if look.unicode else ">") if here else " "
        name = Content.styled(f"You {mark} ", "bold $accent")
        told = f"  branch {branches.index(exchange.id) + 1} of {len(branches)}"
        told = told if len(branches) > 1 else ""
        indent = Content(" " * len(_YOU))
        drawn = [(indent if at else name) + row for at, row in enumerate(rows)]
        if told:
            drawn[0] = drawn[0].truncate(width - len(told)) + Content.styled(told, _QUIET)
        return drawn

    def _side(
        self,
        exchange: Exchange,
        side: int,
        answering: Mapping[tuple[str, int], Answering],
        waiting: Sequence[str],
        width: int,
        look: Look,
        alone: bool,
    ) -> list[Content]:
        """Head, text and foot of one side's answer."""
        running = answering.get((exchange.id, side))
        answer = self.answer_of(exchange, side)
        cursor = exchange.id == look.selected and (alone or side == look.side)
        if running is not None:
            # Above the text: below it, it would move with every row.
            head = self._head(running.ask.model, _speed(running), cursor, look)
            return [head, *self._running(running, width, look)]
        if exchange.id in waiting:
            return [Content.styled("waiting for the model", _QUIET)]
        if answer is None:
            return [Content.styled("not asked", _QUIET)]
        answers = exchange.answers_of(side)
        at = answers.index(answer) + 1
        told = f"answer {at} of {len(answers)}" if len(answers) > 1 else ""
        foot = _foot(took(answer), self.verdicts.get(answer.id, ""), width)
        return [
            self._head(answer.model, told, cursor, look),
            *self._text(answer, width, look),
            foot,
        ]

    def _head(self, model: str, told: str, cursor: bool, look: Look) -> Content:
        name = said(model, look.base)
        mark = ("▸ " if look.unicode else "> ") if cursor else ""
        style = "bold $accent" if cursor else "bold"
        more = Content.styled(f"  {told}", _QUIET) if told else Content("")
        return Content.styled(f"{mark}{name}", style) + more

    def _running(self, running: Answering, width: int, look: Look) -> list[Content]:
        if not running.text:
            return [Content.styled("reading the prompt", _QUIET)]
        if look.raw:
            return plain_rows(running.text, width)
        growing = self._growing.get(running.id)
        if growing is None or growing.width != width:
            growing = self._growing[running.id] = Growing(width, unicode=look.unicode)
        return growing.rows(running.text)

    def _text(self, answer: Answer, width: int, look: Look) -> list[Content]:
        key = (answer.id, width, look.raw)
        kept = self._rows.get(key)
        if kept is None or kept[0] is not answer:
            kept = self._rows[key] = (answer, _laid_out(answer, width, look))
        return kept[1]


def _has(
    exchange: Exchange,
    side: int,
    answering: Mapping[tuple[str, int], Answering],
    waiting: Sequence[str],
) -> bool:
    asked = (exchange.id, side) in answering or exchange.id in waiting
    return asked or bool(exchange.answers_of(side))


def _laid_out(answer: Answer, width: int, look: Look) -> list[Content]:
    rows: list[Content] = []
    if look.raw:
        if answer.raw_prompt:
            rows = plain_rows(answer.raw_prompt, width)
        else:
            rows = plain_rows(answer.text, width)
            told = "without special tokens: ctrl+r asks again with them"
            rows += [Content(""), *(r.stylize(_QUIET) for r in Content(told).wrap(width))]
        if answer.edited is not None:
            rows += [Content.styled("edited to:", _QUIET), *plain_rows(answer.edited, width)]
    elif answer.said:
        rows = rows_of(nodes_of(answer.said), width, unicode=look.unicode)
    elif not answer.error:
        rows = [Content.styled("(an empty answer)", _QUIET)]
    return rows + (error_rows(answer.error, width, look.unicode) if answer.error else [])


def error_rows(error: str, width: int, unicode: bool) -> list[Content]:
    """What went wrong, and below it the way out, which is its last line."""
    happened, _, remedy = clean(error).strip().partition("\n")
    rows = Content.styled(f"{'✗' if unicode else 'x'} {happened}", _WRONG).wrap(width)
    for line in remedy.split("\n") if remedy else []:
        rows += Content(line).wrap(width) or [Content("")]
    return rows


def took(answer: Answer) -> str:
    """How fast an answer came, and how it ended where that is not its own end."""
    told = []
    if answer.completion_tokens:
        if answer.tokens_per_second and answer.seconds - answer.first_token_seconds > _MEASURED:
            told.append(f"{answer.tokens_per_second:.0f} tok/s")
        told.append(f"first {answer.first_token_seconds:.2f} s")
    if answer.finish_reason == "length":
        told.append(f"cut at {answer.completion_tokens} tokens")
    elif answer.finish_reason == "cancelled" and not answer.error:
        told.append("stopped")
    elif answer.finish_reason not in ("", "stop", "cancelled"):
        told.append(clean_line(answer.finish_reason, 30))
    return " · ".join(told)


def _speed(running: Answering) -> str:
    if running.first is None:
        return ""
    speed = running.tokens_per_second
    return (f"{speed:.0f} tok/s · " if speed else "") + f"first {running.first:.2f} s"


def _foot(took: str, verdict: str, width: int) -> Content:
    """What an answer took on the left, what was thought of it on the right."""
    left = Content.styled(took, _QUIET)
    if not verdict:
        return left
    gap = max(width - left.cell_length - len(verdict), 1)
    return left + Content(" " * gap) + Content.styled(verdict, "bold $success")
