"""The event log: whole lines, whatever happens to the writer or to the file."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.errors import QtuiError
from qtui.runs.events import LogEvent, MetricsEvent, Phase, PhaseEvent, SampleEvent
from qtui.runs.log import EventLog, EventReader


def metrics(step: int) -> MetricsEvent:
    return MetricsEvent(step=step, values={"loss": 1 / (step + 1)})


def write(path: Path, count: int) -> None:
    with EventLog(path) as log:
        for step in range(count):
            log.write(metrics(step))


def line(seq: int) -> bytes:
    event = msgspec.structs.replace(metrics(seq), seq=seq, time=1.0)
    return msgspec.json.encode(event) + b"\n"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        first = log.write(PhaseEvent(phase=Phase.TRAINING, detail="ü [INST]"))
        second = log.write(SampleEvent(step=1, prompt="a\nb", output="\x1b[31m"))
    assert (first.seq, second.seq) == (0, 1)
    assert first.time > 0
    reader = EventReader(path)
    assert reader.poll() == [first, second]
    assert reader.poll() == []
    assert reader.offset == path.stat().st_size
    assert all(json.loads(text) for text in path.read_text().splitlines())


def test_absent_and_empty_files_have_no_events(tmp_path: Path) -> None:
    reader = EventReader(tmp_path / "events.jsonl")
    assert reader.poll() == []
    reader.path.touch()
    assert reader.poll() == []


def test_follows_what_is_new_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    with EventLog(path) as log:
        for step in range(5):
            log.write(metrics(step))
            assert [event.seq for event in reader.poll()] == [step]


def test_a_torn_line_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = line(0) + line(1)
    reader = EventReader(path)
    seen: list[int] = []
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        seen += [event.seq for event in reader.poll()]
        assert len(seen) == whole[:end].count(b"\n")
    assert seen == [0, 1]
    assert (reader.damaged, reader.unknown, reader.gaps, reader.restarts) == (0, 0, [], 0)


def test_the_writer_mends_every_torn_tail_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = line(0) + line(1)
    start = len(line(0))
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        with EventLog(path) as log:
            assert log.write(metrics(9)).step == 9
        seqs = [event.seq for event in EventReader(path).poll()]
        complete = end == len(whole) - 1  # only the newline is missing: the event is kept
        assert seqs == ([0, 1, 2] if complete else [0, 1])


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\0" * 40_000, b"{" * 100, b"\xff\xfe{}"])
def test_the_writer_mends_what_power_loss_leaves(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(0) + tail)
    with EventLog(path) as log:
        log.write(metrics(1))
    reader = EventReader(path)
    assert [event.seq for event in reader.poll()] == [0, 1]
    assert reader.damaged == 0


@pytest.mark.parametrize("bad", [b"garbage", b"\0" * 3000, b'{"seq":1}', b"[" * 5000, b"\xff"])
def test_damage_in_the_middle_is_passed_over_and_counted(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(0) + bad + b"\n" + bad + b"\n")
    reader = EventReader(path)
    assert [event.seq for event in reader.poll()] == [0]
    assert reader.offset == len(line(0))  # it may yet turn out well: nothing valid came after
    assert reader.damaged == 0
    with path.open("ab") as file:
        file.write(line(3))
    assert [event.seq for event in reader.poll()] == [3]
    assert reader.damaged == 2
    assert reader.gaps == [(1, 3)]


def test_a_line_whose_content_comes_late_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(0) + b"\0" * (len(line(1)) - 1) + b"\n")
    reader = EventReader(path)
    assert [event.seq for event in reader.poll()] == [0]
    path.write_bytes(line(0) + line(1))
    assert [event.seq for event in reader.poll()] == [1]
    assert reader.damaged == 0


def test_events_of_a_newer_version_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        line(0)
        + b'{"type":"hologram","seq":1,"time":1.0,"x":{}}\n'
        + b'{"type":"phase","seq":2,"time":1.0,"phase":"dreaming"}\n'
        + b'{"type":"log","seq":3,"time":1.0,"level":"info","message":"m","new_field":[1]}\n'
    )
    reader = EventReader(path)
    assert [event.seq for event in reader.poll()] == [0, 3]
    assert (reader.unknown, reader.damaged, reader.gaps) == (2, 0, [])


def test_a_shorter_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 5)
    reader = EventReader(path)
    reader.poll()
    path.write_bytes(line(0))
    assert [event.seq for event in reader.poll()] == [0]
    assert reader.restarts == 1


def test_another_file_of_greater_length_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, 5)
    reader = EventReader(path)
    reader.poll()
    write(tmp_path / "other", 9)
    (tmp_path / "other").rename(path)
    assert len(reader.poll()) == 9
    assert reader.restarts == 1


def test_a_refreshed_copy_is_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(line(0))
    reader = EventReader(path)
    reader.poll()
    (tmp_path / "copy").write_bytes(line(0) + line(1))
    (tmp_path / "copy").rename(path)
    assert [event.seq for event in reader.poll()] == [1]
    assert reader.restarts == 0


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write(LogEvent(level="info", message="x" * 3_000_000))
        log.write(metrics(1))
    assert [event.seq for event in EventReader(path).poll()] == [0, 1]


def test_lone_surrogates_and_scalars_of_other_libraries_can_be_written(tmp_path: Path) -> None:
    class Scalar:
        def item(self) -> float:
            return 0.5

    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write(LogEvent(level="info", message="file \udcff name"))
        log.write(MetricsEvent(step=1, values={"loss": Scalar(), "nan": float("nan")}))  # type: ignore[dict-item]
    first, second = EventReader(path).poll()
    assert isinstance(first, LogEvent)
    assert first.message == "file ? name"
    assert isinstance(second, MetricsEvent)
    assert second.values == {"loss": 0.5, "nan": None}


def test_an_event_that_cannot_be_written_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.write(metrics(0))
        with pytest.raises(TypeError, match="object cannot go into the event log"):
            log.write(MetricsEvent(step=1, values={"loss": object()}))  # type: ignore[dict-item]
        log.write(metrics(1))
    assert [event.seq for event in EventReader(path).poll()] == [0, 1]


_WRITER = """
import os, sys
from pathlib import Path
from qtui.runs.events import MetricsEvent
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog
folder = Path(sys.argv[1])
with RunLock(folder / "lock"):
    log = EventLog(folder / "events.jsonl")
    for step in range(10**9):
        event = log.write(MetricsEvent(step=step, values={"loss": 0.5, "text": None}))
        os.write(1, b"%d\\n" % event.seq)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = -1
    for after in (1, 2, 50, 333, 1000):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(after)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        assert int(lines[0]) > acknowledged
        acknowledged = int([text for text in lines if text.endswith(b"\n")][-1])
        reader = EventReader(tmp_path / "events.jsonl")
        seqs = [event.seq for event in reader.poll()]
        assert seqs == list(range(len(seqs)))
        assert seqs[-1] >= acknowledged
        assert reader.damaged == 0


