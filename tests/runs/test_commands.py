"""What the world asks of a worker, line by line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qtui.errors import InputError
from qtui.runs import commands
from qtui.runs.commands import COMMANDS_FROM, CommandReader
from qtui.runs.events import Command, FinishedEvent, Phase, PhaseEvent, SaveNow, Stop
from qtui.runs.folder import Run
from qtui.runs.lock import RunLock
from qtui.runs.log import EventLog


def kinds(found: list[Command]) -> list[object]:
    return [(type(c), getattr(c, "save", None)) for c in found]


def test_commands_come_once_in_order_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    reader = CommandReader(path)
    assert reader.poll() == []
    commands.append(path, SaveNow())
    commands.append(path, Stop(save=False))
    found = reader.poll()
    assert kinds(found) == [(SaveNow, None), (Stop, False)]
    assert all(command.time > 1e9 for command in found)
    assert reader.poll() == []
    commands.append(path, Stop())
    assert kinds(reader.poll()) == [(Stop, True)]


def test_a_torn_line_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(b'{"type":"stop","sa')
    reader = CommandReader(path)
    assert reader.poll() == []
    commands.append(path, SaveNow())
    assert kinds(reader.poll()) == [(SaveNow, None)]
    assert reader.ignored == 1


@pytest.mark.parametrize("line", [b"\xff", b"{}", b'{"type":"dance"}', b"[" * 5000, b"\0\0"])
def test_what_is_no_command_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "commands.jsonl"
    path.write_bytes(line + b'\n\n{"type":"stop"}\n')
    reader = CommandReader(path)
    assert kinds(reader.poll()) == [(Stop, True)]
    assert reader.ignored == 1


def test_many_senders_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    code = (
        "import sys; from pathlib import Path; from qtui.runs import commands\n"
        "from qtui.runs.events import SaveNow\n"
        "for _ in range(200): commands.append(Path(sys.argv[1]), SaveNow())"
    )
    senders = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    reader, got = CommandReader(path), 0
    while any(sender.poll() is None for sender in senders):
        got += len(reader.poll())
    assert got + len(reader.poll()) == 600
    assert reader.ignored == 0


def test_a_life_begins_where_launch_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "commands.jsonl"
    commands.append(path, Stop())
    monkeypatch.setenv(COMMANDS_FROM, str(path.stat().st_size))
    commands.append(path, SaveNow())
    assert kinds(CommandReader(path).poll()) == [(SaveNow, None)]
    assert kinds(CommandReader(path, offset=0).poll()) == [(Stop, True), (SaveNow, None)]


def test_only_a_living_worker_can_be_asked(run: Run) -> None:
    with pytest.raises(InputError, match="has not started"):
        commands.send(run, SaveNow())
    with EventLog(run.events) as log:
        with RunLock(run.lock):
            log.write(PhaseEvent(phase=Phase.TRAINING))
            commands.send(run, SaveNow())
        with pytest.raises(InputError, match="is interrupted"):
            commands.send(run, SaveNow())
        log.write(FinishedEvent(status="completed"))
        with pytest.raises(InputError, match="is completed"):
            commands.send(run, SaveNow())
    assert len(CommandReader(run.commands).poll()) == 1
