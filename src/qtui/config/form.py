"""A run file that is being filled in: what was set by hand, over a preset, over the defaults.

The state behind the configure screen, without the screen. A `Form` is frozen; every change gives
another one. Precedence is the run file's: environment > own > preset > default. Texts are read as
after `--set`, so the form, the command line and the file agree on what a text means; whatever a
form comes to, loading its `yaml()` comes to the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from qtui.config import presets
from qtui.config.checking import check
from qtui.config.fields import by_key, fields, sections
from qtui.config.load import load_with_sources, resolve_dict, with_absolute_paths
from qtui.config.models import FineTuneConfig
from qtui.config.names import closest
from qtui.config.overrides import FLAG, from_environment, from_flags
from qtui.config.paths import ALWAYS_PATHS, MAYBE_HUB, absolute
from qtui.config.presets import PRESETS
from qtui.config.problems import Problem
from qtui.config.sources import Layer, Place, Setting
from qtui.config.template import scalar
from qtui.terminal import clean_line

PATHS = ("model.model_name", *MAYBE_HUB, *ALWAYS_PATHS)
"""Settings that hold a path, or may."""

_HERE = Place("")


@dataclass(frozen=True)
class Form:
    """`own` is key → value as set by hand; `unread` key → a text that is not even YAML.

    Relative paths among `own` start at `folder`. `environment` are the settings of `QTUI_A__B`
    variables, which win over all else, and `astray` what is wrong with such variables. `path` is
    the run file that the form was read from or written to, `saved` the text it has there.
    """

    preset: str | None = presets.DEFAULT
    own: Mapping[str, Any] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, Setting] = field(default_factory=dict)
    astray: tuple[Problem, ...] = ()
    path: Path | None = None
    saved: str = ""

    # -- what stands there -----------------------------------------------------------------------

    def layer(self, key: str) -> Layer:
        """Where the value of `key` comes from."""
        if key in self.environment:
            return Layer.ENVIRONMENT
        if key in self.own or key in self.unread:
            return Layer.FILE
        return Layer.PRESET if key in self._of_preset else Layer.DEFAULT

    def value(self, key: str) -> Any:
        """The value in force, valid or not; for a text that cannot be read the text itself."""
        if key in self.environment:
            return self.environment[key].value
        if key in self.unread:
            return self.unread[key]
        return self.own[key] if key in self.own else self.base(key)

    def base(self, key: str) -> Any:
        """The value that a reset gives back: the preset's, else the default."""
        return self._of_preset.get(key, by_key()[key].default)

    def text(self, key: str) -> str:
        """The value in force as a text to show and to edit, one safe line."""
        if key in self.unread and key not in self.environment:
            return clean_line(self.unread[key])
        return text_of(key, self.value(key))

    @cached_property
    def changed(self) -> frozenset[str]:
        """Keys that were set by hand, or whose value is not the default."""
        differing = {f.key for f in fields() if self.value(f.key) != f.default}
        return frozenset(differing | self.own.keys() | self.unread.keys())

    @property
    def _of_preset(self) -> Mapping[str, Any]:
        return PRESETS[self.preset].settings if self.preset else {}

    # -- changes ---------------------------------------------------------------------------------

    def typed(self, key: str, text: str) -> Form:
        """The form after `text` was typed for `key`, read as after `--set`."""
        read = next(iter(from_flags([f"{key}={_as_list(key, text)}"])))
        if isinstance(read, Problem):
            return replace(self, own=_without(self.own, key), unread={**self.unread, key: text})
        return self.with_value(key, read.value)

    def with_value(self, key: str, value: Any) -> Form:
        """The form with `value` for `key`; the preset's or default value is no change."""
        if _same(value, self.base(key)):
            return self.reset(key)
        own = {**self.own, key: value}
        return replace(self, own=own, unread=_without(self.unread, key))

    def reset(self, key: str) -> Form:
        """The form without what was set by hand for `key`."""
        return replace(self, own=_without(self.own, key), unread=_without(self.unread, key))

    def with_preset(self, name: str | None) -> Form:
        """The form over another preset; what was set by hand stays."""
        return replace(self, preset=name)

    def rebased(self, folder: Path) -> Form:
        """The form with relative paths rewritten to start at `folder` and mean the same files."""
        folder = folder.absolute()
        if folder == self.folder.absolute():
            return self
        values = {f.key: f.default for f in fields()} | {
            key: self.own[key] for key in PATHS if _is_text(self.own.get(key))
        }
        kind = self.value("data.input_type")
        values["data.input_type"] = kind if isinstance(kind, str) else "auto"
        found = absolute(values, lambda _: self.folder)
        moved = {
            key: _moved(self.own[key], found[key], folder)
            for key in PATHS
            if _is_text(self.own.get(key)) and key in found
        }
        return replace(self, own={**self.own, **moved}, folder=folder)

    # -- what it comes to ------------------------------------------------------------------------

    @cached_property
    def _checked(self) -> tuple[FineTuneConfig | None, tuple[Problem, ...]]:
        settings = {key: s for key, s in self._settings.items() if s.layer is not Layer.DEFAULT}
        readable = {key: s for key, s in settings.items() if key not in self.unread}
        config, invalid = check(readable)
        problems = [*invalid, *self.astray]
        for key, text in self.unread.items():
            read = next(iter(from_flags([f"{key}={text}"])))
            if isinstance(read, Problem):
                problems.append(Problem("", None, None, key, read.sentence))
        order = {key: number for number, key in enumerate(by_key())}
        problems.sort(key=lambda problem: order.get(problem.key, len(order)))
        return (None if problems else config), tuple(problems)

    @cached_property
    def _settings(self) -> dict[str, Setting]:
        """Every key with its value and layer."""
        return {
            key: self.environment.get(key) or Setting(key, self.value(key), self.layer(key), _HERE)
            for key in by_key()
        }

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, in the order of the run file."""
        return self._checked[1]

    def problem(self, key: str) -> str:
        """What is wrong with `key` in a sentence; empty when nothing is."""
        return next((p.sentence for p in self.problems if p.key == key), "")

    @cached_property
    def config(self) -> FineTuneConfig | None:
        """The config with absolute paths, as a run takes it; None while there are problems."""
        config = self._checked[0]
        if config is None:
            return None
        return with_absolute_paths(config, self._settings, self.folder / "run.yaml")

    @property
    def unsaved(self) -> bool:
        """Whether there is something that its run file does not say."""
        return self.yaml() != self.saved if self.path else bool(self.own or self.unread)

    def yaml(self) -> str:
        """The run file: the preset's name and what was set by hand."""
        lines = [f"preset: {self.preset}"] if self.preset else []
        values = {**self.own, **self.unread}
        for section in sections():
            of_section = [
                f"  {setting.name}: {scalar(values[setting.key])}"
                for setting in fields()
                if setting.section == section and setting.key in values
            ]
            lines += [f"{section}:", *of_section] if of_section else []
        return "\n".join(lines or ["{}"]) + "\n"

    def command(self) -> list[str]:
        """The words of `qtui train` that come to this form without a file, started in the
        current folder; only for a form with a preset, because the command asks for one."""
        assert self.preset is not None
        here = self.rebased(Path.cwd())
        flags = [f"{key}={text_of(key, here.own[key])}" for key in by_key() if key in here.own]
        return ["qtui", "train", "--preset", self.preset, *(w for f in flags for w in (FLAG, f))]


