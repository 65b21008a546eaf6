"""What the user thinks of answers: judged, taken back, counted, and set up to be trained on.

The rows are made by `chat.judgements`, in files that a run file's `data` section takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qtui.chat import conversation as conversations
from qtui.chat import judgement, judgements
from qtui.chat.judgement import Verdict
from qtui.chat.judgements import Counts
from qtui.dashboard.background import off_loop
from qtui.errors import InputError, QtuiError
from qtui.runs.folder import Run
from qtui.screens.chat.editor import Editor
from qtui.screens.dialogs import Choice, Option
from qtui.terminal import clean_line

if TYPE_CHECKING:
    from qtui.chat.judgements import Judgement
    from qtui.config.models import FineTuneConfig
    from qtui.screens.chat.screen import ChatScreen

FEW = 20
"""Rows up to which none is held out of a run that is set up on them."""


@dataclass(frozen=True)
class Judged:
    """What was judged in one place."""

    verdicts: Mapping[str, Judgement] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def words(self) -> dict[str, str]:
        """What stands beside each answer."""
        return {id: each.verdict for id, each in self.verdicts.items()}


def read(place: Path) -> Judged:
    """What was judged in the folder `place`. Reads the disk: for a thread."""
    return Judged(judgements.verdicts(place), judgements.counts(place))


def told(judged: Judged, place: Path, workspace: Path) -> str:
    """How many rows there are, and where they are."""
    counts, pairs = judged.counts, ""
    if not (counts.sft_rows or counts.pairs):
        return ""
    if counts.pairs:
        pairs = f"{counts.pairs} pair{'s' if counts.pairs != 1 else ''}"
    if not counts.sft_rows:
        return f"{pairs} in {_shown(judgements.preferences_path(place), workspace)}"
    rows = f"{counts.sft_rows} row{'s' if counts.sft_rows != 1 else ''}"
    return f"{rows}{', ' + pairs if pairs else ''} in " + _shown(
        judgements.sft_path(place), workspace
    )


def _shown(path: Path, workspace: Path) -> str:
    inside = path.is_relative_to(workspace)
    return clean_line(str(path.relative_to(workspace) if inside else path))


async def judge(screen: ChatScreen, verdict: Verdict, side: int) -> None:
    """Judge the answer of `side` that is shown; the same once more takes it back."""
    session, exchange = screen.session, screen.chosen
    if session is None or exchange is None:
        return
    answer = screen.views.answer_of(exchange, side)
    if answer is None:
        screen.qtui.say("There is no answer to judge yet.", "warning")
        return
    before = screen.judged.verdicts.get(answer.id)
    if before is not None and before.verdict == verdict:
        await withdraw(screen, side)
        return
    text: str | None = None
    if verdict == "edited":
        text = await screen.app.push_screen_wait(Editor("What it should have said", answer.said))
        if text is None:
            return
    other = screen.views.answer_of(exchange, 1 - side) if verdict == "better" else None
    conversation, place, run = session.conversation, session.opened.place, session.opened.run

    def write() -> Judged:
        judgements.judge(
            place,
            judgement.of(
                conversation, exchange.id, side, verdict,
                answer_id=answer.id, over_id=None if other is None else other.id,
                text=text, run="" if run is None else run.id,
            ),
        )  # fmt: skip
        return read(place)

    if await _done(screen, write) and text is not None:
        changed = conversations.edit_answer(
            session.conversation, exchange.id, side, answer.id, text
        )
        session.change(changed)


async def withdraw(screen: ChatScreen, side: int) -> None:
    """Take back what was said of the answer of `side` that is shown."""
    session, exchange = screen.session, screen.chosen
    if session is None or exchange is None:
        return
    answer = screen.views.answer_of(exchange, side)
    before = screen.judged.verdicts.get(answer.id) if answer is not None else None
    if answer is None or before is None:
        screen.qtui.say("Nothing was said of this answer.")
        return
    place = session.opened.place

    def write() -> Judged:
        over = None if before.over is None else before.over.id
        judgements.withdraw(place, answer.id, over)
        return read(place)

    if await _done(screen, write) and before.verdict == "edited":
        changed = conversations.edit_answer(
            session.conversation, exchange.id, side, answer.id, answer.text
        )
        session.change(changed)


async def _done(screen: ChatScreen, write: object) -> bool:
    try:
        screen.take_judged(await off_loop(write))  # type: ignore[arg-type]
    except (QtuiError, OSError) as error:
        screen.tell(error)
        return False
    return True


async def train(screen: ChatScreen) -> None:
    """Set up a run on what was judged, with the settings of the run that was talked to."""
    session = screen.session
    if session is None:
        return
    place, run = session.opened.place, session.opened.run
    rows, pairs = screen.judged.counts.sft_rows, screen.judged.counts.pairs
    path = judgements.sft_path(place)
    if not rows:
        where = _shown(judgements.preferences_path(place), screen.qtui.workspace)
        also = f"\n{pairs} pairs are in {where}" if pairs else ""
        screen.qtui.say(f"There is nothing to train on yet: judge an answer good.{also}")
        return
    question = Choice(
        f"Train on {rows} judged answer{'s' if rows != 1 else ''}?",
        f"data.input_path: {_shown(path, screen.qtui.workspace)}\n"
        + (
            f"{pairs} pairs of a better and a worse answer are in preferences.jsonl\n"
            if pairs
            else ""
        )
        + "All other settings are those of the run that you talk to. Nothing is started yet.",
        (Option("yes", "y", "set it up on Configure"), Option("no", "n", "not now")),
    )
    if await screen.app.push_screen_wait(question) != "yes":
        return
    base = session.base
    try:
        config = await off_loop(lambda: config_on(path, rows, run, base))
    except (QtuiError, OSError) as error:
        screen.tell(error)
        return
    screen.qtui.configure(config)


def config_on(path: Path, rows: int, run: Run | None, base: str) -> FineTuneConfig:
    """The settings of `run` (none: the defaults for `base`) on the rows in `path`. Reads the disk.

    All of `data` begins anew: what was chosen for other rows says nothing about these. Of few rows
    none is held out.
    """
    from qtui.config import form as forms
    from qtui.config.models import DataConfig
    from qtui.screens.home.run_config import config_of

    data = DataConfig(input_path=str(path))
    if rows < FEW:
        data = data.model_copy(update={"validation_split": 0.0})
    if run is not None:
        return config_of(run).model_copy(update={"data": data})
    form = forms.blank().with_value("data.input_path", str(path))
    if base:
        form = form.with_value("model.model_name", base)
    if form.config is None:
        problem = form.problems[0]
        raise InputError(f"{problem.key}: {problem.sentence}", remedy="2: set it up on Configure")
    return form.config.model_copy(update={"data": data})
