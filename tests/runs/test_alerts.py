"""Alerts from events, readings and a simulated clock: what rings, when, and what does not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.runs.alerts import STALL_SECONDS, Alarm, Alert, RunAlerts
from qtui.runs.divergence import WINDOW, Divergence
from qtui.runs.events import (
    OUT_OF_MEMORY,
    AlertEvent,
    AnyEvent,
    CheckpointEvent,
    FailedEvent,
    FinishedEvent,
    MetricsEvent,
    Phase,
    PhaseEvent,
    ProgressEvent,
    ResumedEvent,
)
from qtui.runs.machine_alerts import HOT, MachineAlerts
from qtui.runs.state import RESTART_SECONDS
from qtui.system.disk import Disk
from qtui.system.gpu_readings import Gpu, Reading, Snapshot

GB = 1_000_000_000


class Clocked:
    """A run that is watched, with a clock that a test moves."""

    def __init__(self) -> None:
        self.alerts = RunAlerts("20261120-154210-quiet-otter")
        self.now = 1000.0
        self.step = 0

    def say(self, *events: AnyEvent) -> list[str]:
        """The kinds that `events` raise, all at this moment."""
        found: list[Alert] = []
        for event in events:
            found += self.alerts.take(type(event)(**_fields(event, self.now)), self.now)
        return [alert.kind for alert in found]

    def train(self, steps: int, seconds: float = 2.0, **values: float | None) -> list[str]:
        found = []
        for _ in range(steps):
            self.now += seconds
            self.step += 1
            found += self.say(ProgressEvent(what="train", done=self.step, total=1000))
            found += self.say(MetricsEvent(step=self.step, values={"loss": 1.0, **values}))
            found += self.wait(0)
        return found

    def wait(self, seconds: float, *, alive: bool = True) -> list[str]:
        """The kinds that come up while nothing is said, looking once a second."""
        found = [alert.kind for alert in self.alerts.tick(self.now, alive=alive)]
        for _ in range(int(seconds)):
            self.now += 1
            found += [alert.kind for alert in self.alerts.tick(self.now, alive=alive)]
        return found


def _fields(event: AnyEvent, now: float) -> dict:
    return {name: getattr(event, name) for name in event.__struct_fields__} | {"time": now}


@pytest.fixture
def run() -> Clocked:
    clocked = Clocked()
    clocked.say(PhaseEvent(phase=Phase.TRAINING))
    return clocked


# ---- a loss that is not finite -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss", "eval_loss", "grad_norm"])
def test_a_value_that_is_not_finite_rings_once_until_it_is_well_again(run, name):
    assert run.train(3) == []
    assert run.train(4, **{name: None}) == ["non_finite"]
    assert "non_finite" in run.alerts.active
    assert run.train(2, **{name: 0.5}) == []
    assert run.alerts.active == {}
    assert run.train(1, **{name: None}) == ["non_finite"]


def test_its_sentence_names_what_and_where(run):
    run.train(6)
    (alert,) = run.alerts.take(
        MetricsEvent(step=7, values={"loss": None, "grad_norm": None}), run.now
    )
    assert "loss and grad_norm of step 7 is not a finite number" in alert.message
    assert "training.learning_rate" in alert.message
    assert alert.level == "error"


def test_metrics_without_a_loss_say_nothing(run):
    run.train(1, loss=None)
    assert run.say(MetricsEvent(step=2, values={"learning_rate": 1e-4})) == []
    assert "non_finite" in run.alerts.active


# ---- divergence ----------------------------------------------------------------------------------


def _noise(kind: str, source: random.Random) -> float:
    if kind == "normal":
        return source.gauss(0, 0.15)
    if kind == "skewed":
        return math.exp(source.gauss(0, 0.5)) - 1
    if kind == "two levels":
        return (0.6 if source.random() < 0.3 else -0.3) + source.gauss(0, 0.05)
    return source.gauss(0, 0.1) * (20 if source.random() < 0.05 else 1)  # spikes


@pytest.mark.parametrize("kind", ["normal", "skewed", "two levels", "spikes"])
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_divergence(kind, seed):
    source = random.Random(seed)
    watched = Divergence()
    for step in range(3000):
        falling = 1.2 + 1.3 * math.exp(-step / 200)
        watched.take(step, falling + max(_noise(kind, source), -1.1))
        assert not watched.diverging, f"at step {step}"


@pytest.mark.parametrize("kind", ["normal", "skewed", "two levels", "spikes"])
@pytest.mark.parametrize("begin", [12, 400])
def test_a_loss_that_runs_away_is_seen(kind, begin):
    source = random.Random(7)
    watched = Divergence()
    seen = None
    for step in range(begin + 200):
        away = min(max(step - begin, 0) / 10, 6.0)
        watched.take(step, 1.5 + max(_noise(kind, source), -1.1) + away)
        if watched.diverging and seen is None:
            seen = step
    assert seen is not None
    assert begin <= seen <= begin + 80
    assert watched.diverging


@settings(max_examples=60)
@given(
    level=st.floats(0.05, 10),
    spikes=st.lists(st.floats(1, 1e6), min_size=1, max_size=WINDOW // 2),
    at=st.integers(30, 80),
)
def test_a_burst_shorter_than_half_the_window_says_nothing(level, spikes, at):
    watched = Divergence()
    for step in range(120):
        high = spikes[step - at] if 0 <= step - at < len(spikes) else 0.0
        watched.take(step, level + high)
        assert not watched.diverging


def test_divergence_rings_once_and_clears_when_half_is_taken_back(run):
    assert run.train(40, loss=1.0) == []
    assert run.train(60, loss=3.0) == ["divergence"]
    assert "risen to 3" in run.alerts.active["divergence"].message
    assert run.train(30, loss=1.2) == []  # 0.2 above the best: over half of the margin of 0.3
    assert "divergence" in run.alerts.active
    assert run.train(30, loss=1.1) == []
    assert "divergence" not in run.alerts.active
    assert run.train(30, loss=3.0) == ["divergence"]


def test_steps_that_are_trained_again_are_forgotten(run):
    run.train(40, loss=1.0)
    run.train(30, loss=4.0)
    assert "divergence" in run.alerts.active
    run.say(ResumedEvent(step=40))
    run.step = 40
    assert run.alerts.active == {}
    assert run.train(40, loss=1.0) == []


# ---- stall ---------------------------------------------------------------------------------------


def test_silence_in_training_is_a_stall_after_a_minute(run):
    run.train(10, seconds=1)
    assert run.wait(STALL_SECONDS) == []
    assert run.wait(600) == ["stall"]
    assert "no sign of life for 61 s; a step takes 1 s" in run.alerts.active["stall"].message
    assert run.train(1) == []
    assert run.alerts.active == {}
    assert run.wait(200) == ["stall"]


def test_slow_steps_are_given_ten_times_their_time(run):
    run.train(5, seconds=30)
    assert run.wait(300) == []
    assert run.wait(2) == ["stall"]


def test_before_the_first_steps_nothing_is_usual(run):
    assert run.wait(3600) == []


@pytest.mark.parametrize(
    "phase",
    [
        Phase.INITIALIZING,
        Phase.LOADING_MODEL,
        Phase.CONFIGURING_LORA,
        Phase.LOADING_DATASET,
        Phase.SAVING_ADAPTER,
        Phase.STOPPING,
        Phase.EVALUATING,
    ],
)
def test_phases_that_wait_may_wait(run, phase):
    run.train(10)
    run.say(PhaseEvent(phase=phase))
    assert run.wait(7200) == []


def test_an_evaluation_is_held_against_the_ones_before(run):
    run.train(5)
    run.say(PhaseEvent(phase=Phase.EVALUATING))
    run.now += 60
    run.say(PhaseEvent(phase=Phase.TRAINING))
    assert run.train(5) == []
    run.say(PhaseEvent(phase=Phase.EVALUATING))
    assert run.wait(600) == []
    assert run.wait(2) == ["stall"]


def test_the_time_of_an_evaluation_is_no_step(run):
    run.train(5)
    run.say(PhaseEvent(phase=Phase.EVALUATING))
    run.now += 900
    run.say(PhaseEvent(phase=Phase.TRAINING))
    run.train(5)
    assert run.alerts.patience == STALL_SECONDS


def test_a_slow_checkpoint_makes_the_next_one_no_stall(run):
    run.train(5)
    assert run.wait(100) == ["stall"]
    run.say(CheckpointEvent(step=5, path="checkpoints/step-5", size=1))
    run.train(5)
    assert run.wait(250) == []


# ---- how a run ends ------------------------------------------------------------------------------


def test_a_worker_that_is_gone_is_interrupted_once(run):
    run.train(5)
    assert run.wait(30, alive=False) == ["interrupted"]
    assert "qtui runs resume 20261120-154210-quiet-otter" in (
        run.alerts.active["interrupted"].message
    )
    assert run.say(PhaseEvent(phase=Phase.INITIALIZING)) == []
    assert run.alerts.active == {}


def test_a_worker_that_executes_itself_anew_is_given_time(run):
    run.train(5)
    assert run.say(ResumedEvent(step=0, reason=OUT_OF_MEMORY)) == []
    assert run.wait(RESTART_SECONDS - 1, alive=False) == []
    assert run.wait(3, alive=False) == ["interrupted"]


def test_endings_are_told_and_nothing_after_them(run):
    run.train(5)
    assert run.say(FinishedEvent(status="completed", step=5)) == ["finished"]
    assert run.alerts.active["finished"].message == "completed at step 5"
    assert run.wait(7200, alive=False) == []
    failed = Clocked()
    failed.say(PhaseEvent(phase=Phase.TRAINING))
    event = FailedEvent(error="X", message="the disk is full.", remedy="make\nroom \x1b[31m")
    assert failed.say(event) == ["failed"]
    assert failed.alerts.active["failed"].message == "the disk is full. make room \ufffd[31m"


def test_what_the_worker_alerts_is_passed_on(run):
    assert run.say(AlertEvent(kind="out_of_memory", message="half the batch")) == ["out_of_memory"]


# ---- the machine ---------------------------------------------------------------------------------


def gpu(index: int = 0, **changed) -> Gpu:
    values = {
        "memory_total": 24 * GB,
        "memory_free": 6 * GB,
        "utilisation": 97,
        "temperature": 66,
        "cuda_index": index,
        **changed,
    }
    return Gpu(index=index, **{name: Reading(value) for name, value in values.items()})


class Room:
    """A machine that is watched, with a clock."""

    def __init__(self) -> None:
        self.watch = MachineAlerts()
        self.now = 5000.0
        self.runs: list[RunAlerts] = []
        self.disk: Disk | None = None

    def see(self, *gpus: Gpu, seconds: int = 0, available: bool = True) -> list[str]:
        found: list[Alert] = []
        for _ in range(seconds + 1):
            snapshot = Snapshot(available=available, gpus=gpus)
            found += self.watch.look(snapshot, self.disk, self.runs, self.now)
            self.now += 1
        return [alert.kind for alert in found]


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def on_gpu(run, room) -> Room:
    """A machine with a run that trains on its GPU; torch keeps 1 GB in reserve."""
    run.train(3, memory_peak=16.0 * GB, memory_reserved=17.0 * GB)
    room.runs = [run.alerts]
    return room


def test_heat_rings_once_and_clears_with_distance(room):
    assert room.see(gpu(temperature=HOT), seconds=60) == ["temperature"]
    assert room.see(gpu(temperature=HOT - 3), seconds=60) == []
    assert room.see(gpu(temperature=HOT), seconds=60) == []  # it had not cooled down
    assert room.see(gpu(temperature=HOT - 5)) == []
    assert room.watch.active == {}
    assert room.see(gpu(temperature=HOT), seconds=60) == ["temperature"]


def test_a_moment_of_heat_is_none(room):
    for _ in range(20):
        assert room.see(gpu(temperature=95), seconds=5) == []
        assert room.see(gpu(temperature=70), seconds=1) == []


def test_the_cards_own_threshold_counts_where_it_is_told(room):
    assert room.see(gpu(temperature=90, slowdown_temperature=93), seconds=60) == []
    assert room.see(gpu(temperature=93, slowdown_temperature=93), seconds=60) == ["temperature"]


def test_each_gpu_has_its_own_alarm(room):
    hot = room.see(gpu(0, temperature=91), gpu(1, temperature=91), seconds=30)
    assert hot == ["temperature", "temperature"]
    assert {"GPU 0" in alert.message for alert in room.watch.active.values()} == {True, False}


def test_an_idle_gpu_in_training_rings_after_two_minutes(on_gpu):
    assert on_gpu.see(gpu(utilisation=4), seconds=118) == []
    assert on_gpu.see(gpu(utilisation=4), seconds=600) == ["idle_gpu"]
    assert on_gpu.see(gpu(utilisation=7), seconds=10) == []
    assert "idle_gpu" in on_gpu.watch.active
    assert on_gpu.see(gpu(utilisation=60)) == []
    assert on_gpu.watch.active == {}


def test_one_busy_gpu_is_enough(on_gpu):
    assert on_gpu.see(gpu(0, utilisation=0), gpu(1, utilisation=90), seconds=600) == []


def test_a_hidden_gpu_that_is_busy_does_not_count(on_gpu):
    hidden = gpu(1, utilisation=90, cuda_index=None)
    assert on_gpu.see(gpu(0, utilisation=0), hidden, seconds=600) == ["idle_gpu"]


def test_no_idle_alert_without_a_run_that_trains_on_a_gpu(room, run):
    run.train(3)  # on the CPU: no memory of a GPU in its metrics
    room.runs = [run.alerts]
    assert room.see(gpu(utilisation=0), seconds=600) == []


def test_an_evaluation_ends_the_idleness_of_training(on_gpu, run):
    on_gpu.see(gpu(utilisation=0), seconds=100)
    run.say(PhaseEvent(phase=Phase.EVALUATING))
    on_gpu.see(gpu(utilisation=0))
    run.say(PhaseEvent(phase=Phase.TRAINING))
    assert on_gpu.see(gpu(utilisation=0), seconds=100) == []


def test_readings_that_do_not_come_begin_the_time_anew(on_gpu):
    on_gpu.see(gpu(utilisation=0), seconds=100)
    assert on_gpu.see(gpu(utilisation=0), seconds=100, available=False) == []
    assert on_gpu.see(gpu(utilisation=0), seconds=100) == []
    assert on_gpu.see(gpu(utilisation=0), seconds=30) == ["idle_gpu"]


def test_what_cannot_be_told_rings_nothing(on_gpu):
    nothing = {"utilisation": None, "temperature": None, "memory_free": None}
    assert on_gpu.see(gpu(**nothing), seconds=600) == []


def test_full_gpu_memory_counts_what_torch_keeps_in_reserve(on_gpu, run):
    assert on_gpu.see(gpu(memory_free=0), seconds=60) == []  # the reserve of 1 GB is left
    run.train(1, memory_peak=17.0 * GB, memory_reserved=17.0 * GB)
    assert on_gpu.see(gpu(memory_free=int(0.3 * GB)), seconds=60) == ["gpu_memory"]
    assert on_gpu.see(gpu(memory_free=int(0.6 * GB)), seconds=60) == []
    assert "gpu_memory 0" in on_gpu.watch.active
    assert on_gpu.see(gpu(memory_free=1 * GB)) == []
    assert on_gpu.watch.active == {}


def test_a_gpu_that_is_lost_while_watched(room):
    lost = Gpu(index=1, why="the GPU is lost")
    assert room.see(gpu(0), lost, seconds=5) == []  # it never answered: doctor tells
    assert room.see(gpu(0), gpu(1)) == []
    assert room.see(gpu(0), lost, seconds=5) == ["gpu_lost"]


def test_disk_below_two_gigabytes(room):
    room.disk = Disk(path="/w", total=100 * GB, free=GB)
    assert room.see(seconds=60) == ["disk"]
    room.disk = Disk(path="/w", total=100 * GB, free=int(2.2 * GB))
    assert room.see(seconds=3) == []
    assert "disk" in room.watch.active
    room.disk = Disk(path="/w", total=100 * GB, free=3 * GB)
    assert room.see() == []
    assert room.watch.active == {}


def test_disk_below_what_the_next_checkpoint_needs(room, run):
    run.train(1)
    run.say(CheckpointEvent(step=1, path="checkpoints/step-1", size=16 * GB))
    room.runs = [run.alerts]
    room.disk = Disk(path="/w", total=100 * GB, free=17 * GB)
    assert room.see() == ["disk"]
    assert "next checkpoint needs 17.6 GB" in room.watch.active["disk"].message


def test_disk_is_watched_without_any_gpu(room):
    room.disk = Disk(path="/w", total=100 * GB, free=GB)
    assert room.see(available=False) == ["disk"]
    room.disk = Disk(path="/w", why="the disk did not answer within 2 s")
    assert room.see(available=False) == []
    assert "disk" in room.watch.active


# ---- the alarm itself ----------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.sampled_from(["bad", "middle", "good"]))),
    st.sampled_from([0.0, 3.0, 10.0]),
)
def test_an_alarm_rings_once_between_two_good_moments_and_never_early(moments, hold):
    alarm = Alarm(hold)
    now, bad_since, rung = 0.0, None, False
    for pause, how in moments:
        now += pause
        if how == "good":
            rung = False
        bad_since = (now if bad_since is None else bad_since) if how == "bad" else None
        expected = how == "bad" and not rung and now - bad_since >= hold
        assert alarm.look(now, bad=how == "bad", good=how == "good") == expected
        rung = rung or expected
        assert alarm.on == rung
