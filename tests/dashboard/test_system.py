"""The System screen: every kind of machine, findings by keys, a driver that hangs for real."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from qtui.app import QtuiApp
from qtui.runs.events import MetricsEvent
from qtui.system import about, doctor
from qtui.system.about import About
from qtui.system.disk import Disk
from qtui.system.finding import Finding
from qtui.system.gpu import GpuMonitor
from qtui.system.gpu_readings import Gpu, GpuProcess, MigInstance, Reading
from qtui.system.host import Host, Memory
from qtui.system.packages import TorchBuild
from qtui.widgets.gpu_lines import gpu_lines
from tests.cli.corpus import EVERYTHING
from tests.dashboard.harness import Machine, drive, on_screen, screen_text, seen, shows, until
from tests.dashboard.machines import (
    GIB,
    GPU_HANGS,
    GPU_LOST,
    NO_GPU,
    RTX_4090,
    TWO_H100,
    gpu,
)
from tests.dashboard.run_folders import NOW, append, live
from tests.system.test_gpu import driver, library

__all__ = ["driver", "library"]  # fixtures

FINDINGS = [
    Finding("ok", "Python 3.11.9"),
    Finding("note", "not logged in to the hub", "needed for gated models only", "hf auth login"),
    Finding(
        "error",
        "torch 2.13.0 is a CPU build and will not see the GPU",
        "the package was installed from an index or constraints for CPUs",
        "python -m pip install --force-reinstall 'torch==2.13.0'",
    ),
    Finding("warning", "4.1 GB free in the workspace", "enough for adapters only"),
]
ABOUT = About(
    host=Host(
        hostname="pod",
        platform="Linux-6.8",
        python="3.11.9",
        cpus=16.0,
        cpus_host=128,
        memory=Memory(total=64 * GIB, available=40 * GIB),
        container="docker",
        pod="runpod abc123",
    ),
    cache=Path("/workspace/.cache/huggingface/hub"),
    cache_disk=Disk(path="/workspace", total=1000 * GIB, free=800 * GIB),
    versions={"qtui": "0.1.0", "transformers": "5.23.0", "trl": "1.16.0"},
    torch=TorchBuild("2.13.0+cu130", "13.0"),
    load=3.25,
)
EIGHT = msgspec.structs.replace(
    TWO_H100, gpus=tuple(gpu(i, "NVIDIA H100 80GB HBM3", 64 + i, 80, busy=90 + i) for i in range(8))
)
MIG = msgspec.structs.replace(
    TWO_H100,
    gpus=(
        msgspec.structs.replace(
            TWO_H100.gpus[0],
            utilisation=Reading(None, "not told while MIG is on"),
            fan=Reading(None, "not supported on this card"),
            processes=Reading(
                (GpuProcess(host_pid=4711, memory=17 * GIB), GpuProcess(host_pid=4712))
            ),
            mig_instances=tuple(
                MigInstance(
                    index=index,
                    uuid=Reading(f"MIG-{index}"),
                    name=Reading("NVIDIA H100 80GB HBM3 MIG 1g.10gb"),
                    memory_total=Reading(10 * GIB),
                    memory_used=Reading(2 * GIB),
                    memory_free=Reading(8 * GIB),
                    cuda_index=0 if index == 0 else None,
                )
                for index in (0, 2)
            ),
        ),
    ),
)


@pytest.fixture(autouse=True)
def _known_machine() -> Iterator[None]:
    """What doctor finds and what the machine is, always the same."""
    with (
        patch.object(doctor, "examine", lambda workspace: list(FINDINGS)),
        patch.object(about, "about", lambda: ABOUT),
    ):
        yield


async def opened(pilot) -> None:
    """Go to the screen and wait until all of it is known."""
    await pilot.press("9")
    await seen(pilot, "Python 3.11.9")
    await seen(pilot, "16 of the host's 128")
    await until(pilot, lambda: pilot.app.machine is not None)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a short name, so that snapshots show it whole."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


# ---- machines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("one", RTX_4090),
        ("two", TWO_H100),
        ("eight", EIGHT),
        ("mig", MIG),
        ("lost", GPU_LOST),
        ("hangs", GPU_HANGS),
        ("none", NO_GPU),
    ],
)
def test_every_machine(workspace, name, gpus, size):
    @on_screen
    async def scenario():
        machine = Machine(NO_GPU)
        machine.gpus = gpus
        async with drive(workspace, size, machine=machine) as pilot:
            await opened(pilot)
            await shows(pilot, f"system-{name}-{size[0]}x{size[1]}")

    scenario()


def test_narrow_and_low(workspace):
    @on_screen
    async def scenario():
        for size in ((60, 24), (80, 16), (40, 10), (200, 60)):
            async with drive(workspace, size, gpus=EIGHT) as pilot:
                await pilot.press("9")
                await seen(pilot, "GPU")
                await until(pilot, lambda: pilot.app.screen.query_one("#system").lines)
                readout = pilot.app.screen.query_one("#system")
                assert len(readout.lines) == readout.size.height
                assert pilot.app.screen.virtual_size.width == size[0]

    scenario()


def test_ascii(workspace):
    @on_screen
    async def scenario():
        async with drive(workspace, gpus=MIG, config="ascii = true") as pilot:
            await opened(pilot)
            await shows(pilot, "system-ascii-80x24")
            readout = pilot.app.screen.query_one("#system")
            assert all(line.plain.isascii() for line in readout.lines)

    scenario()


def test_g_goes_through_the_gpus(workspace):
    @on_screen
    async def scenario():
        async with drive(workspace, gpus=EIGHT) as pilot:
            await opened(pilot)
            for _ in range(6):
                await pilot.press("g")
            await seen(pilot, "▸ 6   H100")
            assert "cuda:6" in screen_text(pilot.app) or "no program" in screen_text(pilot.app)
            for _ in range(2):
                await pilot.press("g")
            await seen(pilot, "▸ 0   H100")
        async with drive(workspace, gpus=RTX_4090) as pilot:
            await opened(pilot)
            assert "next GPU" not in screen_text(pilot.app)

    scenario()


def test_readings_go_on_and_only_they_change(workspace):
    @on_screen
    async def scenario():
        machine = Machine(RTX_4090)
        async with drive(workspace, machine=machine) as pilot:
            await opened(pilot)
            machine.gpus = msgspec.structs.replace(
                RTX_4090, gpus=(gpu(0, "NVIDIA GeForce RTX 4090", 23.5, 24, busy=12),)
            )
            await seen(pilot, "23.5/24   12 %")
            machine.disk_why, machine.disk_free = "the disk did not answer within 2 s", None
            await seen(pilot, "unavailable since 15:42:10: the disk did not answer")

    scenario()


# ---- findings ------------------------------------------------------------------------------------


def test_worst_first_and_the_selected_one_says_why_and_what_to_do(workspace):
    @on_screen
    async def scenario():
        async with drive(workspace, gpus=RTX_4090) as pilot:
            await opened(pilot)
            text = screen_text(pilot.app)
            places = [text.index(word) for word in ("✗ error", "! warning", "· note", "✓ ok")]
            assert places == sorted(places)
            assert "1 error  1 warning  1 note" in text
            assert "mend it  python -m pip install --force-reinstall 'torch==2.13.0'" in text
            await pilot.press("down", "down")
            await seen(pilot, "mend it  hf auth login")
            await pilot.press("end")
            await seen(pilot, "▸ ✓ ok")
            assert "mend it" not in screen_text(pilot.app)
            assert "copy command" not in screen_text(pilot.app).splitlines()[-1]
            await pilot.press("home")
            await seen(pilot, "▸ ✗ error")

    scenario()


def test_y_copies_to_the_clipboard_and_to_a_file(workspace):
    @on_screen
    async def scenario():
        cache = workspace / "cache"
        async with drive(
            workspace, gpus=RTX_4090, environment={"XDG_CACHE_HOME": str(cache)}
        ) as pilot:
            await opened(pilot)
            await pilot.press("y")
            command = FINDINGS[2].command
            await until(pilot, lambda: (cache / "qtui/command.sh").exists())
            assert (cache / "qtui/command.sh").read_text() == command + "\n"
            assert pilot.app.clipboard == command
            await seen(pilot, "Copied.")

    scenario()


def test_r_looks_again_and_what_is_selected_stays(workspace):
    @on_screen
    async def scenario():
        released, rounds = threading.Event(), []

        def examine(_: Path) -> list[Finding]:
            rounds.append(1)
            if len(rounds) > 1:
                released.wait(60)
                return [Finding("error", "something new"), *FINDINGS]
            return list(FINDINGS)

        with patch.object(doctor, "examine", examine):
            async with drive(workspace, gpus=RTX_4090) as pilot:
                await opened(pilot)
                await pilot.press("down", "down")
                await seen(pilot, "▸ · note    not logged in")
                await pilot.press("r")
                await seen(pilot, "looking again for")
                await pilot.press("r")  # not twice at once
                released.set()
                await seen(pilot, "something new")
                await seen(pilot, "▸ · note    not logged in")
                assert len(rounds) == 2

    scenario()


def test_a_doctor_that_fails_is_told(workspace):
    @on_screen
    async def scenario():
        def examine(_: Path) -> list[Finding]:
            raise RuntimeError("\x1b[31mboom")

        with patch.object(doctor, "examine", examine):
            async with drive(workspace, gpus=RTX_4090) as pilot:
                await pilot.press("9")
                await seen(pilot, "doctor ended with RuntimeError: \ufffd[31mboom")

    scenario()


def test_keys_work_while_doctor_hangs(workspace):
    @on_screen
    async def scenario():
        released = threading.Event()

        def examine(_: Path) -> list[Finding]:
            released.wait(60)
            return []

        with patch.object(doctor, "examine", examine):
            async with drive(workspace, gpus=TWO_H100) as pilot:
                await pilot.press("9")
                await seen(pilot, "looking at packages, driver, disk and terminal for")
                await pilot.press("g")
                await seen(pilot, "▸ 1   H100")
                await pilot.press("1")
                await until(pilot, lambda: pilot.app.current_mode == "home")
                released.set()

    scenario()


def test_alerts_that_go_on_stand_first(workspace):
    @on_screen
    async def scenario():
        with live(workspace) as run:
            async with drive(workspace, (120, 40), gpus=RTX_4090) as pilot:
                await opened(pilot)
                await until(pilot, lambda: pilot.app.alerting._watch.runs)
                append(run, [MetricsEvent(time=NOW, step=413, values={"loss": None})])
                await seen(pilot, "! alert   quiet-otter: loss of step 413")
                await seen(pilot, "findings  1 alert")
                await seen(pilot, "▸ ✗ error")  # what was selected stays selected
                append(run, [MetricsEvent(time=NOW, step=414, values={"loss": 1.0})])
                await until(pilot, lambda: "! alert" not in screen_text(pilot.app))

    scenario()


def test_foreign_text_is_shown_as_it_reads(workspace):
    @on_screen
    async def scenario():
        evil = msgspec.structs.replace(
            RTX_4090,
            gpus=(
                msgspec.structs.replace(
                    RTX_4090.gpus[0],
                    name=Reading(EVERYTHING),
                    fan=Reading(None, EVERYTHING),
                    compute_capability=Reading(EVERYTHING),
                ),
            ),
            driver=Reading(EVERYTHING),
            visible_note=EVERYTHING,
        )
        findings = [Finding("error", "[INST] " + EVERYTHING, EVERYTHING, EVERYTHING)]
        with patch.object(doctor, "examine", lambda workspace: findings):
            async with drive(workspace, (120, 40), gpus=evil) as pilot:
                await pilot.press("9")
                await seen(pilot, "✗ error   [INST]")
                text = screen_text(pilot.app)
                assert not [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0]

    scenario()


# ---- a real driver, or what stands in for one ----------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("healthy", "H200 ──────── 2.0/140 87 %"),
        ("two", "▸ 0   H200"),
        ("lost", "✗ the GPU is lost: it has fallen off the bus"),
        ("mig", "0: MIG 1g.18gb"),
        ("no_permission", "no permission to read it"),
    ],
)
def test_through_the_drivers_own_library(workspace, driver, mode, words):
    @on_screen
    async def scenario():
        driver(mode)
        app = QtuiApp(workspace)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("9")
            await until(pilot, lambda: " ".join(words.split()) in flat(app))

    scenario()


def test_a_driver_that_hangs_is_told_and_keys_go_on(workspace, driver):
    @on_screen
    async def scenario():
        driver("two")
        quick = functools.partial(GpuMonitor, interval=0.05, timeout=1.0)
        with patch("qtui.dashboard.reading.GpuMonitor", quick):
            app = QtuiApp(workspace)
            async with app.run_test(size=(80, 24)) as pilot:
                await pilot.press("9")
                await seen(pilot, "▸ 0   H200")
                driver("hang")
                await until(pilot, lambda: "GPU unavailable since" in flat(app))
                await until(pilot, lambda: "last values; GPU" in flat(app))
                await pilot.press("g")
                await seen(pilot, "▸ 1   H200")
                driver("two")
                await until(pilot, lambda: "unavailable" not in flat(app))

    scenario()


def flat(app: QtuiApp) -> str:
    """The screen with every run of blanks as one."""
    return " ".join(screen_text(app).split())


def test_a_gpu_that_tells_nothing():
    """A GPU of which the driver tells nothing at all still makes whole lines."""
    lines = gpu_lines([Gpu(index=0)], 0, {}, width=80, height=8, unicode=True)
    assert any("the driver does not tell" in line.plain for line in lines)
