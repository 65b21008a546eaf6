"""Python that comes with a model, and the settings that would have it run.

`auto_map` in a model's settings names Python files of its author. Where transformers has code of
its own for the architecture it takes that and leaves the author's alone, so such a model is
accepted without `trust_remote_code`; where it has none, only that code could load the model, and
it is refused until the run file says `trust_remote_code: true`. Settings that name a compiled
kernel on the hub are refused in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtui.errors import InputError
from qtui.terminal import clean_line

SETTINGS = ("config.json", "tokenizer_config.json")

_LARGEST_JSON = 100_000_000
_KERNEL_KEYS = ("attn_implementation", "experts_implementation")
_AGAIN = "download or copy the model again"


def refuse(path: Path, *, trust_remote_code: bool) -> None:
    """Refuse a folder whose settings would run Python code that nobody agreed to.

    Raises:
        InputError: says which file asks for it and what would run.
    """
    if trust_remote_code:
        return
    model = clean_line(str(path))
    config = read_json(path / "config.json")
    for key, value in _kernels(config):
        raise InputError(
            f"config.json of {model} sets {key} to {value!r}: a kernel, that is compiled code, "
            "loaded from the hub",
            remedy="remove the key, or set model.trust_remote_code: true if you trust its author",
        )
    named = named_by(path)
    if not named:
        return
    model_type = str(config.get("model_type", ""))
    if not _in_transformers(model_type):
        reason = f"transformers has no code of its own for model type {clean_line(model_type)!r}"
    elif "tokenizer_config.json" in named and not (path / "tokenizer.json").is_file():
        reason = "there is no tokenizer.json to use instead"
    else:
        return
    what = "; ".join(f"{name} names {', '.join(classes)}" for name, classes in named.items())
    raise InputError(
        f"{model} wants to run Python code that came with it: {what} ({reason})",
        remedy="read that code, then set model.trust_remote_code: true; or choose another model",
    )


def named_by(path: Path) -> dict[str, list[str]]:
    """Classes that `auto_map` names, by settings file: `modeling_x.XForCausalLM`; safe to show."""
    found = {}
    for name in SETTINGS:
        auto_map = read_json(path / name).get("auto_map") if (path / name).is_file() else None
        values = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
        flat = (each for value in values for each in _flat(value) if each)
        if classes := sorted({clean_line(str(each), 120) for each in flat}):
            found[name] = classes
    return found


def files(path: Path) -> list[str]:
    """Files in the folder that `auto_map` needs, such as modeling_x.py; another repository's not.

    `repository--module.Class` means a file elsewhere on the hub and is left out.
    """
    classes = [each for classes in named_by(path).values() for each in classes]
    return sorted({each.split(".")[0] + ".py" for each in classes if "--" not in each})


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a model's settings file.

    Raises:
        InputError: it is no JSON object, or too large to be one of settings.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise InputError(f"{clean_line(str(path))} is too large for a settings file", remedy=_AGAIN)
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{clean_line(str(path))} is no JSON: {error}", remedy=_AGAIN) from error
    if not isinstance(value, dict):
        raise InputError(f"{clean_line(str(path))} holds no JSON object", remedy=_AGAIN)
    return value


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _kernels(settings: Any, within: str = "") -> Iterator[tuple[str, str]]:
    """Settings, at any depth, that name a repository with a compiled kernel."""
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        name = within or (key if any(kernel in str(key) for kernel in _KERNEL_KEYS) else "")
        if isinstance(value, dict):
            yield from _kernels(value, name)
        elif name and isinstance(value, str) and "/" in value:
            yield clean_line(name, 60), clean_line(value, 80)


def _in_transformers(model_type: str) -> bool:
    """Whether the installed transformers brings the code for `model_type`. Imports it: 1 s."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES
