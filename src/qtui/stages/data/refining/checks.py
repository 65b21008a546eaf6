"""What is worth knowing about a row, and what the settings say should become of it.

Each kind of finding is a small function that says what it saw, or nothing. None raises on any
text, and none changes a row, but for personal data where `data.on_pii` is mask. The verdict of an
issue is its `on_…` setting: keep goes on, drop leaves the row out, fail ends the preparation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from qtui.config.models import DataConfig
from qtui.runs.dataset import Level
from qtui.stages.data.refining import control, endings, language, mojibake, pii, repetition
from qtui.stages.data.refining.texts import texts, with_texts
from qtui.stages.data.rows import Message, Row

Verdict = Literal["keep", "drop", "fail"]

_PLACEHOLDER = re.compile(r"\{\{\s*\w+\s*\}\}")
_PII_NAMES = {
    "email": "an e-mail address",
    "phone": "a telephone number",
    "card": "a payment card number",
    "iban": "an IBAN",
    "ssn": "a US social security number",
    "ip": "an IP address",
    "secret": "a key, token or password",
}
# Arguments of tool calls nested deeper than this are not searched for personal data.
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing worth knowing about a row; never quotes personal data."""

    level: Level
    kind: str
    message: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """A row with what is known about it.

    `row` is the one that was given, unless personal data were masked in it; then `done` says how
    many of which kind. `language` is a code of ISO 639, "" where it is not known.
    """

    row: Row
    issues: tuple[Issue, ...]
    done: tuple[str, ...]
    language: str


class Checker:
    """Looks at rows as the settings of `data` say; give it rows that were cleaned."""

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self._languages = frozenset(map(language.primary, config.languages))
        self._kinds = frozenset(config.pii_kinds)

    def __call__(self, row: Row) -> Checked:
        config = self._config
        issues: list[Issue] = []

        def add(kind: str, message: str, setting: str = "keep", level: Level = "warning") -> None:
            if message:
                issues.append(Issue(level, kind, message, _verdict(setting)))

        spoken = language.of_row(row)
        add("blank-text", blank_text(row), "drop", "error")
        add("role-order", role_order(row.messages), config.on_role_order)
        add("language", self._wrong_language(spoken), config.on_language)
        add("repetition", repeats(row), config.on_repetition)
        add("truncated-answer", truncated_answer(row), config.on_truncated_answer)
        add("mojibake", wrongly_decoded(row), config.on_mojibake)
        if config.on_control_characters != "remove":
            add("control-characters", control_characters(row), config.on_control_characters)
        add("placeholder", placeholder(row))
        row, counts = self._masked(row)
        for kind, count in counts.items():
            level: Level = "note" if kind == "ip" else "warning"
            add(f"pii-{kind}", self._holds(kind, count), config.on_pii, level)
        masked = config.on_pii == "mask"
        done = [f"masked {kind}: {count}" for kind, count in counts.items()] if masked else []
        return Checked(row, tuple(issues), tuple(done), spoken.code)

    def _wrong_language(self, spoken: language.Language) -> str:
        if not self._languages or not spoken.code or spoken.plausible & self._languages:
            return ""
        return f"is in {spoken.code}, not in {' or '.join(self._config.languages)}"

    def _holds(self, kind: str, count: int) -> str:
        more = f" (and {count - 1} more)" if count > 1 else ""
        masked = ", masked" if self._config.on_pii == "mask" else ""
        return f"holds {_PII_NAMES[kind]}{more}{masked}"

    def _masked(self, row: Row) -> tuple[Row, Counter[str]]:
        """The row, masked where that is asked for, and how much of which kind was found."""
        counts: Counter[str] = Counter()
        mask = self._config.on_pii == "mask"

        def look(text: str) -> str:
            found = pii.find(text, self._kinds)
            if not found:
                return text
            counts.update(item.kind for item in found)
            return pii.mask(text, found) if mask else text

        if self._kinds:
            row = _with_arguments(with_texts(row, look), look)
        return row, counts


def _verdict(setting: str) -> Verdict:
    # mask, fix and remove mend what they can; the row stays.
    return "drop" if setting == "drop" else "fail" if setting == "fail" else "keep"


# ---- the kinds ----------------------------------------------------------------------------------


def blank_text(row: Row) -> str:
    """Nothing is left to learn: cleaning took all there was of an answer, or of a plain text."""
    if row.text is not None:
        return "" if row.text.strip() else "nothing is left of the text after cleaning"
    blank = any(
        message["role"] == "assistant"
        and not message["content"].strip()
        and not message.get("tool_calls")
        for message in row.messages
    )
    return "nothing is left of an answer after cleaning" if blank else ""


