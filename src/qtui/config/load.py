"""Loads a run file: all layers read, merged by precedence, checked, every problem told at once.

Precedence: `--set a.b=c` > environment `QTUI_A__B` > run file > preset > default. A value that is
overridden is not checked: overriding it is one way of mending it. What comes out is frozen, and
its paths are absolute (see `paths`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtui.config import overrides as outside
from qtui.config.checking import check
from qtui.config.fields import by_key, sections
from qtui.config.models import FineTuneConfig
from qtui.config.names import closest, unknown_section, unknown_setting
from qtui.config.paths import absolute
from qtui.config.presets import PRESETS
from qtui.config.problems import ConfigError, Problem, shown
from qtui.config.run_file import RunFile, read
from qtui.config.sources import Layer, Place, Setting

PRESET_FLAG = "--preset"


@dataclass(frozen=True)
class Loaded:
    """A config and, for every setting, the layer and the place that its value came from."""

    config: FineTuneConfig
    sources: Mapping[str, Setting]
    preset: str | None

    def layer(self, key: str) -> Layer:
        """Return the layer that the value of `key` came from."""
        return self.sources[key].layer


def load(
    path: Path | None,
    *,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> FineTuneConfig:
    """Return the resolved config of a run file, or of no file at all.

    Raises ConfigError with every problem in every layer.
    """
    return load_with_sources(path, preset=preset, overrides=overrides, environ=environ).config


def load_with_sources(
    path: Path | None,
    *,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Like `load`, and say for every setting where its value came from."""
    file = read(path) if path is not None else RunFile()
    from_preset, used, preset_problems = _preset(preset, file.preset)
    variables, variable_problems = _split(outside.from_environment(environ))
    flags, flag_problems = _split(outside.from_flags(overrides))

    merged = {
        key: Setting(key, field.default, Layer.DEFAULT, Place(""))
        for key, field in by_key().items()
    }
    for layer in (from_preset, file.settings, variables, flags):
        merged |= {setting.key: setting for setting in layer}
    given = {key: setting for key, setting in merged.items() if setting.layer != Layer.DEFAULT}
    config, invalid = check(given)

    of_file = sorted(
        [*file.problems, *(p for p in invalid if p.line is not None)],
        key=lambda problem: (problem.line or 0, problem.column or 0),
    )
    elsewhere = [problem for problem in invalid if problem.line is None]
    problems = [*preset_problems, *of_file, *variable_problems, *flag_problems, *elsewhere]
    if config is None or problems:
        raise ConfigError(problems)
    return Loaded(with_absolute_paths(config, merged, path), merged, used)


def resolve_dict(config: FineTuneConfig) -> dict[str, Any]:
    """Return the whole config as plain JSON types, section → name → value, for run.json."""
    return config.model_dump(mode="json")


def from_dict(resolved: Mapping[str, Any], *, file: str = "run.json") -> FineTuneConfig:
    """Read back what `resolve_dict` wrote; settings that are missing have their defaults.

    Raises ConfigError for settings that this version does not know and for values that it
    refuses; `file` is the name in the problems.
    """
    problems, settings = [], {}
    newer = "written by a newer version of qtui? Update qtui to read it"
    for section, values in resolved.items():
        if section not in sections():
            sentence = f"{unknown_section(section)} ({newer})"
            problems.append(Problem(file, None, None, section, sentence))
        elif not isinstance(values, Mapping):
            sentence = f"must be a section; given {shown(values)}"
            problems.append(Problem(file, None, None, section, sentence))
        else:
            for name, value in values.items():
                key = f"{section}.{name}"
                if key in by_key():
                    settings[key] = Setting(key, value, Layer.FILE, Place(file))
                else:
                    sentence = f"{unknown_setting(key)} ({newer})"
                    problems.append(Problem(file, None, None, key, sentence))
    config, invalid = check(settings)
    if config is None or problems:
        raise ConfigError([*problems, *invalid])
    return config


def _split(read: Iterable[Setting | Problem]) -> tuple[list[Setting], list[Problem]]:
    settings: list[Setting] = []
    problems: list[Problem] = []
    for found in read:
        if isinstance(found, Setting):
            settings.append(found)
        else:
            problems.append(found)
    return settings, problems


def _preset(
    flag: str | None, in_file: Setting | None
) -> tuple[list[Setting], str | None, list[Problem]]:
    """Return the settings of the preset that counts, its name, and what is wrong with the name."""
    if flag is not None:
        name, place = flag, Place(PRESET_FLAG)
    elif in_file is not None and in_file.value is not None:
        name, place = in_file.value, in_file.place
    else:
        return [], None, []
    if not isinstance(name, str) or name not in PRESETS:
        close = closest(name, PRESETS) if isinstance(name, str) else None
        hint = f"did you mean {close}?" if close else f"there are {', '.join(PRESETS)}"
        sentence = f"there is no preset {shown(name).removeprefix('the text ')}; {hint}"
        key = "" if flag is not None else "preset"
        return [], None, [Problem(place.file, place.line, place.column, key, sentence)]
    named = Place(f"preset {name}")
    settings = PRESETS[name].settings.items()
    return [Setting(key, value, Layer.PRESET, named) for key, value in settings], name, []


def with_absolute_paths(
    config: FineTuneConfig, sources: Mapping[str, Setting], path: Path | None
) -> FineTuneConfig:
    """A copy of `config` whose paths are absolute; `path` is the run file, if there is one.

    `sources` has every key. Paths of the run file start at its folder, all others here.
    """
    here = Path.cwd()
    beside = path.absolute().parent if path is not None else here

    def folder_of(key: str) -> Path:
        return beside if sources[key].layer == Layer.FILE else here

    resolved = resolve_dict(config)
    values = {key: resolved[field.section][field.name] for key, field in by_key().items()}
    for key, value in absolute(values, folder_of).items():
        section, _, name = key.partition(".")
        resolved[section][name] = value
    return FineTuneConfig.model_validate(resolved)
