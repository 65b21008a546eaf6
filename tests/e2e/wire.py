"""What may stand on the wire between the dashboard and a terminal, and what is not ours.

Textual draws with escape sequences, so foreign ones cannot be found by looking for ESC. Instead
every sequence that Textual itself writes is taken out by a strict list; what is then left of
control characters came from somewhere else.
"""

from __future__ import annotations

import re

from tests.cli.corpus import control_characters

_MODES = "|".join(
    (
        "1049",  # alternate screen
        "1000|1002|1003|1006|1015",  # mouse
        "25",  # cursor
        "1004",  # focus
        "2004",  # bracketed paste
        "7",  # line wrap
        "2026|2048",  # synchronised output, resizes in band
    )
)
_ATTRIBUTE = r"(?:0|1|2|3|4|7|9|22|23|24|27|29|39|49|[34]8;5;\d{1,3}|[34]8;2;\d+;\d+;\d+)"
_OURS = re.compile(
    "|".join(
        (
            rf"\x1b\[{_ATTRIBUTE}(?:;{_ATTRIBUTE})*m",  # true colour only: never 31m or 35m
            r"\x1b\[\d{1,3};\d{1,3}H",
            rf"\x1b\[\?(?:{_MODES})[hl]",
            r"\x1b\[\?(?:2026|2048)\$p",
            r"\x1b\[>\d+u|\x1b\[<u",  # kitty's keyboard protocol
            r"\x1b\]22;[a-z-]*\x07",  # shape of the mouse pointer
        )
    )
)
_COPIED = re.compile(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def foreign(sent: bytes, *, may_copy: bool = False) -> list[str]:
    """Every control character that Textual did not write itself, with what stands around it.

    For a terminal of true colour (`COLORTERM=truecolor`) and a theme with colours of its own.
    `may_copy`: whether qtui was asked to put something into the clipboard.
    """
    text = _OURS.sub("", sent.decode("utf-8"))
    if may_copy:
        text = _COPIED.sub("", text)
    return control_characters(text.encode("utf-8"))
