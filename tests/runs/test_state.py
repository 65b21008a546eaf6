"""The life-cycle's table and the one function that reads a status out of log and lock."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from qtui.runs import state
from qtui.runs.events import FailedEvent, FinishedEvent, Phase, PhaseEvent, ResumedEvent
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
from qtui.runs.state import ALLOWED, FINAL, Status, derive

PHASES = {Status(phase.value) for phase in Phase}
ENDS = [None, FinishedEvent(status="completed"), FinishedEvent(status="stopped")]
ENDS += [FailedEvent(error="E", message="m")]


def test_the_table_speaks_of_every_status_and_of_nothing_else() -> None:
    assert set(ALLOWED) == set(Status)
    assert set(Status) == {Status.QUEUED} | PHASES | FINAL
    assert all(after <= set(Status) for after in ALLOWED.values())


def test_what_the_design_says_of_the_moves() -> None:
    path = "queued initializing loading_dataset loading_model configuring_lora training evaluating"
    path += " training saving_adapter completed"
    for before, after in itertools.pairwise(path.split()):
        assert Status(after) in ALLOWED[Status(before)], f"{before} -> {after}"
    design = "initializing loading_model configuring_lora loading_dataset training"
    for before, after in itertools.pairwise(design.split()):
        assert Status(after) in ALLOWED[Status(before)], f"{before} -> {after}"
    for phase in PHASES:
        for end in (Status.STOPPED, Status.FAILED, Status.INTERRUPTED):
            assert end in ALLOWED[phase]
    assert all(Status.STOPPING in ALLOWED[phase] for phase in PHASES - {Status.STOPPING})
    assert not ALLOWED[Status.COMPLETED]
    assert all(not ALLOWED[end] - {Status.INITIALIZING} for end in FINAL)
    assert all(Status.QUEUED not in after for after in ALLOWED.values())
    assert {s for s in Status if state.resumable(s)} == FINAL - {Status.COMPLETED}


def test_every_status_can_be_reached_and_every_phase_left() -> None:
    reached, new = set(), {Status.QUEUED}
    while new:
        reached |= new
        new = {after for status in new for after in ALLOWED[status]} - reached
    assert reached == set(Status)


def test_derive_answers_every_question() -> None:
    for phase, end, held in itertools.product([None, *Phase], ENDS, [True, False]):
        status = derive(phase, end, held)
        if end is not None:
            assert status in FINAL - {Status.INTERRUPTED}
        elif held:
            assert status in PHASES
        else:
            assert status is (Status.QUEUED if phase is None else Status.INTERRUPTED)


@given(st.data())
def test_a_log_that_keeps_to_the_table_is_always_read_as_what_it_says(data: st.DataObject) -> None:
    status, last, end, held = Status.QUEUED, None, None, False
    for _ in range(data.draw(st.integers(1, 12))):
        choices = sorted(ALLOWED[status])
        if not choices:
            break
        after = data.draw(st.sampled_from(choices))
        if after in PHASES:
            last, end, held = Phase(after.value), None, True
        elif after is Status.FAILED:
            end = FailedEvent(error="E", message="m")
        elif after is Status.INTERRUPTED:
            # A worker that dies before its first word leaves a run that has not begun.
            held = False
        else:
            end = FinishedEvent(status=after.value)  # type: ignore[arg-type]
        derived = derive(last, end, held)
        if after is Status.INTERRUPTED and last is None:
            assert derived is Status.QUEUED
        else:
            assert derived is after
            assert derived in ALLOWED[status]
        status = derived


def test_status_of_a_run_follows_its_log_and_its_lock(run: Run) -> None:
    assert state.status(run) is Status.QUEUED
    with RunLock(run.lock), EventLog(run.events) as log:
        assert state.status(run) is Status.INITIALIZING
        for phase in Phase:
            log.write(PhaseEvent(phase=phase))
            assert state.status(run).value == phase.value
        log.write(FinishedEvent(status="stopped"))
        assert state.status(run) is Status.STOPPED
        log.write(ResumedEvent(step=3))
        log.write(PhaseEvent(phase=Phase.TRAINING))
        assert state.status(run) is Status.TRAINING
    assert state.status(run) is Status.INTERRUPTED
