"""Themes: every one can be read by everybody, whatever the terminal and the eyes."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from textual.color import Color, Lab, rgb_to_lab

from qtui.dashboard.remapping import remap
from qtui.themes.load import load_themes
from tests.dashboard import run_folders
from tests.dashboard.harness import drive, on_screen, screen_text, seen, until

OURS = ("dark", "light", "high-contrast", "colour-blind-safe", "16-colour", "mono")
PAINTED = ("dark", "light", "high-contrast", "colour-blind-safe")
PAINTS = ("accent", "success", "warning", "error")

BROKEN = {
    "colour": ('colours = "terminal"\naccent = "bleu"\n', "accent is 'bleu', which is no colour"),
    "unknown": ('colours = "none"\nacent = "#ffffff"\n', "did you mean accent?"),
    "kind": ('colours = "many"\n', "one of own, terminal, none"),
    "missing": ('foreground = "#ffffff"\n', "it does not say background"),
    "dark": ('colours = "none"\ndark = "yes"\n', "true or false"),
    "type": ('colours = "none"\naccent = 3\n', "a text in quotes"),
    "toml": ("accent =\n", "is not TOML"),
}


def test_ours_are_all_there_and_whole(tmp_path: Path) -> None:
    looks, problems = load_themes(tmp_path)
    assert tuple(looks) == OURS
    assert problems == ()
    assert [name for name, look in looks.items() if not look.colours] == ["mono"]
    assert all(look.about for look in looks.values())


@pytest.mark.parametrize("name", PAINTED)
def test_text_stands_out_from_every_ground(name: str, tmp_path: Path) -> None:
    # WCAG 2: 4.5 for text, 7 for the strictest level.
    wanted = 7.0 if name == "high-contrast" else 4.5
    theme = load_themes(tmp_path)[0][name].theme
    colours = {paint: getattr(theme, paint) for paint in (*PAINTS, "foreground")}
    colours["muted"] = theme.variables["text-muted"]
    for (what, colour), ground in itertools.product(
        colours.items(), ("background", "surface", "panel")
    ):
        contrast = _contrast(colour, getattr(theme, ground) or "")
        assert contrast >= wanted, f"{what} on {ground}: {contrast:.1f}"
    cursor = theme.variables
    assert _contrast(cursor["block-cursor-foreground"], cursor["block-cursor-background"]) >= 4.5


def _luminance(colour: str) -> float:
    parts = [_linear(value / 255) for value in Color.parse(colour).rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
EYES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


@pytest.mark.parametrize("eyes", EYES)
def test_paints_are_told_apart_with_every_kind_of_colour_vision(eyes: str, tmp_path: Path) -> None:
    theme = load_themes(tmp_path)[0]["colour-blind-safe"].theme
    for one, other in itertools.combinations(PAINTS, 2):
        apart = _apart(*(_seen(getattr(theme, paint), eyes) for paint in (one, other)))
        assert apart >= 20, f"{one} and {other}: {apart:.0f}"


def _seen(colour: str, eyes: str) -> Lab:
    linear = [_linear(value / 255) for value in Color.parse(colour).rgb]
    mixed = [sum(f * part for f, part in zip(row, linear, strict=True)) for row in EYES[eyes]]
    bounded = [min(max(value, 0.0), 1.0) for value in mixed]
    stored = [v * 12.92 if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in bounded]
    return rgb_to_lab(Color(*(round(255 * value) for value in stored)))


def _apart(one: Lab, other: Lab) -> float:
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def test_the_users_own_come_after_ours_and_may_replace_them(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_text('colours = "terminal"\nabout = "mine"\n')
    (tmp_path / "dark.toml").write_text('colours = "none"\n')
    looks, problems = load_themes(tmp_path)
    assert problems == ()
    assert tuple(looks) == (*OURS, "night")
    assert looks["night"].about == "mine"
    assert not looks["dark"].colours


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_theme_is_told_and_left_out(case: str, tmp_path: Path) -> None:
    text, said = BROKEN[case]
    (tmp_path / "mine.toml").write_text(text)
    looks, problems = load_themes(tmp_path)
    assert tuple(looks) == OURS
    assert "mine.toml" in problems[0]
    assert said in problems[0]


def test_the_examples_in_the_docs_hold(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs" / "dashboard.md"
    examples = re.findall(r"```toml\n(.*?)```", docs.read_text(encoding="utf-8"), re.DOTALL)
    (keys,) = [tomllib.loads(text)["keys"] for text in examples if text.startswith("[keys]")]
    assert remap(keys) == (keys, ())
    (theme,) = [text for text in examples if not text.startswith("[keys]")]
    (tmp_path / "warm.toml").write_text(theme)
    looks, problems = load_themes(tmp_path)
    assert problems == ()
    assert looks["warm"].about == "warm and dark"


@on_screen
async def test_every_theme_draws_every_screen(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        async with drive(tmp_path) as pilot:
            await seen(pilot, "quiet-otter")
            for place in "1249":
                await pilot.press(place)
                for _ in OURS:
                    before = pilot.app.theme
                    await pilot.press("ctrl+t")
                    await until(pilot, lambda before=before: pilot.app.theme != before)
            assert pilot.app.theme == "dark"


@on_screen
async def test_a_broken_config_still_opens_and_says_all_of_it(tmp_path: Path) -> None:
    folder = tmp_path / ".settings" / "qtui" / "themes"
    folder.mkdir(parents=True)
    (folder / "odd.toml").write_text("accent =\n")
    config = 'theme = "drak"\nmouze = true\n[keys]\n"app.hlep" = "h"\n"app.help" = "q"\n'
    async with drive(tmp_path, (120, 50), config=config) as pilot:
        for said in ("odd.toml", "did you mean dark?", "mouse?", "app.help?", "already app.back"):
            await seen(pilot, said)
        assert pilot.app.theme == "dark"


@pytest.mark.parametrize(
    ("environment", "config", "theme"),
    [
        ({}, "", "dark"),
        ({}, 'theme = "light"', "light"),
        ({"TERM": "xterm", "COLORTERM": ""}, "", "16-colour"),
        ({"TERM": "linux", "COLORTERM": ""}, "", "16-colour"),
        ({"TERM": "vt100", "COLORTERM": ""}, "", "mono"),
        ({"TERM": "xterm", "COLORTERM": ""}, 'theme = "light"', "light"),
        ({"NO_COLOR": "1"}, "", "mono"),
        ({"NO_COLOR": "1"}, 'theme = "light"', "mono"),
        ({"QTUI_THEME": "high-contrast"}, 'theme = "light"', "high-contrast"),
    ],
)
def test_which_theme_it_begins_with(
    environment: dict[str, str], config: str, theme: str, tmp_path: Path
) -> None:
    @on_screen
    async def look() -> None:
        async with drive(tmp_path, config=config, environment=environment) as pilot:
            assert pilot.app.theme == theme

    look()


@on_screen
async def test_mono_shows_no_colour_and_still_where_you_are(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        async with drive(tmp_path, environment={"NO_COLOR": "1"}) as pilot:
            await seen(pilot, "quiet-otter")
            for keys in ("1", "s", "escape", "2", "9", "colon", "escape", "question_mark"):
                await pilot.press(keys)
                await pilot.pause()
                styles = [
                    segment.style
                    for strip in pilot.app.screen._compositor.render_strips()
                    for segment in strip
                    if segment.style
                ]
                for style in styles:
                    for colour in (style.color, style.bgcolor):
                        assert colour is None or colour.is_default, (keys, style)
                if keys not in ("escape", "question_mark"):
                    assert any(style.reverse for style in styles), keys


@on_screen
async def test_ascii_draws_ascii_alone(tmp_path: Path) -> None:
    with run_folders.every_state(tmp_path):
        async with drive(tmp_path, config="ascii = true") as pilot:
            await seen(pilot, "quiet-otter")
            for keys in ("1", "s", "escape", "2", "9", "colon", "escape", "question_mark", "1"):
                await pilot.press(keys)
                await pilot.pause()
                shown = screen_text(pilot.app)
                assert shown.isascii(), (keys, sorted({c for c in shown if not c.isascii()}))
