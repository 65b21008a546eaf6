"""Talk to a run, a checkpoint or a base model; two side by side; judge what they say.

A client of the HTTP protocol like any other: the model is in a server's process, which is found or
started here. Typing works at once; what is sent waits for the server. The same in a terminal:
`qtui chat`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from textual import events, on, work
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static, TextArea

from qtui import keymap
from qtui.dashboard.background import off_loop
from qtui.dashboard.remapping import display
from qtui.errors import QtuiError
from qtui.screens.chat import choosing, command, judging, kept, server_deeds
from qtui.screens.chat.judging import Judged
from qtui.screens.chat.keys import ChatKeys
from qtui.screens.chat.link import State
from qtui.screens.chat.opening import Opened, Talk, open_talk
from qtui.screens.chat.painting import paint
from qtui.screens.chat.prompt_input import PromptInput
from qtui.screens.chat.sampling import Draft
from qtui.screens.chat.session import Session
from qtui.screens.chat.transcript import Transcript
from qtui.widgets.readout import Readout

DRAW_SECONDS = 0.125
"""The shortest time between two drawings of an answer that is being written."""
_LAST_WORDS_SECONDS = 1.0
"""How long the dashboard's end waits for the conversation to be written."""
PAINT_SECONDS = 1 / 240
"""The shortest time between two paintings. With Textual's own, a letter that is typed just after a
piece of an answer was painted waits for up to 17 ms."""
LINES = 6
"""Lines to type in that are shown at most."""


