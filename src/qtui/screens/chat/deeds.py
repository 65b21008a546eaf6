"""What the chat screen does that takes a while or asks: choose, start, leave, keep, copy."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from qtui.dashboard.background import off_loop
from qtui.dashboard.copying import copy_command
from qtui.errors import QtuiError
from qtui.runs import serving
from qtui.screens.chat import lists
from qtui.screens.chat.link import IDLE_MINUTES, State
from qtui.screens.chat.opening import Talk, choices, said
from qtui.screens.chat.sampling import NUMBERS, Draft, value_of
from qtui.screens.dialogs import Choice, Option
from qtui.screens.picker import Entry, Picker
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.screens.chat.screen import ChatScreen


# ---- models --------------------------------------------------------------------------------------


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


# ---- the server ----------------------------------------------------------------------------------


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
        await open_other(screen)
    elif answer is not None:
        link = session.link
        link.device = "cpu" if answer == "cpu" else link.device
        link.chat_template = "chatml" if answer == "chatml" else link.chat_template
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


# ---- kept texts ----------------------------------------------------------------------------------


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


async def copy(screen: ChatScreen) -> None:
    """Copy the command that asks the same without the screen."""
    session, exchange = screen.session, screen.chosen
    if session is None:
        return
    prompt = exchange.prompt if exchange is not None else screen.input.text
    await copy_command(screen.qtui, shlex.join(words(session.opened.talk, screen.draft, prompt)))


def words(talk: Talk, draft: Draft, prompt: str) -> list[str]:
    """The command that asks `prompt` of those who are talked to."""
    command = ["qtui", "chat", *talk.refs]
    if talk.address is not None:
        address = talk.address
        command += ["--url", f"unix:{address.socket}" if address.socket else address.url]
    command += ["--prompt", prompt or "Hello"]
    if draft.system.strip():
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
    return command
