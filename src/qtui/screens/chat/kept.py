"""What is kept of a place: its conversations and its saved prompts, opened, saved and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtui.dashboard.background import off_loop
from qtui.errors import QtuiError
from qtui.screens.chat import lists
from qtui.screens.picker import Entry

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen


async def pick_history(screen: ChatScreen) -> None:
    """Open a conversation that was kept, or begin a new one."""
    session = screen.session
    if session is None:
        return
    history = session.history
    await session.written()
    picker = lists.RemovingPicker(
        "Conversations",
        lambda: lists.conversations(history),
        history.delete,
        kept=(Entry(lists.NEW, "a new conversation"),),
        hint="enter: open   ctrl+d: delete   esc: back",
    )
    chosen = await screen.app.push_screen_wait(picker)
    if chosen is None or screen.session is not session:
        return
    if chosen == lists.NEW:
        screen.action_new()
        return
    try:
        conversation = await off_loop(lambda: history.load(chosen))
    except (QtuiError, OSError) as error:
        screen.tell(error)
        return
    screen.selected = screen.changing = ""
    session.begin(conversation)
    screen.take_conversation()


async def pick_prompt(screen: ChatScreen) -> None:
    """Put a saved prompt into the line to type in."""
    session = screen.session
    if session is None:
        return
    history = session.history
    picker = lists.RemovingPicker(
        "Saved prompts",
        lambda: lists.prompts(history),
        history.remove_prompt,
        hint="enter: take   ctrl+d: remove   esc: back   ctrl+s while typing saves one",
    )
    chosen = await screen.app.push_screen_wait(picker)
    if chosen:
        screen.fill(chosen)


async def save_prompt(screen: ChatScreen) -> None:
    """Keep what is typed, else the prompt under the cursor."""
    session, exchange = screen.session, screen.chosen
    if session is None:
        return
    text = screen.input.text.strip() or (exchange.prompt if exchange is not None else "")
    if not text:
        screen.qtui.say("There is no prompt to save.")
        return
    try:
        await off_loop(lambda: session.history.save_prompt(text))
    except (QtuiError, OSError) as error:
        screen.tell(error)
        return
    screen.qtui.say("Saved; ctrl+l has it.")
