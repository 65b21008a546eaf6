"""What the configure screen says about a form: its lines, the help of a setting, the headline.

Made from the form alone and without a terminal, so that every sentence can be tested as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from textual.content import Content

from qtui.config.fields import FieldInfo, by_key, fields, sections
from qtui.config.form import Form, text_of
from qtui.config.presets import PRESETS
from qtui.config.sources import Layer
from qtui.terminal import clean_line
from qtui.widgets.form_list import Line, Tone

PRESET = "preset"
MODEL = "model.model_name"
DATA = "data.input_path"
PINNED = (MODEL, DATA)
"""Settings that stand at the top, before all sections."""
HEADING = "section:"
"""How the key of a section's line begins."""

_TONES = {
    Layer.ENVIRONMENT: Tone.OWN,
    Layer.FLAG: Tone.OWN,
    Layer.FILE: Tone.OWN,
    Layer.PRESET: Tone.PRESET,
    Layer.DEFAULT: Tone.DEFAULT,
}


def lines(
    form: Form,
    *,
    opened: Set[str],
    only_changed: bool = False,
    report: Mapping[str, Any] | None = None,
    unicode: bool = True,
) -> list[Line]:
    """The form's lines: preset, model and data, then each section; those `opened` with settings.

    `only_changed` leaves out what has its default, and opens every section. `report` is of a look
    at the form's data, or None.
    """
    preset = PRESETS[form.preset] if form.preset else None
    found = [
        Line(
            key=PRESET,
            name="preset",
            value=preset.name if preset else "none",
            note=preset.sentence if preset else "",
            tone=Tone.PRESET if preset else Tone.DEFAULT,
        ),
        *(_setting(form, by_key()[key], report) for key in PINNED),
    ]
    for section in sections():
        of_section = [f for f in fields() if f.section == section and f.key not in PINNED]
        changed = [f for f in of_section if f.key in form.changed]
        shown = changed if only_changed else of_section
        if not shown:
            continue
        open_ = only_changed or section in opened
        found.append(_heading(form, section, of_section, open_, unicode))
        if open_:
            found += [_setting(form, field, report) for field in shown]
    return found


def _heading(
    form: Form, section: str, of_section: list[FieldInfo], open_: bool, unicode: bool
) -> Line:
    wrong = sum(1 for field in of_section if form.problem(field.key))
    differing = [f"{f.name} {form.text(f.key)}" for f in of_section if f.key in form.changed]
    parts = [f"{wrong} to mend"] if wrong else []
    if open_:
        parts.append(sections()[section])
    else:
        parts.append(", ".join(differing) or "all as by default")
    signs = "▾▸" if unicode else "v>"
    return Line(
        key=HEADING + section,
        name=section.capitalize(),
        note=clean_line(": ".join(parts)),
        tone=Tone.HEADING,
        fold=signs[0] if open_ else signs[1],
    )


def _setting(form: Form, field: FieldInfo, report: Mapping[str, Any] | None) -> Line:
    key = field.key
    layer = form.layer(key)
    problem = form.problem(key)
    note, mark = problem, "!"
    if not problem:
        note = _note(form, key, report)
        mark = {Layer.FILE: "*", Layer.ENVIRONMENT: "$"}.get(layer, " ")
    names = {MODEL: "model", DATA: "data"}
    return Line(
        key=key,
        name=names.get(key, f" {field.name}"),
        value=clean_line(form.text(key)),
        note=clean_line(note),
        mark=mark,
        tone=Tone.WRONG if problem else _TONES[layer],
    )


def _note(form: Form, key: str, report: Mapping[str, Any] | None) -> str:
    """What belongs beside a value: what it comes to, or what it was."""
    layer = form.layer(key)
    if layer is Layer.ENVIRONMENT:
        return f"by {form.environment[key].place.file}"
    if key == "training.batch_size":
        batch, accumulation = form.value(key), form.value("training.gradient_accumulation_steps")
        if type(batch) is int and type(accumulation) is int and accumulation > 1:
            return f"x {accumulation} = {batch * accumulation} rows a step"
    if key == "training.num_epochs" and form.value("training.max_steps") is not None:
        return "not used: max_steps is set"
    if report is not None and key == "training.max_seq_length":
        lengths = report["lengths"]
        return f"99 % of rows up to {lengths['p99']:,}, longest {lengths['max']:,}"
    if report is not None and key == DATA:
        return f"{report['train_rows']:,} rows, {report['validation_rows']:,} held out"
    if layer is Layer.FILE and key not in PINNED:
        return f"{_base_word(form, key)} {text_of(key, form.base(key))}"
    return ""


def _base_word(form: Form, key: str) -> str:
    in_preset = form.preset is not None and key in PRESETS[form.preset].settings
    return "preset" if in_preset else "default"


def help_of(form: Form, key: str) -> Content:
    """What there is to know of the line `key`: name, what it may be, and what it does."""
    if key == PRESET:
        about = PRESETS[form.preset].sentence if form.preset else "Nothing but the defaults."
        return Content.assemble(
            ("preset", "bold"),
            "  the values below that you did not set yourself\n",
            f"{about} What you set stays as it is when you choose another.",
        )
    if key.startswith(HEADING):
        section = key.removeprefix(HEADING)
        return Content.assemble((section, "bold"), "\n", sections()[section])
    field = by_key().get(key)
    if field is None:
        return Content("")
    facts = [field.allowed, f"default {text_of(key, field.default)}"]
    if _base_word(form, key) == "preset":
        facts.append(f"preset {text_of(key, form.base(key))}")
    problem = form.problem(key)
    first = Content.assemble(
        (field.name, "bold"), "  ", (clean_line("; ".join(facts)), "$text-muted"), "\n"
    )
    if key in form.environment:
        variable = form.environment[key].place.file
        said = f"{variable} in the environment wins over what is set here. {field.help}"
        return Content.assemble(first, said)
    if problem:
        return Content.assemble(
            first, (f"! {clean_line(problem)}", "bold $text-error"), "\n", field.help
        )
    return Content.assemble(first, field.help)


def _short(path: Path) -> str:
    """A path as somebody in the current folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def headline(form: Form) -> Content:
    """Which run file this is, and how many settings were set and are wrong."""
    name = clean_line(_short(form.path)) if form.path else "new run file"
    unsaved = " (not saved)" if form.path and form.unsaved else ""
    count = len(form.own) + len(form.unread)
    own = f"{count} set by you" if count else "nothing set by you yet"
    wrong = len(form.problems)
    parts: list[Content | tuple[str, str] | str] = [
        " ",
        (name, "bold"),
        unsaved,
        ("   " + own, "$text-muted"),
    ]
    if wrong:
        parts.append((f"   ! {wrong} to mend", "bold $text-error"))
    return Content.assemble(*parts)
