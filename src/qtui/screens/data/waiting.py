"""What the data screen says while there are no data: what to do first, progress, trouble."""

from __future__ import annotations

from qtui import wording
from qtui.errors import QtuiError
from qtui.runs.preparing import Doing
from qtui.runs.state import Status
from qtui.screens.data.signs import MUTED, Signs, Writer
from qtui.screens.data.subject import Subject, spoken
from qtui.terminal import clean, clean_line
from qtui.widgets.marked_text import Laid


def nothing(subject: Subject, prepare_key: str, width: int, *, unicode: bool) -> Laid:
    """No data: why, and what to do first."""
    writer = Writer(Signs(unicode))
    line = writer.line
    if subject.form is not None and subject.form.config is None:
        line("The settings on Configure are not whole yet.", "bold")
        line()
        line("  2   mend what is marked there; then 3 comes back here")
        return writer.pen.lay_out(width)
    if subject.run is not None:
        line(f"{subject.name} has no prepared data.", "bold")
        if subject.status is Status.QUEUED:
            line("It was never started.", MUTED)
        elif subject.status is not Status.COMPLETED and subject.status is not None:
            line(f"It {_ENDS.get(subject.status, 'ended')} before they were ready.", MUTED)
        line()
        line(f"  {prepare_key}   prepare them now, with the settings of this run")
        line("  o   choose another run")
    elif subject.form is not None:
        line("The data of these settings were not prepared yet.", "bold")
        line(f"They come from {subject.origin}.", MUTED)
        line()
        line(f"  {prepare_key}   prepare them now, in a run of its own")
    else:
        line("No data were prepared in this workspace yet.", "bold")
        line()
        line("  2   set up a run: a model, and your data; then 3 prepares them")
        line(f"  {prepare_key}   prepare what is set up on Configure now")
    line()
    line("Without the dashboard:")
    line()
    line(f"  {spoken(subject.command)}")
    return writer.pen.lay_out(width)


_ENDS = {
    Status.STOPPED: "was stopped",
    Status.FAILED: "failed",
    Status.INTERRUPTED: "was interrupted",
}


def progress(
    subject: Subject, doing: Doing, waited: float, cancel_key: str, width: int, *, unicode: bool
) -> Laid:
    """A worker that prepares the data: what it does, how far it is, since when."""
    writer = Writer(Signs(unicode))
    line = writer.line
    line(f"Preparing {subject.origin or 'the data'}", "bold")
    line()
    words = clean_line(str(doing))
    if doing.unit == "bytes":
        of = f" of {wording.size(doing.total)}" if doing.total else ""
        words = f"{clean_line(doing.words)} {wording.size(doing.done)}{of}"
    line(f"{words[:1].upper()}{words[1:]}")
    if doing.total:
        share = doing.done / doing.total
        line(f"{wording.bar(share, min(width - 8, 40), unicode=unicode)} {share:.0%}", "$accent")
    line(f"{wording.duration(waited)} so far", MUTED)
    line()
    if subject.name:
        line(f"This is the run {subject.name}: it goes on when you leave.", MUTED)
    if cancel_key:
        line(f"  {cancel_key}   call it off; nothing of it is left")
    line()
    line(f"  {spoken(subject.command)}", MUTED)
    return writer.pen.lay_out(width)


def trouble(title: str, error: QtuiError, keys: str, width: int, *, unicode: bool) -> Laid:
    """What went wrong, and the way out."""
    writer = Writer(Signs(unicode))
    if title:
        writer.line(title, "bold $error")
        writer.line()
    writer.foreign(clean(error.message))
    writer.line()
    if error.remedy:
        writer.own("Try  ", "$warning")
        writer.foreign(clean(error.remedy))
        writer.line()
    if keys:
        writer.line()
        writer.line(keys, MUTED)
    return writer.pen.lay_out(width)
