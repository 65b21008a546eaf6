"""The headless twin of what is asked on the screen: `qtui chat …`, to be copied."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from qtui.dashboard.copying import copy_command
from qtui.screens.chat.opening import BASE
from qtui.screens.chat.sampling import NUMBERS, Draft, value_of

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen
    from qtui.screens.chat.session import Session


async def copy(screen: ChatScreen) -> None:
    """Copy the command that asks the same without the screen."""
    session, exchange = screen.session, screen.chosen
    if session is None:
        return
    prompt = exchange.prompt if exchange is not None else screen.input.text
    command = words(session, screen.draft, prompt)
    await copy_command(screen.qtui, shlex.join(command))


def words(session: Session, draft: Draft, prompt: str) -> list[str]:
    """The command that asks `prompt` of those who are talked to."""
    talk, sides, base = session.opened.talk, session.conversation.sides, session.base
    command = ["qtui", "chat"]
    if talk.address is not None:
        address = talk.address
        command += ["--url", f"unix:{address.socket}" if address.socket else address.url]
        for side in sides:
            command += ["--model", side]
    else:
        named = [side for side in sides if side not in (BASE, base)]
        command += named or talk.refs
        command += ["--base"] if named and len(named) < len(sides) else []
    command += ["--prompt", prompt or "Hello"]
    if draft.plain:
        command.append("--plain")
    elif draft.system.strip():
        command += ["--system", draft.system]
    default = Draft()
    for field in NUMBERS:
        value = value_of(draft, field.name)
        if value and value != value_of(default, field.name):
            command += [f"--{field.name.replace('_', '-')}", value]
    for each in draft.settings.stop:
        command += ["--stop", each]
    if draft.settings.json_schema is not None:
        command += ["--json-schema", draft.schema_file]
    return [*command, "--raw"] if session.raw else command
