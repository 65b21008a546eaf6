"""The shape of a model by the name that a run file gives it, without the network.

Looked for in this order: the built-in model, a local folder, the hub's local cache, the table
of well-known models (`shapes.json`, each line with the source its numbers were read from). A
name that is in none of them is an error that says what to do.
"""

from __future__ import annotations

import difflib
import functools
import re
from importlib.resources import files
from pathlib import Path

import msgspec

from qtui.errors import NotFoundError
from qtui.system.hub_cache import cached_config, is_hub_id
from qtui.system.model_config import read_config
from qtui.system.model_shape import LinearLayer, ModelShape
from qtui.terminal import clean_line

__all__ = ["LinearLayer", "ModelShape", "known_models", "shape_of"]

# Words of a name that say how a model was tuned or packed, not how large it is.
_TUNED = re.compile(r"[-_](instruct|it|chat|hf|base|pt|bnb|4bit|unsloth)(?=[-_.]|$)|^meta-")


@functools.cache
def known_models() -> dict[str, ModelShape]:
    """The table of well-known models: hub id to shape."""
    text = files("qtui.system").joinpath("shapes.json").read_bytes()
    models = msgspec.json.decode(text)["models"]
    return {
        name: msgspec.convert({"name": name, **row}, ModelShape) for name, row in models.items()
    }


def _plain(name: str) -> str:
    """`name` without its owner and without the words that do not change a model's shape."""
    plain = name.rsplit("/", 1)[-1].lower()
    while (shorter := _TUNED.sub("", plain)) != plain:
        plain = shorter
    return plain


def shape_of(model_name: str, revision: str | None = None) -> ModelShape:
    """The shape of the model that `model_name` names in a run file.

    Raises NotFoundError when it is not known here, InputError when its config.json is no use.
    """
    if model_name.startswith("builtin:"):
        from qtui.builtin import model_path

        folder = model_path(model_name.removeprefix("builtin:"))
        return read_config(folder / "config.json", name=model_name)
    local = Path(model_name).expanduser()
    if local.is_dir():
        return read_config(local / "config.json", name=model_name)
    cached = cached_config(model_name, revision)
    if cached is not None:
        return read_config(cached, name=model_name)
    return _from_table(model_name)


def _from_table(model_name: str) -> ModelShape:
    table = known_models()
    for name, shape in table.items():
        if name.lower() == model_name.lower():
            return shape
    if is_hub_id(model_name):
        for name, shape in table.items():
            if _plain(name) == _plain(model_name):
                source = f"{shape.source} (taken to be shaped as {name}, by its name)"
                return msgspec.structs.replace(shape, name=clean_line(model_name), source=source)
    shown = clean_line(model_name, 120)
    close = difflib.get_close_matches(model_name, table, n=2, cutoff=0.75)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise NotFoundError(
        f"the shape of model {shown} is not known on this machine: it is no folder here, not in "
        "the hub's cache and not in the table of well-known models",
        remedy=f"Download its config.json with `hf download {shown} config.json`, or give a "
        f"local folder.{meant}"
        if is_hub_id(model_name)
        else f"Give a hub id (owner/name) or a folder that holds config.json.{meant}",
    )
