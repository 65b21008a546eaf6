"""What the keys of the data screen do, and when each of them does something."""

from __future__ import annotations

from dataclasses import replace

from textual import work

from qtui.runs.dataset import Part
from qtui.screens.data import facts
from qtui.screens.data.asked import Ask
from qtui.screens.data.reader import DataReader
from qtui.screens.data.state import Shows, State
from qtui.screens.data.subject import Subject
from qtui.screens.data.views import VIEWS
from qtui.screens.dialogs import Ask as Question
from qtui.screens.frame import Frame
from qtui.widgets.marked_text import MarkedText

_OF_A_ROW = ("turn", "view", "end", "go_to", "parts", "kind", "finding")


class DataKeys(Frame):
    """The actions of the screen; `DataScreen` shows what they come to."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.reader: DataReader | None = None

    def draw(self) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        state = self.state
        row = state.opened and state.shows == "row"
        if action in _OF_A_ROW:
            return row and state.rows > 0
        if action == "choose":
            return row and state.page is not None
        if action == "enter":
            return row or (state.opened and state.shows == "batch")
        if action == "page":
            return state.opened
        if action == "look":
            return self._may_look(str(parameters[0]))
        if action == "cancel":
            return state.may_cancel
        if action == "prepare":
            return not state.following and not state.busy
        return True

    def _may_look(self, what: str) -> bool:
        state = self.state
        if not state.opened or state.shows not in ("row", "batch"):
            return False
        if what == "visible" or state.shows == "batch":
            return what != "before"
        return state.look.view == {"ids": "tokens", "before": "cleaned"}[what]

    # -- which row -------------------------------------------------------------------------------

    def ask(self, base: int, steps: int) -> None:
        """Ask for the row `steps` rows of the shown part behind row `base`."""
        room = self.query_one(MarkedText).room if self.is_mounted else 0
        state = self.state
        if self.reader is None or not room:
            return  # once there is room, it is asked for
        parts = facts.FILTERS[state.filter][1]
        state.ask = Ask(base, steps, parts, state.look, room, self.qtui.unicode)
        self.reader.ask(state.ask)

    def again(self) -> None:
        """Ask once more for the row that is shown, as it is looked at now."""
        self.ask(self.state.at, self.state.steps)

    def action_turn(self, by: int) -> None:
        """Some rows on or back; keys that come faster than rows can be read add up."""
        self.state.steps += by
        self.ask(self.state.at, self.state.steps)

    def action_end(self, which: int) -> None:
        """The first row, or the last."""
        self._jump(-1, 1) if which < 0 else self._jump(self.state.rows, -1)

    def _jump(self, at: int, steps: int) -> None:
        self.state.at, self.state.steps = at, steps
        self.ask(at, steps)

    @work
    async def action_go_to(self) -> None:
        """Ask for the number of a row, and go there."""
        question = Question("Go to row", f"A number from 1 to {self.state.rows:,}:")
        given = await self.app.push_screen_wait(question)
        digits = "".join((given or "").replace(",", "").split())
        if digits.isdecimal():
            self._jump(int(digits) - 1, 0)
        elif digits:
            self.qtui.say("A row is named by its number.", "warning")

    def action_parts(self) -> None:
        """Show the rows of the next part only, or all again."""
        self.state.filter = (self.state.filter + 1) % len(facts.FILTERS)
        self.again()

    # -- how it is looked at ---------------------------------------------------------------------

    def action_view(self, by: int) -> None:
        """The next view of the row."""
        look = self.state.look
        view = VIEWS[(VIEWS.index(look.view) + by) % len(VIEWS)]
        self.state.look = replace(look, view=view)
        self.again()

    def action_look(self, what: str) -> None:
        """Ids, white space or the text before cleaning: on or off."""
        look = self.state.look
        self.state.look = replace(
            look,
            visible=look.visible != (what == "visible"),
            ids=look.ids != (what == "ids"),
            before=look.before != (what == "before"),
        )
        self.again()
        self.draw()

    def action_page(self, page: Shows) -> None:
        """Another page in place of the row, or the row again."""
        state = self.state
        state.shows = "row" if state.shows == page else page
        if state.shows == "batch" and state.batch is None and self.reader is not None:
            self.reader.ask_batch()
        self.query_one(MarkedText).scroll_home(animate=False)
        if state.shows == "row":
            self.again()
        self.draw()

    def action_scroll(self, by: int) -> None:
        """The text up or down; in the batch another row."""
        batch = self.state.batch
        if self.state.opened and self.state.shows == "batch" and batch is not None:
            batch.go(by)
            self.draw()
        else:
            self.query_one(MarkedText).scroll_relative(y=by, animate=False)

    def action_scroll_page(self, by: int) -> None:
        """A page of the text up or down."""
        text = self.query_one(MarkedText)
        text.scroll_relative(y=by * max(text.size.height - 1, 1), animate=False)

    # -- findings --------------------------------------------------------------------------------

    def action_kind(self, by: int) -> None:
        """The kind of findings above or below."""
        state = self.state
        state.kind = min(max(state.kind + by, 0), len(state.kinds) - 1)
        state.place, state.told = None, None
        self.draw()

    def action_finding(self, by: int) -> None:
        """Go to the next row with a finding of the chosen kind."""
        state = self.state
        kind, place = state.chosen_kind, state.next_place(by)
        if kind is None or self.reader is None:
            self.qtui.say("The findings are still being read.")
        elif place is None:
            self.qtui.say("There is no such finding that was kept.")
        else:
            before, state.place = state.place, place
            if before is not None and (place - before) * by <= 0 and len(kind.rows) > 1:
                self.qtui.say("That was the last one: from the other end again.")
            self.reader.ask_finding(kind.numbers[place])
            if kind.rows[place] >= 0:
                state.filter = self._filter_for(state.filter)
                self._jump(kind.rows[place], 0)

    def _filter_for(self, filter: int) -> int:
        """All rows: the one that is jumped to may be of any part."""
        if filter and facts.FILTERS[filter][1] != tuple(Part):
            self.qtui.say("All rows are shown again.")
        return 0

    def action_enter(self) -> None:
        """The next finding; from the batch to the row under its cursor."""
        batch = self.state.batch
        if self.state.shows == "row":
            self.action_finding(1)
        elif batch is not None and batch.chosen is not None:
            self.state.shows, self.state.filter = "row", 0
            self._jump(batch.chosen.place.row, 0)
            self.draw()

    # -- leaving ---------------------------------------------------------------------------------

    async def action_leave(self) -> None:
        """Back to the row; from there to Home."""
        if self.state.opened and self.state.shows != "row":
            self.action_page(self.state.shows)
        else:
            await self.qtui.action_back()

    def prepares_by_itself(self, found: Subject) -> bool:
        """Whether the data of the form are prepared without another key: when somebody has set
        something up, and nothing is missing here."""
        from qtui.runs import prepare

        form = found.form
        asked = form is not None and form.config is not None and bool(form.own or form.path)
        return asked and found.run is None and not prepare.missing()
