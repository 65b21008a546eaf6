"""What the screen is opened with, and what that comes to: models, their server, a place for files.

Reads run folders: for a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtui.chat.place import place, run_of
from qtui.config.serve import Quantization, ServedModel
from qtui.errors import QtuiError
from qtui.runs import folder, serving
from qtui.runs.folder import Run
from qtui.runs.serving import Address, Subject
from qtui.terminal import clean_line

BASE = ""
"""A side that is the base, as long as the server has not said what it calls it."""


@dataclass(frozen=True)
class Talk:
    """Who is to be talked to: what one or two `refs` name (runs, `RUN@STEP`, a base model), or
    whatever listens at `address`; there `models` are the ids to ask."""

    refs: tuple[str, ...] = ()
    address: Address | None = None
    models: tuple[str, ...] = ()
    device: str | None = None
    """Where a server that is started for it computes; none: where it likes."""
    chat_template: str | None = None
    """What such a server takes for a chat template; none: the model's own."""
    quantization: Quantization | None = None
    """How it holds the base; none: as the run was trained on it."""


@dataclass(frozen=True)
class Opened:
    """What a `Talk` comes to."""

    talk: Talk
    subject: Subject | None
    """What a server has to have; none for one elsewhere."""
    sides: tuple[str, ...]
    """Ids of the models, or `BASE`; empty until a server elsewhere has said what it has."""
    place: Path
    """Folder of the conversations and judgements."""
    run: Run | None = None
    """The run that the conversations belong to."""

    @property
    def base(self) -> str:
        """What the base is called by who started the server; empty for one elsewhere."""
        return "" if self.subject is None else self.subject.model.model_name


def open_talk(workspace: Path, talk: Talk) -> Opened:
    """Find out what `talk` comes to.

    Raises QtuiError where there is nothing of that name, or nothing to talk to in it yet.
    """
    if talk.address is not None:
        return Opened(talk, None, talk.models[:2], place(workspace, None))
    subject = serving.subject(workspace, talk.refs, quantization=talk.quantization)
    each = [serving.subject(workspace, [ref]) for ref in talk.refs]
    sides = [one.adapters[-1].name if one.adapters else BASE for one in each]
    if len(sides) == 1 and sides[0] != BASE:
        sides.insert(0, BASE)
    run = run_of(workspace, talk.refs)
    return Opened(talk, subject, tuple(dict.fromkeys(sides))[:2], place(workspace, run), run)


def choices(workspace: Path, base: ServedModel) -> list[tuple[str, str]]:
    """What else can be talked to on `base`: names of runs and of their checkpoints, newest first,
    each with what it is."""
    found: list[tuple[str, str]] = []
    for run in folder.all_runs(workspace):
        try:
            subject = serving.of_run(workspace, run)
            steps = serving.checkpoint_steps(run)
        except (QtuiError, OSError, ValueError):
            continue  # nothing to talk to, or not readable
        if run.spec.kind != "train" or subject.model.model_name != base.model_name:
            continue
        names = [adapter.name for adapter in subject.adapters]
        found += [(name, "run") for name in names if "@" not in name]
        found += [(f"{run.name}@{step}", f"checkpoint of step {step}") for step in reversed(steps)]
    return found


def said(model: str, base: str) -> str:
    """How a model is called on the screen: `base`, `quiet-otter`, `quiet-otter step 400`."""
    if model in (BASE, base):
        return "base"
    name, at, step = model.rpartition("@")
    return clean_line(f"{name} step {step}" if at and step.isdecimal() else model)