def blank(environ: Mapping[str, str] = os.environ) -> Form:
    """A new form on the default preset."""
    return _in(environ, Form())


def opened(path: Path, environ: Mapping[str, str] = os.environ) -> Form:
    """The form of a run file. Raises ConfigError with every problem and its line."""
    loaded = load_with_sources(path, environ={})
    own = {key: s.value for key, s in loaded.sources.items() if s.layer is Layer.FILE}
    folder = path.absolute().parent
    form = Form(preset=loaded.preset, own=own, folder=folder, path=path)
    return _in(environ, replace(form, saved=form.yaml()))


def of_config(config: FineTuneConfig, environ: Mapping[str, str] = os.environ) -> Form:
    """The form of a resolved config, such as an earlier run's, without a preset."""
    resolved = resolve_dict(config)
    own = {
        setting.key: value
        for setting in fields()
        if not _same(value := resolved[setting.section][setting.name], setting.default)
    }
    return _in(environ, Form(preset=None, own=own))


def text_of(key: str, value: Any) -> str:
    """A value as one safe line that `Form.typed` reads as the same value."""
    if value is None:
        return "none"
    if isinstance(value, str) and value == clean_line(value):
        read = next(iter(from_flags([f"{key}={value}"])))
        if isinstance(read, Setting) and _same(read.value, value):
            return value
    return scalar(value)


def choices(key: str) -> tuple[str, ...]:
    """The only texts that `key` takes; empty where more than these are possible."""
    setting = by_key()[key]
    if setting.text or setting.listed or "number" in setting.type:
        return ()
    switches = ("true", "false") if "true or false" in setting.type else ()
    none = ("none",) if setting.nullable else ()
    return (*switches, *setting.choices, *none)


def _in(environ: Mapping[str, str], form: Form) -> Form:
    read = list(from_environment(environ))
    settings = {found.key: found for found in read if isinstance(found, Setting)}
    astray = tuple(found for found in read if isinstance(found, Problem))
    return replace(form, environment=settings, astray=astray)


def _as_list(key: str, text: str) -> str:
    """`q_proj, v_proj` for a setting that takes a list but no text, with the brackets added."""
    setting = by_key()[key]
    bare = text.strip()
    if not setting.listed or setting.text or not bare or bare[0] in "[\"'":
        return text
    if "," not in bare and closest(bare.lower(), setting.choices, cutoff=0.6) and _alone(key):
        return text
    return f"[{bare}]"


def _alone(key: str) -> bool:
    """Whether a choice of `key` is meant by itself, not as an item of its list."""
    return isinstance(by_key()[key].default, str)


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one kind: 1 is not true, and 3 is 3.0 only among numbers."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _is_text(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def _moved(given: Any, found: Any, folder: Path) -> Any:
    """A path as given, rewritten to start at `folder` where it was relative."""
    if isinstance(given, list):
        return [_moved(one, path, folder) for one, path in zip(given, found, strict=True)]
    if given == found or given.startswith("~"):
        return given
    path = Path(found)
    return f"./{path.relative_to(folder)}" if path.is_relative_to(folder) else found
