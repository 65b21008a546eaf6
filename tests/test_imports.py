"""What an import brings with it: front ends stay light, and start-up pays for nothing unused.

Each check is a fresh Python process that reports its sys.modules.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import qtui

HEAVY = {
    "torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets",
    "langchain", "numpy", "pandas",
}  # fmt: skip
FRONT = (
    "cli", "app", "screens", "widgets", "dashboard", "keymap", "themes", "chat", "runs",
    "system", "config", "builtin",
)  # fmt: skip


def loaded(code: str, cwd: Path | None = None) -> set[str]:
    """Top-level and qtui modules in memory after `code` ran in a fresh process."""
    report = "\nimport sys, json; sys.__stdout__.write('\\n' + json.dumps(sorted(sys.modules)))"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTHONPATH"))}
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        cwd=cwd, env=env, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    names = json.loads(done.stdout.rpartition("\n")[2])
    return {name if name.startswith("qtui") else name.partition(".")[0] for name in names}


def modules_of(room: str) -> list[str]:
    path = [str(Path(qtui.__path__[0]) / room)]
    return [f"qtui.{room}"] + [name for _, name, _ in pkgutil.walk_packages(path, f"qtui.{room}.")]


@pytest.mark.parametrize("room", FRONT)
def test_nothing_heavy_outside_stages(room: str) -> None:
    names = [name for name in modules_of(room) if not name.endswith(".__main__")]
    assert len(names) >= 1
    found = loaded("import " + ", ".join(names))
    assert found & HEAVY == set()
    assert not any(name.startswith(("qtui.stages", "qtui.worker")) for name in found)
    if room in ("chat", "runs", "config", "system"):
        assert "textual" not in found


def command(*words: str) -> str:
    return f"from qtui.cli.main import main\nassert main({list(words)!r}) == 0\n"


def test_help_loads_the_parser_and_nothing_else() -> None:
    found = loaded(command("--help"))
    ours = {name for name in found if name.startswith("qtui")}
    assert ours <= {
        "qtui", "qtui.errors", "qtui.terminal", "qtui.cli", "qtui.cli.main", "qtui.cli.output",
        "qtui.cli.table", "qtui.cli.parser", "qtui.cli.commands", "qtui.wording", "qtui.system",
        "qtui.system.sizes",
    }  # fmt: skip
    assert (
        found & {"pydantic", "msgspec", "ruamel", "textual", "rich", "plotext", "psutil"} == set()
    )


def test_listing_runs_loads_neither_pydantic_nor_a_screen(tmp_path: Path) -> None:
    found = loaded(command("runs", "list"), cwd=tmp_path)
    assert "qtui.runs.summary" in found
    assert found & {"qtui.runs.provenance", "subprocess", "secrets"} == set()
    assert found & {"pydantic", "ruamel", "textual", "rich", "plotext", "psutil"} == set()
    assert found & HEAVY == set()