def role_order(messages: Iterable[Message]) -> str:
    """Turns that no chat has: they do not alternate, or begin with an answer.

    One system message may stand first. Then user and assistant alternate, and an answer that calls
    tools is followed by more calls, by their results, or by the user who breaks in.
    """
    previous = ""
    for message in messages:
        role = message["role"]
        if role == "assistant" and message.get("tool_calls"):
            role = "call"
        wrong = _ORDER.get((previous, role)) or _ORDER.get(("*", role) if previous else ("", ""))
        if wrong:
            return wrong
        previous = role
    return ""


# (the turn before, the turn): what is wrong with that. "" is the beginning, * any other turn.
_ORDER = {
    ("", "assistant"): "begins with an answer",
    ("", "call"): "begins with an answer",
    ("", "tool"): "begins with the result of a tool",
    ("system", "assistant"): "begins with an answer",
    ("system", "call"): "begins with an answer",
    ("user", "user"): "two questions in a row",
    ("assistant", "assistant"): "two answers in a row",
    ("assistant", "call"): "two answers in a row",
    ("call", "assistant"): "an answer behind a call without the result of the tool",
    ("tool", "user"): "the result of a tool that no answer follows",
    ("system", "tool"): "the result of a tool that nobody called",
    ("user", "tool"): "the result of a tool that nobody called",
    ("assistant", "tool"): "the result of a tool that nobody called",
    ("*", "system"): "a system message in the middle",
}


def repeats(row: Row) -> str:
    """An answer (or plain text) that says the same words over and over; see `repetition`."""
    for text in [row.text] if row.text is not None else _answers(row):
        share = repetition.share(text)
        if share:
            what = "the text" if row.text is not None else "an answer"
            return f"{share:.0%} of {what} is the same words over and over"
    return ""


def truncated_answer(row: Row) -> str:
    """An answer that stops in the middle of something; see `endings`."""
    for answer in _answers(row):
        middle = endings.broken_off(answer)
        if middle:
            return f"an answer stops in the middle of {middle}"
    return ""


def wrongly_decoded(row: Row) -> str:
    """Text that was decoded as something that it is not; see `mojibake`."""
    for text in texts(row):
        evidence = mojibake.evidence(text)
        if evidence:
            return f"holds text that was decoded wrongly ({evidence.strip()})"
    return ""


def control_characters(row: Row) -> str:
    """Characters that nobody sees and that mean nothing; see `control`."""
    found = [character for text in texts(row) for character in control.found(text)]
    if not found:
        return ""
    plural = "" if len(found) == 1 else f"s, the first of {len(found)}"
    return f"holds control character{plural} U+{ord(found[0]):04X}"


def placeholder(row: Row) -> str:
    """An answer with {{ name }} in it that somebody forgot to fill in."""
    for answer in _answers(row):
        if "{{" in answer and (found := _PLACEHOLDER.search(answer)):
            return f"an answer holds the unfilled placeholder {found[0]}"
    return ""


def weight_issue(value: Any) -> Issue | None:
    """A record, as it was read, with an answer that its weight says not to learn from."""
    turns = value.get("messages") if isinstance(value, dict) else None
    for turn in turns if isinstance(turns, list) else ():
        if not isinstance(turn, dict) or turn.get("role") != "assistant":
            continue
        if turn.get("weight", turn.get("loss_weight", 1)) == 0:
            text = "an answer with weight 0 is trained on like the others"
            return Issue("warning", "weight", text, "keep")
    return None


def _answers(row: Row) -> Iterator[str]:
    for message in row.messages:
        if message["role"] == "assistant" and message["content"]:
            yield message["content"]


# ---- arguments of tool calls --------------------------------------------------------------------


def _with_arguments(row: Row, change: Callable[[str], str]) -> Row:
    """The row with every text in the arguments of its tool calls changed; keys stay."""
    messages = _calls_changed(row.messages, change)
    rejected = None if row.rejected is None else _calls_changed(row.rejected, change)
    if messages is row.messages and rejected is row.rejected:
        return row
    return replace(row, messages=messages, rejected=rejected)


def _calls_changed(
    messages: tuple[Message, ...], change: Callable[[str], str]
) -> tuple[Message, ...]:
    if not any("tool_calls" in message for message in messages):
        return messages
    changed = []
    for message in messages:
        calls = message.get("tool_calls")
        new = [_call_changed(call, change) for call in calls or ()]
        changed.append({**message, "tool_calls": new} if calls and new != calls else message)
    return messages if tuple(changed) == messages else tuple(changed)


def _call_changed(call: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    function = call["function"]
    arguments = _value_changed(function.get("arguments"), change, _DEEPEST)
    return {**call, "function": {**function, "arguments": arguments}}


def _value_changed(value: Any, change: Callable[[str], str], deep: int) -> Any:
    if isinstance(value, str):
        return change(value)
    if deep and isinstance(value, dict):
        return {key: _value_changed(part, change, deep - 1) for key, part in value.items()}
    if deep and isinstance(value, list):
        return [_value_changed(part, change, deep - 1) for part in value]
    return value