_INTERRUPTED = """
import signal, sys
from pathlib import Path
from qtui.runs.events import MetricsEvent
from qtui.runs.log import EventLog

class Now(BaseException): pass
def raise_now(*_): raise Now
signal.signal(signal.SIGALRM, raise_now)
log = EventLog(Path(sys.argv[1]))
hits = 0
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
while hits < 300:
    try:
        while True:
            log.write(MetricsEvent(step=1, values={"loss": 0.5}))
    except Now:
        hits += 1
"""


def test_an_exception_out_of_a_signal_handler_never_breaks_the_numbering(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    subprocess.run([sys.executable, "-c", _INTERRUPTED, str(path)], check=False, timeout=120)
    reader = EventReader(path)
    assert len(reader.poll()) > 300
    assert (reader.damaged, reader.gaps) == (0, [])


_FULL = """
import resource, sys
from pathlib import Path
from qtui.errors import QtuiError
from qtui.runs.events import LogEvent
from qtui.runs.log import EventLog
path = Path(sys.argv[1])
log = EventLog(path)
log.write(LogEvent(level="info", message="before"))
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))
try:
    log.write(LogEvent(level="info", message="x" * 500))
except QtuiError as error:
    print(error.message, "|", error.remedy)
assert path.stat().st_size == size, "a partial line was left"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write(LogEvent(level="info", message="after"))
"""


def test_a_disk_that_is_full_leaves_whole_lines_and_says_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert "bytes more are needed" in done.stdout
    assert "resume" in done.stdout
    assert [(e.seq, e.message) for e in EventReader(path).poll() if isinstance(e, LogEvent)] == [
        (0, "before"),
        (1, "after"),
    ]


def test_no_space_left_on_the_device_is_said_so() -> None:
    assert resource  # /dev/full answers ENOSPC to every write
    from qtui.runs import durable

    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(QtuiError, match="the disk is full; 5 bytes more are needed"):
            durable.append(fd, b"12345", Path("/dev/full"))
    finally:
        os.close(fd)


def test_a_log_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(QtuiError, match="cannot be written"):
        EventLog(tmp_path / "absent" / "events.jsonl")


_PIECES = st.one_of(
    st.integers(0, 20).map(line),
    st.binary(max_size=30),
    st.sampled_from(
        [b"\n", b"\0" * 20, b'{"type":"new","seq":4}\n', line(3)[:20], b"{}\n", b"\r\n"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=12), st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_read_in_any_pieces_give_the_same_events(
    pieces: list[bytes], cuts: list[int]
) -> None:
    content = b"".join(pieces) + b"\n" + line(99)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        path.touch()
        reader = EventReader(path)
        got = []
        for end in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
            path.write_bytes(content[:end])
            got += reader.poll()
        at_once = EventReader(path)
        assert got == at_once.poll()
        assert got[-1].seq == 99
        assert (reader.damaged, reader.unknown) == (at_once.damaged, at_once.unknown)
        with EventLog(path) as log:
            assert log.write(metrics(1)).seq == 100
        assert [event.seq for event in reader.poll()] == [100]
