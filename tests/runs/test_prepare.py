"""A look at the data: what comes back, what is told on the way, and that nothing is left."""

from __future__ import annotations

import queue
import sys
import tempfile
from pathlib import Path

import pytest

from qtui.config import form
from qtui.config.models import FineTuneConfig
from qtui.errors import ImpossibleError, InputError, QtuiError
from qtui.runs import launch, prepare
from qtui.runs.folder import Run
from qtui.runs.prepare import Look, Looking
from tests.runs.conftest import until

ROOT = Path(__file__).parents[2]
COMMAND = ["qtui", "validate"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, with the fake worker in place of the real one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FAKE_GO", str(tmp_path / "go"))
    monkeypatch.setattr(launch, "WORKER", (sys.executable, "-m", "tests.cli.fake_worker"))
    return tmp_path


def config() -> FineTuneConfig:
    found = form.blank({}).config
    assert found is not None
    return found


def test_the_report_and_the_first_rows_come_back_and_nothing_is_left(place: Path) -> None:
    look = prepare.prepare(config(), command=COMMAND)
    assert look.report["train_rows"] == 90
    (row,) = look.rows
    start, end = row.trained[0]
    assert row.text[start:end] == "ok</s>"
    assert list(place.iterdir()) == []


def test_what_the_worker_refuses_is_raised(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "impossible")
    with pytest.raises(ImpossibleError, match="data: no room") as raised:
        prepare.prepare(config(), command=COMMAND)
    assert raised.value.remedy == "buy some"
    assert list(place.iterdir()) == []


def test_an_attendant_that_gives_up_ends_the_worker(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", "reads")

    def attend(run: Run) -> None:
        raise InputError("enough")

    with pytest.raises(InputError, match="enough"):
        prepare.prepare(config(), command=COMMAND, attend=attend)
    assert [path.name for path in place.iterdir()] == ["go.stopped"]


def test_a_look_in_a_thread_hands_over_what_it_found(place: Path) -> None:
    found: queue.Queue[Look | QtuiError] = queue.Queue()
    Looking(config(), COMMAND, found.put).start()
    look = found.get(timeout=60)
    assert isinstance(look, Look)
    assert look.report["rows_read"] == 96


def test_a_look_that_cannot_be_hands_over_the_error(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "missing"))
    found: queue.Queue[Look | QtuiError] = queue.Queue()
    Looking(config(), COMMAND, found.put).start()
    error = found.get(timeout=60)
    assert isinstance(error, QtuiError)
    assert "TMPDIR" in error.remedy


def test_a_look_says_what_it_does_and_leaves_nothing_when_it_is_cancelled(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", "reads")
    found: queue.Queue[Look | QtuiError] = queue.Queue()
    looking = Looking(config(), COMMAND, found.put)
    looking.start()
    until(lambda: looking.doing == "reading 3 of 96 rows")
    looking.cancel()
    looking.join(timeout=60)
    assert not looking.is_alive()
    assert found.empty()
    assert [path.name for path in place.iterdir()] == ["go.stopped"]
