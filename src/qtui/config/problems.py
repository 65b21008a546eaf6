"""What is wrong with a run file: every problem at once, each at its place, in a plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtui.errors import InputError
from qtui.terminal import clean_line

SHOWN = 50
"""Problems listed in the message of one error; the rest is counted."""

_REMEDY = "mend each line above; `qtui init PATH` writes a run file that explains every setting"


@dataclass(frozen=True)
class Problem:
    """One thing to mend.

    `file` is the run file as the user named it, `--set`, `--preset` or the name of an environment
    variable. `line` and `column` count from 1 and are None where there is no line. `key` is the
    setting (`training.learning_rate`) or empty. `str()` is safe to show and reads
    `run.yaml:12: training.lerning_rate: unknown setting; did you mean learning_rate?`.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    sentence: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, self.key, self.sentence]
        return clean_line(": ".join(part for part in parts if part))


class ConfigError(InputError):
    """The run file and what was set beside it cannot be used; `problems` holds every reason."""

    def __init__(self, problems: Sequence[Problem], *, remedy: str = _REMEDY) -> None:
        lines = [str(problem) for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"... and {len(problems) - SHOWN} more")
        super().__init__("\n".join(lines), remedy=remedy)
        self.problems = list(problems)


def shown(value: object) -> str:
    """Name a value that was given, in words, short and safe to show."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{clean_line(value, 60)}"'
    if isinstance(value, list):
        items = ", ".join(item if isinstance(item, str) else shown(item) for item in value[:8])
        rest = ", ..." if len(value) > 8 else ""
        return f"the list [{clean_line(items + rest, 60)}]"
    if isinstance(value, dict):
        return "a section"
    # A whole number of more digits than Python writes out.
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return str(value)