class ChatScreen(ChatKeys):
    """The conversation, and the line to type in."""

    PLACE = "chat"
    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = "PromptInput"
    BINDINGS = [*keymap.bindings("chat")]

    def __init__(self) -> None:
        super().__init__()
        self.trouble: QtuiError | None = None
        """Why what was asked for could not be opened."""
        self._closed = False
        self._offered: object = None
        """What it depends on which keys are offered."""
        self._asked = 0
        self.opening = ""
        """What is waited for before there is anything to talk to."""
        self.starts: dict[str, int] = {}
        self._ticker: Timer | None = None

    def body(self) -> Iterable[Widget]:
        yield Readout(Content(""), id="chat-head")
        yield Readout(Content(""), id="chat-rule")
        yield Transcript(id="chat-answers", unicode=self.qtui.unicode)
        yield Readout(Content(""), id="chat-state")
        yield Horizontal(
            Static(Content("> "), id="chat-sign"), PromptInput(id="chat-input"), id="chat-line"
        )

    def on_mount(self) -> None:
        self._update_timer._interval = PAINT_SECONDS
        self._ticker = self.set_interval(DRAW_SECONDS, self._tick, pause=True)
        self.draw()

    async def on_unmount(self) -> None:
        session, self._closed = self.session, True
        if session is not None:
            if self.when_left == "stop":
                session.link.stop_now()
            session.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(session.written(), _LAST_WORDS_SECONDS)

    def on_screen_resume(self) -> None:
        self.changed()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.draw)

    @on(Transcript.Resized)
    def _resized(self) -> None:
        self.draw()

    def key(self, id: str) -> str:
        """How a key is called here: a user may have moved it."""
        return display(self.qtui.remapped.get(id, keymap.find(id).keys)).partition(", ")[0]

    def tell(self, error: QtuiError | OSError) -> None:
        """Say what went wrong, and the way out."""
        told = f"{error.message}\n{error.remedy}" if isinstance(error, QtuiError) else str(error)
        self.qtui.say(told.strip(), "error")

    # -- what is talked to -------------------------------------------------------------------------

    def open(self, talk: Talk, draft: Draft | None = None) -> None:
        """Talk to `talk` from now on; its server is started at once where there is none. `draft` is
        how answers are drawn from now on."""
        self.draft = draft or self.draft
        self.find(lambda: talk, eager=True)

    def find(self, find: Callable[[], Talk | None], *, eager: bool = False) -> None:
        """Talk to what `find` finds out, in a thread. Not `eager`: a server is started when
        something is typed."""
        self._asked += 1
        self.opening = "looking for what to talk to"
        self.run_worker(self._find(find, self._asked, eager))
        self.draw()

    async def _find(self, find: Callable[[], Talk | None], asked: int, eager: bool) -> None:
        workspace = self.qtui.workspace

        def look() -> tuple[Opened, Judged] | None:
            talk = find()
            if talk is None:
                return None
            opened = open_talk(workspace, talk)
            return opened, judging.read(opened.place)

        try:
            found = await off_loop(look)
        except (QtuiError, OSError, ValueError) as error:
            if asked == self._asked:
                told = error if isinstance(error, QtuiError) else QtuiError(str(error))
                self._fail(told)
            return
        if asked != self._asked:
            return
        self.opening = ""
        if found is not None:
            await self._take(*found, eager=eager)
        self.draw()

    def _fail(self, error: QtuiError) -> None:
        self.opening = ""
        if self.session is not None:
            self.tell(error)
        else:
            self.trouble = error
        self.draw()

    async def _take(self, opened: Opened, judged: Judged, *, eager: bool) -> None:
        before = self.session
        if before is not None:
            if before.opened.talk == opened.talk:
                if eager and before.link.state is State.APART:
                    before.link.connect()
                return
            if before.opened.subject != opened.subject and not await server_deeds.settle(
                self, "Leave the server of before running?"
            ):
                return
            await before.written()
            before.close()
        self.trouble = None
        self.selected = self.changing = ""
        self.session = Session(self.qtui.workspace, opened, self.changed, self._told, self.started)
        self.take_draft(self.draft)
        self.take_judged(judged)
        if eager or opened.subject is None or self.input.text.strip():
            self.session.link.connect()
        else:
            self.session.link.look()

    def _told(self, sentence: str) -> None:
        self.qtui.say(sentence, "error")

    def take_judged(self, judged: Judged) -> None:
        """Show what was judged."""
        self.judged = judged
        self.views.verdicts = judged.words
        self.draw()

    def take_conversation(self) -> None:
        """Go on with what was kept of the conversation."""
        if self.session is not None:
            self.draft = replace(self.draft, system=self.session.conversation.system)
        self.transcript.following = True
        self.input.focus()
        self.draw()

    # -- drawing -----------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something in the session has changed."""
        if self._ticker is not None and self.session is not None and self.session.busy:
            self._ticker.resume()
        self.draw()

    def _tick(self) -> None:
        session = self.session
        if session is None or not session.busy or not self.is_current:
            assert self._ticker is not None
            self._ticker.pause()
        self.draw()

    def draw(self) -> None:
        """Bring the screen up to date; nothing is drawn while another one is shown."""
        if self._closed or not self.is_attached or not self.is_current:
            return
        if not self.transcript.room:
            return
        paint(self)
        session, exchange = self.session, self.chosen
        offered = (
            session is not None and (session.busy, session.link.state),
            exchange is not None and (exchange.id, exchange.answers),
            self.focused,
        )
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def reveal(self) -> None:
        """Scroll to the exchange under the cursor."""
        exchange = self.chosen
        if exchange is not None and exchange.id in self.starts:
            part = self.starts[exchange.id]
            self.transcript.reveal(self.transcript.row_of(part), self.transcript.row_of(part + 2))

    # -- typing ------------------------------------------------------------------------------------

    @on(TextArea.Changed, "#chat-input")
    def _typed(self) -> None:
        rows = min(max(self.input.wrapped_document.height, 1), LINES)
        if self.input.styles.height is None or self.input.styles.height.value != rows:
            self.input.styles.height = rows
        session = self.session
        if session is not None and session.link.state is State.APART and self.input.text.strip():
            session.link.connect()

    @on(PromptInput.Sent)
    def _sent(self) -> None:
        text, session = self.input.text, self.session
        if not text.strip():
            return
        if session is None:
            self.qtui.say(
                f"{self.key('chat_input.leave')}, {self.key('chat.open')} chooses whom to ask.",
                "warning",
            )
            return
        self.input.load_text("")
        self.selected = ""
        self.transcript.following = True
        changing, self.changing = self.changing, ""
        if changing:
            session.resend(changing, text)
        else:
            session.send(text)

    @on(PromptInput.Left)
    def _left_line(self) -> None:
        if self.changing:
            self.changing = ""
            self.input.load_text("")
        self.transcript.focus()

    @on(PromptInput.Paged)
    def _paged(self, message: PromptInput.Paged) -> None:
        self.action_page(message.by)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.draw()

    @on(Transcript.Left)
    @work
    async def _left(self) -> None:
        await server_deeds.leave(self)

    # -- what takes a while or asks ----------------------------------------------------------------

    @work
    async def action_better(self, side: int) -> None:
        """Say that this answer is better than the other one."""
        await judging.judge(self, "better", side)

    @work
    async def action_judge(self, verdict: str) -> None:
        """Say that the answer is good, or bad."""
        await judging.judge(self, "good" if verdict == "good" else "bad", self.chosen_side)

    @work
    async def action_edit(self) -> None:
        """Write the answer as it should have been."""
        await judging.judge(self, "edited", self.chosen_side)

    @work
    async def action_withdraw(self) -> None:
        """Take the judgement back."""
        await judging.withdraw(self, self.chosen_side)

    @work
    async def action_train(self) -> None:
        """Set up a run on what was judged."""
        await judging.train(self)

    @work
    async def action_again(self) -> None:
        """Another answer; without a server, start one."""
        session, exchange = self.session, self.chosen
        if session is None:
            return
        if session.link.state in (State.FAILED, State.APART):
            await server_deeds.start_again(self)
        elif session.no_template and not session.plain:
            await server_deeds.without_template(self)
        elif exchange is not None:
            for side in (0, 1):
                self.views.shown.pop((exchange.id, side), None)
            session.again(exchange.id)

    @work
    async def action_settings(self) -> None:
        """Change how answers are drawn."""
        from qtui.screens.chat.settings_panel import SettingsPanel

        panel = SettingsPanel(self.draft, self.qtui.workspace)
        self.take_draft(await self.app.push_screen_wait(panel))

    @work
    async def action_model(self) -> None:
        """Choose the model of the side under the cursor."""
        await choosing.choose_model(self, self.chosen_side)

    @work
    async def action_sides(self) -> None:
        """One side, or two."""
        await choosing.one_or_two(self)

    @work
    async def action_open(self) -> None:
        """Talk to something else."""
        await choosing.open_other(self)

    @work
    async def action_history(self) -> None:
        """Open a conversation that was kept."""
        await kept.pick_history(self)

    @work
    async def action_prompts(self) -> None:
        """Pick a saved prompt."""
        await kept.pick_prompt(self)

    @work
    async def action_save_prompt(self) -> None:
        """Save the prompt that is typed."""
        await kept.save_prompt(self)

    @work
    async def action_server(self) -> None:
        """Start, keep or stop the server."""
        await server_deeds.server(self)

    @work
    async def action_copy(self) -> None:
        """Copy the command that asks the same."""
        await command.copy(self)
