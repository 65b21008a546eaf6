"""Recognises the shapes that users have their rows in, and makes a row of training data of each.

OpenAI messages, Alpaca and its relatives (prompt/completion, query/response, question/answer),
ShareGPT and its dialects, plain text, preference pairs and KTO; told apart by keys, row by row,
unless the settings say the shape or the columns. What is none of them is refused with what it is
instead (a table of numbers, a single message) or with the keys that were seen. Nothing is
invented: a text that is missing, blank or no text makes the row unusable.
"""

from __future__ import annotations

from typing import Any

from qtui.config.models import DataConfig
from qtui.stages.data.rows import Message, Record, Row
from qtui.stages.data.shapes import columns, pairs
from qtui.stages.data.shapes.preferences import is_preference, is_thumb, preference, thumb
from qtui.stages.data.shapes.refusals import (
    NotWanted,
    ShapeError,
    article,
    json_of,
    keys_of,
    text_of,
)
from qtui.stages.data.shapes.turns import (
    TURNS,
    answered,
    first_of,
    system_of,
    tools_of,
    turns_of,
    with_system,
)

__all__ = ["NotWanted", "ShapeError", "row_of"]

# Beside one of these, a text is material for another task than to be learnt as it stands.
_TASKS = (
    *("label", "labels", "label_text", "target", "targets", "class", "category", "sentiment"),
    *("summary", "translation", "entities", "ner_tags", "tokens", "choices"),
)
_WAY_OUT = (
    "set data.preference_rows: chosen to learn from the better answers, or keep for pairs "
    "to train preferences on"
)


def row_of(record: Record, source: str, config: DataConfig) -> Row:
    """Make a row of one record; `source` is what its file is called.

    A conversation's messages end with the last answer (nothing can be learnt from what stands
    behind it), have at least one answer, and no answer is blank. Raises ShapeError for a record
    that cannot be used, NotWanted for one that `data.preference_rows: chosen` leaves out.
    """
    value = record.value
    group = ""
    if config.group_by is not None:
        # The pieces of a document have no columns; they belong together as their document does.
        group = source if record.chunk else columns.group_of(value, config.group_by)
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        value = {"messages": value}
    if not isinstance(value, dict):
        raise ShapeError("not-a-row", f"{article(value)}, not an object with keys")
    shape: str | None = None if config.row_format == "auto" else config.row_format
    if config.columns and not record.chunk and not _speaks_for_itself(value, config):
        value = columns.mapped(value, config.columns)
        shape = shape or columns.shape_of(config.columns)
    value = _opened_cells(value)
    messages: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] | None = None
    text: str | None = None
    label: bool | None = None
    shape = "text" if record.chunk else shape or _shape(value)
    if shape == "preference":
        messages, rejected = _preference(value, config)
    elif shape == "kto":
        messages, label = _kto(value, config)
    elif shape == "text":
        text = _text(value)
    else:
        messages = answered(_conversation(value, shape))
    return Row(
        messages,
        source,
        record.line,
        None if text is not None else tools_of(value.get("tools")),
        text,
        rejected,
        label,
        record.page,
        record.chunk,
        record.headings,
        group,
    )


def _opened_cells(record: dict[str, Any]) -> dict[str, Any]:
    """The record with turns as a list where they stand as JSON in a text, as in tables."""
    for key in TURNS:
        text = record.get(key)
        if isinstance(text, str) and text.lstrip().startswith("["):
            record = {**record, key: json_of(text, "broken-cell", f"the text of {key}")}
    return record


def _speaks_for_itself(record: dict[str, Any], config: DataConfig) -> bool:
    """Whether none of the mapped columns is there and the keys are recognised.

    A mapping is for the files that need one, and may be mixed with others.
    """
    return not columns.has_any(record, config.columns) and _shape(_opened_cells(record)) is not None


