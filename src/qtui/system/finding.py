"""One thing that `doctor` found: good, worth knowing, or in the way; with what mends it."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "note", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """`what` is a sentence, `why` the reason, `command` the exact command that mends it.

    note: good to know; warning: something will not work or be slow; error: training cannot work.
    """

    level: Level
    what: str
    why: str = ""
    command: str = ""
