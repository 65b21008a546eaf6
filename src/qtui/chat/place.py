"""Which folder a conversation belongs to: that of the run that is talked to, so that what was said
and judged stays with what was trained; else the workspace's own.

    chat/conversations/*.json   what was said (`history`)
    chat/prompts.json           prompts that were kept (`history`)
    chat/judgements.jsonl       every judgement (`judgements`), and what comes of them:
    chat/sft.jsonl, chat/preferences.jsonl
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtui.errors import QtuiError
from qtui.runs import serving
from qtui.runs.folder import Run

FOLDER = "chat"


def place(workspace: Path, run: Run | None) -> Path:
    """The folder for conversations with `run`, or with whatever is no run of this workspace. It
    need not exist."""
    return (workspace if run is None else run.path) / FOLDER


def run_of(workspace: Path, refs: Sequence[str]) -> Run | None:
    """The first training run among `refs` (`RUN`, `RUN@STEP`); none when they are base models."""
    for ref in refs:
        try:
            run = serving.find(workspace, ref.partition("@")[0])
            kind = run.spec.kind
        except QtuiError:
            continue
        if kind == "train":
            return run
    return None
