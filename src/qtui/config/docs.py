"""Prints docs/run-file.md: `python -m qtui.config.docs > docs/run-file.md`.

A test compares the file with what this prints, so the two cannot drift apart.
"""

from __future__ import annotations

import sys

from qtui.config.fields import FieldInfo, fields, sections
from qtui.config.presets import PRESETS
from qtui.config.template import scalar

_INTRODUCTION = """\
# The run file

<!-- Made by `python -m qtui.config.docs`; edit the docstrings in src/qtui/config/models.py. -->

A run file says what a run is asked to do: which model, which data, how to train. It is YAML (1.2:
`2e-4` is a number, `yes` is a text), and everything in it has a default. `qtui init run.yaml
--preset NAME` writes one with every setting explained, `qtui validate run.yaml` checks one, and
`qtui config schema` prints the JSON Schema for editors that complete and check while you type.

```yaml
preset: qlora-24gb

model:
  model_name: Qwen/Qwen3-8B
data:
  input_path: train.jsonl
training:
  num_epochs: 2
```

## Where a value comes from

The strongest first:

1. `--set section.name=value` on the command line; of two for one setting the last one counts.
2. The environment: `QTUI_SECTION__NAME=value`, such as `QTUI_TRAINING__LEARNING_RATE=1e-4`. A
   variable that is set and empty counts as not set. Names without a double underscore
   (`QTUI_WORKSPACE`) are not settings.
3. The run file.
4. The preset, from `--preset NAME` or a line `preset: NAME` at the top of the run file; the flag
   wins.
5. The default.

Values from the command line and the environment are read as YAML (`true`, `2e-4`,
`[q_proj, v_proj]`), except that a setting which takes any text gets the text as it stands. Lists
are replaced, not added to. `null` and `none` mean none; in quotes, `"none"` is a text.

## Paths

A relative path in a run file is relative to the run file's folder; after `--set` or in the
environment it is relative to the current folder. `~` is your home folder. The run's own record
(`run.json`) holds absolute paths.

`model.model_name`, `data.input_path` and `data.validation_path` may also name a repository on the
hub, which looks like a path. What begins with `/`, `./`, `../` or `~` is a path. So is what exists
there (for a model: as a folder), and so are data that end as a data file does (`.jsonl`, `.json`,
`.csv`, ...) or that come with `input_type: json` or `jsonl`. Anything else is a hub id. Write
`./name` where you mean a folder, so that a missing one is told as such.

## When something is wrong

Every problem is told at once, with file, line and a sentence, and the exit code is 2:

```
run.yaml:4: model.lora_rnk: unknown setting; did you mean lora_rank?
run.yaml:9: training.learning_rate: must be a number, above 0 and at most 1; given 5
--set: training.optim: must be one of auto, adamw_torch, ...; given the text "adam"
```

A setting given twice, tags (`!!python/...`), merge keys (`<<`), more than one document, files
above 1 MB and aliases that expand without end are refused. Keys and tokens never stand in a run
file: they come from the environment (`HF_TOKEN`, `WANDB_API_KEY`) or the tool's own login.

## Presets

"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for preset in PRESETS.values():
        values = ", ".join(f"{key}: {scalar(value)}" for key, value in preset.settings.items())
        parts.append(f"- **{preset.name}**: {preset.sentence} Sets `{values}`.\n")
    for section, about in sections().items():
        parts.append(f"\n## {section}\n\n{about}\n\n")
        parts.append("| setting | default | allowed | what it does |\n|---|---|---|---|\n")
        parts += [_row(field) for field in fields() if field.section == section]
    return "".join(parts)


def _row(field: FieldInfo) -> str:
    cells = (f"`{field.name}`", f"`{scalar(field.default)}`", field.allowed, field.help)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
