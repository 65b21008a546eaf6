"""The README's pictures are what the dashboard looks like now."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    """The script as a module; scripts are no package."""
    path = ROOT / "scripts" / "make_readme_picture.py"
    spec = importlib.util.spec_from_file_location("make_readme_picture", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(svg: str) -> str:
    """What can be read on a picture, row by row."""
    rows = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    return "\n".join(row.replace("&#160;", " ") for row in rows)


def test_the_pictures_in_the_readme_are_what_the_script_draws_now() -> None:
    drawn = asyncio.run(script().draw())
    assert drawn.keys() == {"dashboard.svg", "dashboard-home.svg"}
    for name, svg in drawn.items():
        path = ROOT / "docs" / name
        made = "python scripts/make_readme_picture.py draws it anew"
        assert words(svg) == words(path.read_text(encoding="utf-8")), f"{name} is old; {made}"
    assert "quiet-otter" in words(drawn["dashboard.svg"])


def test_the_pictures_are_small_stand_alone_and_come_first() -> None:
    for name in ("dashboard.svg", "dashboard-home.svg"):
        path = ROOT / "docs" / name
        svg = path.read_text(encoding="utf-8")
        assert path.stat().st_size < 300_000
        assert not re.search(r"url\(.?http", svg)
        assert "@font-face" not in svg
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme)[0] == "docs/dashboard.svg"
