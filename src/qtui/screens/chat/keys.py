"""What the keys of the chat screen do that nothing has to be waited for, and when they do it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtui.chat import conversation as conversations
from qtui.chat.conversation import Exchange
from qtui.screens.chat.judging import Judged
from qtui.screens.chat.prompt_input import PromptInput
from qtui.screens.chat.sampling import Draft
from qtui.screens.chat.session import Session
from qtui.screens.chat.transcript import Transcript
from qtui.screens.chat.views import Views
from qtui.screens.frame import Frame

_OF_AN_ANSWER = ("judge", "edit", "withdraw", "older", "change", "branch", "again")


class ChatKeys(Frame):
    """The actions of the screen; `ChatScreen` shows what they come to."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None
        """What is talked about; none before anything was opened."""
        self.views = Views()
        self.judged = Judged()
        self.draft = Draft()
        self.selected = ""
        """Id of the exchange under the cursor; empty: the last one."""
        self.side = 0
        self.changing = ""
        """Id of the exchange whose prompt is being changed."""
        self.started: set[Path] = set()
        """Servers that were started here."""
        self.when_left = ""
        """What becomes of them when the screen is left, once that was asked: `keep` or `stop`."""

    def draw(self) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    @property
    def input(self) -> PromptInput:
        """The line to type in."""
        return self.query_one(PromptInput)

    @property
    def transcript(self) -> Transcript:
        """The answers."""
        return self.query_one(Transcript)

    @property
    def typing(self) -> bool:
        """Whether letters are text now."""
        return isinstance(self.focused, PromptInput)

    @property
    def chosen(self) -> Exchange | None:
        """The exchange under the cursor, else the last one."""
        path = self.session.path() if self.session is not None else ()
        if not path:
            return None
        here = (each for each in path if each.id == self.selected)
        return next(here, path[-1])

    @property
    def count(self) -> int:
        """How many sides the chosen exchange has."""
        exchange = self.chosen
        asked = len(exchange.answers) if exchange is not None else 0
        sides = len(self.session.conversation.sides) if self.session is not None else 1
        return min(max(asked or sides, 1), 2)

    @property
    def chosen_side(self) -> int:
        """The side under the cursor."""
        return min(self.side, self.count - 1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        if not self.is_mounted:
            return True
        if action in ("back", "screen", "help", "command_palette", "jump", "quit"):
            return True
        session = self.session
        if action == "stop":
            return session is not None and session.busy
        if action == "again":
            return session is not None and (self._no_server or self.chosen is not None)
        if self.typing and action in _LETTERS:
            return False
        if action in _OF_AN_ANSWER:
            return self.chosen is not None
        if action == "better":
            return self._two_answers
        if action == "side":
            return self.count > 1
        return True

    @property
    def _no_server(self) -> bool:
        return self.session is not None and self.session.link.state in ("failed", "apart")

    @property
    def _two_answers(self) -> bool:
        exchange = self.chosen
        if exchange is None or self.session is None:
            return False
        answering = self.session.answering
        return all(
            (answer := self.views.answer_of(exchange, side)) is not None
            and answer.said.strip()
            and (exchange.id, side) not in answering
            for side in (0, 1)
        )

    # -- where the cursor is -----------------------------------------------------------------------

    def action_type(self) -> None:
        """To the line to type in."""
        self.input.focus()

    def action_side(self, side: int) -> None:
        """The other answer; its mark stands at its top, which is brought into sight."""
        self.side = side
        self.draw()
        self.reveal()

    def action_exchange(self, by: int) -> None:
        """The prompt before, or the next one."""
        path = [each.id for each in self.session.path()] if self.session is not None else []
        if not path:
            return
        exchange = self.chosen
        at = path.index(exchange.id) if exchange is not None else len(path) - 1
        self.selected = path[min(max(at + by, 0), len(path) - 1)]
        self.draw()
        self.reveal()

    def reveal(self) -> None:
        """Scroll to the exchange under the cursor."""
        raise NotImplementedError

    def action_scroll(self, by: int) -> None:
        """A line up or down; below the last one is the line to type in."""
        if by > 0 and self.transcript.at_end:
            self.input.focus()
        else:
            self.transcript.go_by(by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.transcript.go_by(by * max(self.transcript.window - 1, 1))

    def action_end(self, which: int) -> None:
        """To the beginning, or to the end."""
        self.transcript.go(0 if which < 0 else self.transcript.row_of(1 << 30))

    # -- other answers and branches ----------------------------------------------------------------

    def action_older(self) -> None:
        """The answer before the one that is shown; before the first comes the newest."""
        exchange, side = self.chosen, self.chosen_side
        if exchange is None:
            return
        answers = exchange.answers_of(side)
        if len(answers) < 2:
            self.qtui.say("There is no other answer to this prompt.")
            return
        back = self.views.shown.get((exchange.id, side), 0)
        self.views.shown[exchange.id, side] = (back + 1) % len(answers)
        self.draw()

    def action_branch(self, by: int) -> None:
        """The branch before or after, at its newest end."""
        exchange, session = self.chosen, self.session
        if exchange is None or session is None:
            return
        found = conversations.branches(session.conversation, exchange.id)
        if len(found) < 2:
            self.qtui.say("There is one branch here: c changes the prompt and makes another.")
            return
        at = [each.id for each in found].index(exchange.id)
        other = found[(at + by) % len(found)]
        session.stop()
        self.selected = other.id
        session.change(conversations.go(session.conversation, other.id))
        self.reveal()

    def action_change(self) -> None:
        """Put the prompt into the line, to be sent again as a branch."""
        exchange = self.chosen
        if exchange is not None:
            self.changing = exchange.id
            self.fill(exchange.prompt)

    def fill(self, text: str) -> None:
        """Put `text` into the line to type in."""
        line = self.input
        line.load_text(text)
        line.move_cursor(line.document.end)
        line.focus()
        self.draw()

    # -- how it is looked at and asked -------------------------------------------------------------

    def action_raw(self) -> None:
        """What the model saw and said, or the conversation again."""
        if self.session is not None:
            self.session.raw = not self.session.raw
            self.draw()

    def action_new(self) -> None:
        """A new conversation with the same models."""
        if self.session is not None:
            self.changing = self.selected = ""
            self.session.begin()
            self.input.focus()

    def action_stop(self) -> None:
        """Stop what is being answered; what was queued comes back into the line."""
        if self.session is not None:
            back = self.session.stop()
            if back and not self.input.text.strip():
                self.fill(back)

    def take_draft(self, draft: Draft | None) -> None:
        """Ask with these settings from now on."""
        session = self.session
        if draft is None or session is None:
            return
        self.draft = draft
        session.settings, session.plain = draft.settings, draft.plain
        if draft.system != session.conversation.system:
            session.change(replace(session.conversation, system=draft.system))
        self.draw()


_LETTERS = (
    "type", "better", "judge", "edit", "withdraw", "train", "change", "branch", "older", "side",
    "exchange", "scroll", "page", "end", "raw", "model", "sides", "open", "history", "server",
    "copy",
)  # fmt: skip
