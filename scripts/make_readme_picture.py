"""Draws the README's pictures of the dashboard: the real screens, over a run with fixed data.

    python scripts/make_readme_picture.py [FOLDER]

writes `dashboard.svg` (the Monitor of a living run) and `dashboard-home.svg` into FOLDER (default:
docs/). Time, machine and run are those of the dashboard's tests, so the pictures change only when
the screens do; a test holds the ones in docs/ against what this makes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import sys
import tempfile
from pathlib import Path

import msgspec
from textual.app import App
from textual.pilot import Pilot

from qtui.app import QtuiApp
from qtui.dashboard.reading import MachineRead
from qtui.system.gpu_readings import Reading

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the runs and the machine of the tests

from tests.dashboard import run_folders  # noqa: E402
from tests.dashboard.harness import Machine, drive, screen_text, settled, until  # noqa: E402
from tests.dashboard.machines import RTX_4090  # noqa: E402

SIZE = (112, 34)
_FONT_FACE = re.compile(r"@font-face\s*{[^}]*}\s*")


def plain(svg: str) -> str:
    """The picture without fonts from elsewhere: the reader's own monospaced font is as good."""
    alone = _FONT_FACE.sub("", svg).replace("Fira Code", "ui-monospace, Menlo, Consolas")
    return "\n".join(line.rstrip() for line in alone.splitlines()) + "\n"


async def draw() -> dict[str, str]:
    """The pictures as SVG, by file name."""
    pictures = {}
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place) / "workspace"
        machine = Machine(RTX_4090)
        with run_folders.every_state(workspace):
            async with drive(workspace, SIZE, machine=machine) as pilot:
                app = pilot.app
                await until(pilot, lambda: "amber-finch" in screen_text(app))
                await until(pilot, lambda: "17/24G" in screen_text(app))
                app._reader.close()  # what the machine says comes from here, not by the clock
                while not any("▸" in r and "quiet-otter" in r for r in _rows(app)):
                    await pilot.press("down")
                await settled(pilot)
                pictures["dashboard-home.svg"] = plain(app.export_screenshot(title="qtui"))
                await pilot.press("enter")
                await until(pilot, lambda: "step-000400" in screen_text(app))
                await _ten_minutes(pilot, machine)
                await settled(pilot)
                pictures["dashboard.svg"] = plain(app.export_screenshot(title="qtui"))
    return pictures


def _rows(app: App[None]) -> list[str]:
    return screen_text(app).splitlines()


async def _ten_minutes(pilot: Pilot[None], machine: Machine) -> None:
    """Let the machine tell of the last ten minutes: a GPU that trains, and evaluates at times."""
    (gpu,) = RTX_4090.gpus
    app = pilot.app
    assert isinstance(app, QtuiApp)
    first = app.machine
    assert first is not None
    for ago in range(600, -1, -10):
        machine.now = run_folders.NOW - ago
        evaluates = ago % 260 in (0, 10)
        now = msgspec.structs.replace(
            gpu,
            utilisation=Reading(41 if evaluates else 97 - ago % 3),
            power=Reading(190.0 if evaluates else 318.0 + 9 * math.sin(ago)),
            temperature=Reading(66 - round(9 * (ago / 600) ** 4)),
        )
        read = msgspec.structs.replace(RTX_4090, time=machine.now, gpus=(now,))
        app.post_message(MachineRead(read, first.memory, first.disk, first.gpu_text))
        await pilot.pause()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    folder = parser.parse_args().folder
    for name, svg in asyncio.run(draw()).items():
        (folder / name).write_text(svg, encoding="utf-8")
        print(f"{folder / name}  {len(svg) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
