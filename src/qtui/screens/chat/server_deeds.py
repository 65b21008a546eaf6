"""Starting the server again, keeping or stopping it: asked for, or asked about."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from qtui.errors import QtuiError
from qtui.screens.chat import choosing
from qtui.screens.chat.link import IDLE_MINUTES, State
from qtui.screens.dialogs import Choice, Option

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen


async def start_again(screen: ChatScreen) -> None:
    """Ask how to try again, and do it."""
    session = screen.session
    if session is None:
        return
    options = [Option("again", "y", "try again")]
    if session.opened.subject is not None:
        options += [
            Option("cpu", "c", "on the CPU: slower, but it needs no GPU"),
            Option("chatml", "t", "with the ChatML template, for a base that has none"),
        ]
    options.append(Option("other", "o", "talk to another model"))
    error = session.link.error
    sentence = "" if error is None else f"{error.message}\n{error.remedy}".strip()
    answer = await screen.app.push_screen_wait(Choice("Start a server?", sentence, options))
    if answer == "other":
        await choosing.open_other(screen)
    elif answer is not None:
        link = session.link
        link.device = "cpu" if answer == "cpu" else link.device
        link.chat_template = "chatml" if answer == "chatml" else link.chat_template
        session.start_again()


async def without_template(screen: ChatScreen) -> None:
    """Ask how to talk to a model that has no chat template, and do it."""
    session, exchange = screen.session, screen.chosen
    if session is None or exchange is None:
        return
    options = [Option("plain", "p", "as plain text: it goes on from what you write")]
    if session.link.mine:
        options.append(Option("chatml", "t", "with the ChatML template, if it was trained with it"))
    answer = await screen.app.push_screen_wait(
        Choice(
            "This model has no chat template",
            "It does not say how a conversation is written, and a guess would spoil its answers. "
            "Of another template: qtui serve MODEL --chat-template FILE",
            options,
        )
    )
    if answer == "plain":
        screen.take_draft(replace(screen.draft, plain=True))
        session.again(exchange.id)
    elif answer == "chatml":
        await _stop(screen)
        session.link.chat_template = "chatml"
        session.start_again()


async def leave(screen: ChatScreen) -> None:
    """Back to Home; asked once, what becomes of a server that was started here."""
    if await settle(screen, "Leave the server running?"):
        await screen.qtui.action_back()


async def settle(screen: ChatScreen, title: str) -> bool:
    """Do with a server that was started here what the user wants; False: nothing after all."""
    link = screen.session.link if screen.session is not None else None
    if link is None or not link.mine or link.run is None:
        return True
    if not screen.when_left:
        answer = await screen.app.push_screen_wait(
            Choice(
                title,
                f"{link.run.name} holds the model in memory, so that the next answer comes at "
                f"once. It ends by itself after {IDLE_MINUTES:.0f} idle minutes. "
                "This is asked once; v on Chat changes it.",
                (Option("keep", "k", "leave it running"), Option("stop", "s", "stop it")),
            )
        )
        if answer is None:
            return False
        screen.when_left = answer
    if screen.when_left == "stop":
        await _stop(screen)
    return True


async def _stop(screen: ChatScreen) -> None:
    link = screen.session.link if screen.session is not None else None
    if link is None or link.run is None:
        return
    name, id = link.run.name, link.run.id
    try:
        await link.stop()
    except (QtuiError, OSError) as error:
        screen.tell(error)
        return
    screen.qtui.say(f"The server {name} was stopped\nqtui runs stop {shlex.quote(id)}")


async def server(screen: ChatScreen) -> None:
    """Say what the server is, and ask what is to become of it."""
    session = screen.session
    if session is None:
        return
    link = session.link
    if link.state in (State.APART, State.FAILED):
        await start_again(screen)
        return
    if link.run is None or not link.mine:
        who = "is elsewhere" if link.run is None else f"is {link.run.name}, not started here"
        screen.qtui.say(f"The server {who}: it is left as it is.")
        return
    options = (
        Option("keep", "k", "keep it, also when this screen is left"),
        Option("leave", "l", "stop it when this screen is left"),
        Option("stop", "s", "stop it now"),
    )
    sentence = f"Its folder is runs/{link.run.id}. qtui runs stop {link.run.name} stops it too."
    answer = await screen.app.push_screen_wait(
        Choice(f"The server {link.run.name}", sentence, options)
    )
    if answer == "stop":
        session.stop()
        await _stop(screen)
    elif answer is not None:
        screen.when_left = "keep" if answer == "keep" else "stop"
