"""Which chat template a run uses, and how the assistant's words are found in what it renders.

The template is the model's own unless the run file names another: one of `builtin_templates`, or a
file. Plain texts need none. For the mask there are three exact ways, tried in this order: the
template marks the assistant's text itself (`{% generation %}`); there is a twin of the same
template that does (TRL's, or one of ours); or each answer is found by rendering the conversation up
to it and comparing (`render.py`), which is checked row by row.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from qtui.config.paths import TEMPLATES
from qtui.errors import InputError, NotFoundError
from qtui.stages.data.encoding import builtin_templates
from qtui.stages.data.encoding.render import NO_MASK, ChatTemplate, Rendered, RenderError
from qtui.stages.data.encoding.render_process import Renderer
from qtui.stages.data.rows import Row
from qtui.terminal import clean_line

MAX_TEMPLATE_BYTES = 2**20
_GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")


def choose(
    tokenizer: Any, name: str | None, *, assistant_only_loss: bool, needed: bool = True
) -> ChatTemplate:
    """Return the template that a run uses, read but not yet run (it is foreign code: see `tried`).

    `name` is `data.chat_template`. Raises InputError when there is none or the file that is named
    is none; with `needed=False` a model without one gets a template whose `text` is empty, which
    renders plain texts only.
    """
    begins = begins_texts(tokenizer)
    twin = None
    if name in TEMPLATES:
        text, twin = builtin_templates.named(name, bos=begins)
        origin = f"the template {name}"
    elif name:
        text, origin = _from_file(name)
    else:
        text, origin = _own(tokenizer, needed=needed)
    training_text = text
    if not assistant_only_loss:
        mask: Literal["generation", "turns", "all"] = "all"
    elif _GENERATION.search(text):
        mask = "generation"
    else:
        twin = twin or (_training_twin(text) if text else None)
        mask = "turns" if twin is None else "generation"
        training_text = text if twin is None else twin
    added = tokenizer.added_tokens_decoder.values()
    specials = {str(token) for token in added} | set(tokenizer.all_special_tokens)
    return ChatTemplate(
        text=text,
        training_text=training_text,
        origin=origin,
        mask=mask,
        variables=dict(tokenizer.special_tokens_map),
        special_tokens=tuple(sorted(specials)),
        plain_start=tokenizer.bos_token if begins else "",
        plain_end=tokenizer.eos_token or "",
    )


def begins_texts(tokenizer: Any) -> bool:
    """Whether the tokenizer puts its beginning-of-text token before a text by itself.

    That is how the model was pre-trained, as far as anything in its files says it.
    """
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]


def _from_file(name: str) -> tuple[str, str]:
    path = Path(name).expanduser()
    origin = f"data.chat_template ({clean_line(name)})"
    try:
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise InputError(f"{origin} is larger than 1 MiB, which no chat template is")
        return path.read_text(encoding="utf-8-sig"), origin
    except FileNotFoundError as error:
        raise NotFoundError(f"{origin} does not exist") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"{origin} is not a text file") from error


def _own(tokenizer: Any, *, needed: bool) -> tuple[str, str]:
    try:
        text = tokenizer.get_chat_template()
    except ValueError as error:
        if not needed:
            return "", "no chat template"
        raise _none() from error
    return str(text), "the model's own chat template"


def _none() -> InputError:
    return InputError(
        "the model has no chat template, so it does not say how a conversation is written",
        remedy="Take the instruct version of the model, or set data.chat_template to chatml, "
        "alpaca or a Jinja file.",
    )


def _training_twin(text: str) -> str | None:
    """TRL's version of this very template with the answers marked, if it has one."""
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "chat_templates"
    for twin in sorted(folder.glob("*_training.jinja")):
        original = twin.with_name(twin.name.replace("_training.jinja", ".jinja"))
        if original.is_file() and original.read_text(encoding="utf-8") == text:
            return twin.read_text(encoding="utf-8")
    return None


def tried(
    template: ChatTemplate, renderer: Renderer, *, conversations: bool = True
) -> ChatTemplate:
    """Return the template, with what a short trial shows about how it treats system text.

    Raises InputError when the template cannot render a question and an answer, or there is none;
    without `conversations` among the rows that does not matter, and nothing is tried.
    """
    if not conversations:
        return template
    if not template.text:
        raise _none()
    question = {"role": "user", "content": "a question"}
    answer = {"role": "assistant", "content": "an answer"}
    system = {"role": "system", "content": "a system text"}
    short, long = renderer(
        [
            Row((question, answer), "trial", 1),
            Row((system, question, answer), "trial", 2),
        ]
    )
    if isinstance(short, RenderError):
        raise InputError(f"{template.origin} cannot be used: {short}", remedy=_remedy(short))
    _check_trial(template, short)
    if isinstance(long, RenderError) or "a system text" not in long.text:
        return replace(template, folds_system=True)
    return template


def _remedy(error: RenderError) -> str:
    if error.mask:
        return NO_MASK
    return (
        "Set data.chat_template to chatml, alpaca or a Jinja file that renders a list of messages."
    )


def _check_trial(template: ChatTemplate, rendered: Rendered) -> None:
    if "an answer" not in rendered.text or "a question" not in rendered.text:
        raise InputError(
            f"{template.origin} leaves out the question or the answer",
            remedy="Set data.chat_template to chatml, alpaca or a Jinja file that renders all "
            "messages.",
        )
    trained = "".join(rendered.text[start:end] for start, end in rendered.spans)
    if template.mask != "all" and ("an answer" not in trained or "a question" in trained):
        raise InputError(
            f"{template.origin} has {{% generation %}} marks, but not around the answers",
            remedy=NO_MASK,
        )
