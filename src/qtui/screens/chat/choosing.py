"""Choosing whom to talk to: the model of a side, one side or two, something else altogether."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.errors import QtuiError
from qtui.runs import serving
from qtui.screens.chat.opening import Talk, choices, said
from qtui.screens.picker import Entry, Picker
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen


async def choose_model(screen: ChatScreen, side: int) -> None:
    """Ask which model answers on `side`."""
    session = screen.session
    if session is None:
        return
    sides = session.conversation.sides
    chosen = await _model(screen, sides[side] if side < len(sides) else "")
    if chosen is None or screen.session is not session:
        return
    changed = list(sides)
    changed[side:] = [chosen, *sides[side + 1 :]]
    session.use(tuple(changed))


async def _model(screen: ChatScreen, current: str) -> str | None:
    """Ask for one of the models that this server has or can load."""
    session = screen.session
    assert session is not None
    subject, workspace = session.opened.subject, screen.qtui.workspace
    base = session.base
    listed = [Entry(model.id, said(model.id, base), _of(model.id, base))
              for model in session.link.models]  # fmt: skip
    if base and base not in {entry.value for entry in listed}:
        listed.insert(0, Entry(base, "base", clean_line(base, 40)))

    def gather() -> list[Entry]:
        if subject is None:
            return []
        return [Entry(id, said(id, base), what) for id, what in choices(workspace, subject.model)]

    hint = "runs and checkpoints of this base; o on the answers: another base"
    return await screen.app.push_screen_wait(
        Picker("Which model", listed, current=current, gather=gather, hint=hint)
    )


def _of(id: str, base: str) -> str:
    return clean_line(id, 40) if id == base else "loaded"


async def one_or_two(screen: ChatScreen) -> None:
    """A second side, or only the one under the cursor."""
    session = screen.session
    if session is None:
        return
    sides = session.conversation.sides
    if len(sides) > 1:
        side = screen.chosen_side
        session.use((sides[side],), anew=side > 0)
        return
    chosen = await _model(screen, "")
    if chosen is not None and screen.session is session:
        session.use((*sides[:1], chosen))


async def open_other(screen: ChatScreen) -> None:
    """Ask what else to talk to."""
    workspace = screen.qtui.workspace

    def gather() -> list[Entry]:
        from qtui.runs import folder

        found = []
        for run in folder.all_runs(workspace):
            try:
                subject = serving.of_run(workspace, run)
                if run.spec.kind == "train":
                    base = clean_line(subject.model.model_name, 40)
                    found.append(Entry(run.id, clean_line(run.name), base))
            except (QtuiError, OSError, ValueError):
                continue
        return [*found, Entry("builtin:tiny", "builtin:tiny", "the built-in base model")]

    picker = Picker(
        "Talk to", free=True, gather=gather,
        hint="a run, RUN@STEP, a model's folder, a .gguf file, a hub id, or a server's address",
    )  # fmt: skip
    chosen = await screen.app.push_screen_wait(picker)
    if not chosen:
        return
    if chosen.startswith(("http://", "https://", "unix:")):
        from qtui.chat.client import parse_url

        try:
            screen.open(Talk(address=parse_url(chosen)))
        except QtuiError as error:
            screen.tell(error)
    else:
        screen.open(Talk(tuple(chosen.split())))
