"""The lists that the configure screen offers: presets, models, data, choices, run files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtui.config import form as forms
from qtui.config.fields import by_key
from qtui.config.form import Form
from qtui.config.presets import PRESETS
from qtui.errors import QtuiError
from qtui.runs.recent import Recent
from qtui.screens.configure.lines import DATA, MODEL, PRESET
from qtui.screens.list_editor import ListEditor
from qtui.screens.picker import Entry, Picker

VALIDATION = "data.validation_path"
TARGETS = "model.target_modules"
WITH_LIST = (MODEL, DATA, VALIDATION)
"""Settings whose values are listed although others are possible."""


def picker(form: Form, key: str, recent: Recent, workspace: Path) -> Picker:
    """The list for `key`; answers a text for `Form.typed`, for the preset its name or nothing."""
    if key == PRESET:
        entries = [Entry(p.name, p.name, p.sentence) for p in PRESETS.values()]
        entries.append(Entry("", "none", "Nothing but the defaults."))
        return Picker("Preset", entries, current=form.preset or "")
    current = form.text(key)
    if key == MODEL:
        return Picker(
            "Model",
            [Entry("builtin:tiny", "builtin:tiny", "built in"), *_used(recent.models)],
            hint="or type a hub id (owner/name) or a folder",
            current=current,
            free=True,
            gather=lambda: _models(form, workspace),
        )
    if key in (DATA, VALIDATION):
        builtin = [Entry("builtin:camara", "builtin:camara", "built in")] if key == DATA else []
        none = [Entry("none", "none", "hold rows out")] if key == VALIDATION else []
        return Picker(
            "Data" if key == DATA else "Data to evaluate on",
            [*builtin, *none, *_used(recent.data)],
            hint="or type a file, a folder or a hub id; [a, b] for several",
            current=current,
            free=True,
            gather=lambda: _data(form, workspace),
        )
    field = by_key()[key]
    notes = {forms.text_of(key, field.default): "default"}
    if form.base(key) != field.default:
        notes[forms.text_of(key, form.base(key))] = "preset"
    entries = [Entry(choice, choice, notes.get(choice, "")) for choice in forms.choices(key)]
    return Picker(field.name, entries, hint="", current=current)


def list_editor(form: Form, key: str) -> ListEditor:
    """The entries for a setting that holds a list."""
    field = by_key()[key]
    value = form.value(key)
    items = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    # Choices of a setting that is a word by default are words; else they are what a list may hold.
    words = field.choices if isinstance(field.default, str) else ()
    known = () if words else field.choices
    gather = (lambda: _layers(form)) if key == TARGETS else None
    title = f"{field.name}: {field.type}"
    return ListEditor(title, items, known, alone=words, free=not known, gather=gather)


def run_file(workspace: Path) -> Picker:
    """The list of run files in the workspace."""
    return Picker(
        "Open a run file",
        hint="or type its path",
        free=True,
        gather=lambda: _run_files(workspace),
    )


def _used(names: Sequence[str]) -> list[Entry]:
    return [Entry(name, name, "used before") for name in names if not name.startswith("builtin:")]


def _layers(form: Form) -> list[str]:
    """Names of the linear layers of the form's model; none where its shape is not known."""
    from qtui.system.shapes import shape_of

    config = form.config
    if config is None:
        return []
    try:
        shape = shape_of(config.model.model_name, config.model.revision)
    except (QtuiError, OSError):
        return []
    return [layer.name.rpartition(".")[2] for layer in shape.linear_layers()]


def _models(form: Form, workspace: Path) -> list[Entry]:
    from qtui.system.hub_cache import cached_models
    from qtui.system.nearby import models_below
    from qtui.system.shapes import known_models

    return [
        *_below(models_below(workspace), form, workspace, "folder here"),
        *(Entry(name, name, "downloaded") for name in cached_models()),
        *(Entry(name, name, "on the hub") for name in known_models()),
    ]


def _data(form: Form, workspace: Path) -> list[Entry]:
    from qtui.system.nearby import data_below

    return _below(data_below(workspace), form, workspace, "here")


def _below(found: Sequence[str], form: Form, workspace: Path, detail: str) -> list[Entry]:
    """Paths relative to the workspace, as the form must have them to mean the same files."""
    if form.folder.absolute() == workspace.absolute():
        return [Entry(path, path, detail) for path in found]
    return [Entry(str(workspace.absolute() / path), path, detail) for path in found]


def _run_files(workspace: Path) -> list[Entry]:
    places = (workspace, workspace / "configs")
    found = [path for place in places for path in sorted(place.glob("*.y*ml")) if path.is_file()]
    names = [str(path.relative_to(workspace)) for path in found]
    return [Entry(name, name) for name in names]