def _shape(record: dict[str, Any]) -> str | None:
    if is_preference(record):
        return "preference"
    if is_thumb(record) and _base_shape(record) is not None:
        return "kto"
    return _base_shape(record) or ("text" if _is_plain(record) else None)


def _base_shape(record: dict[str, Any]) -> str | None:
    """The shape of a conversation, whatever is said about it beside."""
    for key in TURNS:
        if isinstance(record.get(key), list):
            return "messages" if key == "messages" else "sharegpt"
    return "alpaca" if pairs.is_pair(record) else None


def _conversation(record: dict[str, Any], shape: str | None) -> list[Message]:
    if shape == "alpaca":
        question, answer = pairs.prompt_key(record), pairs.answer_key(record)
        if question is None or answer is None:
            raise _unknown(record)
        return pairs.asked(record, question) + pairs.answer(record[answer], answer)
    if shape in ("messages", "sharegpt"):
        order = TURNS if shape == "messages" else (*TURNS[1:], TURNS[0])
        key = next((name for name in order if isinstance(record.get(name), list)), None)
        if key is not None:
            return with_system(system_of(record), turns_of(record[key], key))
    raise _unknown(record)


def _preference(
    record: dict[str, Any], config: DataConfig
) -> tuple[tuple[Message, ...], tuple[Message, ...] | None]:
    if config.preference_rows == "refuse":
        what = "a preference pair (a better and a worse answer), which supervised fine-tuning "
        raise ShapeError("preference-pair", f"{what}cannot use as it is; {_WAY_OUT}")
    better, worse = preference(record)
    return better, worse if config.preference_rows == "keep" else None


def _kto(record: dict[str, Any], config: DataConfig) -> tuple[tuple[Message, ...], bool | None]:
    if config.preference_rows == "refuse":
        what = "an answer with a thumbs-up or -down label (KTO), which supervised fine-tuning "
        raise ShapeError("kto", f"{what}cannot use as it is; {_WAY_OUT}")
    up = thumb(record)
    messages = answered(_conversation(record, _base_shape(record)))
    if config.preference_rows == "keep":
        return messages, up
    if not up:
        raise NotWanted("thumbs-down", "an answer with a thumbs-down; not learnt from")
    return messages, None


def _is_plain(record: dict[str, Any]) -> bool:
    return (
        "text" in record
        and "role" not in record
        and all(record.get(key) is None for key in (*_TASKS, *pairs.PROMPTS, *pairs.ANSWERS))
    )


def _text(record: dict[str, Any]) -> str:
    if "text" not in record:
        raise ShapeError("missing-key", f"no text (keys: {keys_of(record)})")
    return text_of(record["text"], "text")


def _unknown(record: dict[str, Any]) -> ShapeError:
    keys = keys_of(record)
    if not record:
        return ShapeError("unknown-shape", "an empty object")
    if "role" in record and ("content" in record or "value" in record or "text" in record):
        what = "a single message; put the messages of one conversation in a list under `messages`"
        return ShapeError("unknown-shape", what)
    if not any(isinstance(value, str | list | dict) for value in record.values()):
        return ShapeError("not-text", f"a row of numbers without any text (keys: {keys})")
    prompt, answer = first_of(record, pairs.PROMPTS), first_of(record, pairs.ANSWERS)
    if answer is not None and prompt is None:
        way_out = f"set data.columns: [text={answer}] to learn it as plain text"
        what = f"an answer ({answer}) without a question; {way_out} (keys: {keys})"
        return ShapeError("missing-key", what)
    if prompt is not None and answer is None:
        return ShapeError("missing-key", f"a question ({prompt}) without an answer (keys: {keys})")
    if isinstance(record.get("text"), str):
        what = "a text with something else to learn beside it; set data.row_format: text to learn"
        return ShapeError("unknown-shape", f"{what} the text alone (keys: {keys})")
    return ShapeError(
        "unknown-shape",
        "neither messages, conversations nor instruction/output; rename its keys to one of these, "
        f"or say in data.columns which is which (keys: {keys})",
    )
