"""The JSON Schema of a run file, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from qtui.config.models import FineTuneConfig
from qtui.config.presets import PRESETS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a run file: what `load` accepts, with help texts."""
    described = FineTuneConfig.model_json_schema()
    for section in described["$defs"].values():
        for setting in section["properties"].values():
            kinds = setting.get("anyOf", [])
            if {"type": "null"} in kinds:
                # In a run file the word none may be written for null.
                kinds.append({"const": "none"})
    properties = {
        # A section of which every setting is commented out is null.
        name: {"anyOf": [{"$ref": section["$ref"]}, {"type": "null"}]}
        for name, section in described["properties"].items()
    }
    preset = {
        "anyOf": [{"enum": list(PRESETS)}, {"type": "null"}],
        "description": "Settings to begin with; everything in the file wins over them.",
    }
    return {
        "$schema": DIALECT,
        "title": "qtui run file",
        "description": FineTuneConfig.__doc__,
        "type": ["object", "null"],
        "properties": {"preset": preset, **properties},
        "additionalProperties": False,
        "$defs": described["$defs"],
    }
