"""A log told as curves: every step once, whatever was trained twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtui.runs import series
from qtui.runs.events import (
    AlertEvent,
    AnyEvent,
    CheckpointEvent,
    FinishedEvent,
    LogEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
    SampleEvent,
)
from qtui.runs.folder import Run
from qtui.runs.log import EventLog
from qtui.runs.series import History, Override


def metrics(step: int, value: float | None = 0.5, **more: float) -> MetricsEvent:
    return MetricsEvent(step=step, epoch=step / 10, values={"loss": value, **more})


def fed(*events: AnyEvent) -> History:
    history = History()
    history.feed(events)
    return history


def test_metrics_become_series_by_name() -> None:
    history = fed(metrics(1, 2.0), metrics(2, None, eval_loss=1.5), metrics(3, 1.0))
    assert history.names() == ["loss", "eval_loss"]
    assert history.metric("loss") == ([1, 2, 3], [2.0, None, 1.0])
    assert history.metric("eval_loss") == ([2], [1.5])
    assert history.metric("absent") == ([], [])
    assert history.epochs == ([1, 2, 3], [0.1, 0.2, 0.3])
    assert (history.step, history.epoch) == (3, 0.3)


def test_what_is_trained_again_supersedes() -> None:
    history = fed(*(metrics(step, 9.0, only_late=1.0) for step in range(1, 8)))
    history.feed([SampleEvent(step=2, prompt="p", output="a")])
    history.feed([SampleEvent(step=7, prompt="p", output="b")])
    history.feed([CheckpointEvent(step=s, path="", size=0) for s in (3, 6)])
    history.feed([FinishedEvent(status="stopped")])
    history.feed([ResumedEvent(step=3)])
    assert history.end is None
    assert history.metric("loss") == ([1, 2, 3], [9.0] * 3)
    assert [sample.step for sample in history.samples] == [2]
    assert [checkpoint.step for checkpoint in history.checkpoints] == [3]
    assert history.step == 3
    history.feed([metrics(4, 4.0)])
    assert history.metric("loss") == ([1, 2, 3, 4], [9.0, 9.0, 9.0, 4.0])
    assert history.epochs[0] == [1, 2, 3, 4]


def test_a_run_resumed_from_its_beginning_forgets_every_curve() -> None:
    history = fed(metrics(1), metrics(2, eval_loss=1.0), ResumedEvent(step=0))
    assert history.names() == []
    assert history.epochs == ([], [])


def test_a_step_told_twice_or_late_is_shown_once_in_its_place() -> None:
    history = fed(metrics(1, 1.0), metrics(3, 3.0), metrics(3, 3.5), metrics(2, 2.0))
    assert history.metric("loss") == ([1, 2, 3], [1.0, 2.0, 3.5])


def test_how_the_run_stands() -> None:
    history = fed(
        PhaseEvent(time=5.0, phase=Phase.LOADING_MODEL, detail="org/m"),
        ProgressEvent(what="download", done=1, total=2, unit="bytes"),
        ProgressEvent(what="download", done=2, total=2, unit="bytes"),
        PhaseEvent(phase=Phase.TRAINING),
        AlertEvent(kind="spike", message="loss tripled"),
        LogEvent(level="info", message="m"),
        FinishedEvent(time=9.0, status="completed"),
    )
    assert history.phase is not None
    assert history.phase.phase is Phase.TRAINING
    assert [p.phase for p in history.phases] == [Phase.LOADING_MODEL, Phase.TRAINING]
    assert history.progress["download"].done == 2
    assert [alert.kind for alert in history.alerts] == ["spike"]
    assert len(history.logs) == 1
    assert history.end is not None
    assert (history.started, history.updated, history.events) == (5.0, 9.0, 7)
    history.feed([PhaseEvent(phase=Phase.INITIALIZING)])
    assert history.end is None


def test_load_reads_the_whole_log(run: Run) -> None:
    assert series.load(run).events == 0
    with EventLog(run.events) as log:
        written = [log.write(metrics(step)) for step in range(3000)]
    history = series.load(run)
    assert history.events == 3000
    assert history.metric("loss")[0] == list(range(3000))
    assert history.updated == written[-1].time


_LIVES = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 15)), min_size=1, max_size=6)


@given(_LIVES, st.integers(1, 7))
def test_any_number_of_lives_read_in_any_pieces_show_every_step_once(
    lives: list[tuple[int, int]], piece: int
) -> None:
    events: list[AnyEvent] = []
    truth: dict[int, float] = {}
    reached = 0
    for life, (back, count) in enumerate(lives):
        start = max(0, reached - back)
        if life:
            events.append(ResumedEvent(step=start))
        truth = {step: value for step, value in truth.items() if step <= start}
        for step in range(start + 1, start + count + 1):
            truth[step] = life
            events.append(metrics(step, life))
        reached = start + count
    history = History()
    for start in range(0, len(events), piece):
        history.feed(events[start : start + piece])
    assert history.metric("loss") == (sorted(truth), [truth[step] for step in sorted(truth)])
    assert history.step == reached


def test_a_run_that_begins_again_shows_its_first_samples_and_metrics_once() -> None:
    before = SampleEvent(step=0, prompt="p", output="a")
    history = fed(
        before, metrics(0, 3.0), metrics(1, 2.0), CheckpointEvent(step=0, path="", size=0)
    )
    history.feed([ResumedEvent(step=0)])
    assert (history.samples, history.checkpoints, history.names()) == ([], [], [])
    history.feed([before, metrics(0, 3.0)])
    assert history.samples == [before]
    assert history.metric("loss") == ([0], [3.0])
    # A resume from a later step keeps them.
    history.feed([metrics(1), ResumedEvent(step=1)])
    assert history.samples == [before]
    assert history.metric("loss")[0] == [0, 1]


def test_overrides_in_force_and_since_when() -> None:
    rate, batch = "training.learning_rate", "training.batch_size"
    history = fed(
        ResumedEvent(step=10, overrides={batch: 2}),
        ResumedEvent(step=30, reason="settings", overrides={rate: 1e-5, batch: 2}),
        ResumedEvent(step=20, reason="checkpoint"),
    )
    assert history.overrides == {batch: Override(2, 10), rate: Override(1e-5, 20)}
    history.feed([ResumedEvent(step=40, overrides={batch: 1, "training.report_to": ["wandb"]})])
    assert history.overrides[batch] == Override(1, 40)
    assert history.overrides["training.report_to"] == Override(["wandb"], 40)


def test_a_revision_says_when_a_series_did_more_than_grow() -> None:
    history = fed(*(metrics(step) for step in range(1, 6)))
    assert history.revision == 0
    history.feed([metrics(6), metrics(6, eval_loss=1.0)])
    again = history.revision
    assert again > 0  # `loss` of step 6 was put in place of the other
    history.feed([MetricsEvent(step=7, values={"eval_loss": 1.0}), metrics(7)])
    assert history.revision == again
    history.feed([ResumedEvent(step=3)])
    assert history.revision > again


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.integers(0, 6), st.sampled_from(("loss", "loss eval_loss", "lr loss", ""))
            ),
            st.integers(0, 6),  # the step that a resume goes back to
        )
    ),
    st.lists(st.integers(1, 5)),
)
def test_columns_at_once_give_what_values_one_by_one_give(
    script: list[tuple[int, str] | int], sizes: list[int]
) -> None:
    events: list[AnyEvent] = [
        ResumedEvent(step=item)
        if isinstance(item, int)
        else MetricsEvent(
            step=item[0],
            epoch=at / 2 if at % 3 else None,
            values={name: float(at) for name in item[1].split()},
        )
        for at, item in enumerate(script)
    ]
    expected: dict[str, dict[int, float | None]] = {}
    for event in events:
        if isinstance(event, ResumedEvent):
            last = event.step or -1
            for name in list(expected):
                expected[name] = {s: v for s, v in expected[name].items() if s <= last}
                if not expected[name]:
                    del expected[name]
        elif isinstance(event, MetricsEvent):
            for name, value in event.values.items():
                expected.setdefault(name, {})[event.step] = value
    history = History()
    for size in sizes:
        history.feed(events[:size])
        events = events[size:]
    history.feed(events)
    assert set(history.names()) == set(expected)
    for name, points in expected.items():
        steps = sorted(points)
        assert history.metric(name) == (steps, [points[step] for step in steps])
