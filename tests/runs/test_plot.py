"""Curves in the terminal and as pictures: nothing lost, nothing unsafe, nothing too wide."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtui.errors import ImpossibleError, InputError
from qtui.runs import curves, picture, plot
from qtui.runs.events import MetricsEvent
from qtui.runs.series import History


def history(values: list[float | None], name: str = "loss") -> History:
    made = History()
    made.feed(MetricsEvent(step=step, values={name: v}) for step, v in enumerate(values, 1))
    return made


FALLING = history([10 / step for step in range(1, 200)])
RISING = history([float(step) for step in range(1, 200)])
_SGR = re.compile(r"\x1b\[(0|3[1-6])m")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60), (20, 6), (1, 1)])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_a_chart_keeps_to_its_size(width: int, height: int, ascii_only: bool, colour: bool) -> None:
    both = {"one": FALLING, "two": RISING}
    text = plot.draw(both, ["loss"], width, height, ascii=ascii_only, colour=colour)
    plain = _SGR.sub("", text)
    assert "\x1b" not in plain
    assert (plain != text) == colour
    lines = plain.split("\n")
    assert len(lines) <= max(height, 6)
    assert max(map(len, lines)) <= max(width, 20)
    assert plain.isascii() == ascii_only
    assert "one" in lines[0]
    assert "two" in lines[0]


def test_a_curve_goes_where_its_values_go() -> None:
    def rows(of: History) -> list[int]:
        text = plot.draw(of, ["loss"], 60, 20, ascii=True)
        inside = [line.split("|", 1)[1] for line in text.split("\n") if line.count("|") == 2]
        columns = list(zip(*inside, strict=True))
        marked = [
            next(i for i, c in enumerate(column) if c == "*") for column in columns if "*" in column
        ]
        return [marked[0], marked[-1]]

    assert rows(RISING)[0] > rows(RISING)[1]
    assert rows(FALLING)[0] < rows(FALLING)[1]


def test_runs_are_told_apart_without_colour() -> None:
    text = plot.draw({"a": FALLING, "b": RISING}, ["loss"], 60, 20, ascii=True)
    assert text.count("*") > 5
    assert text.count("+") > 5


def test_a_single_step_a_flat_curve_and_values_that_are_not_finite_can_be_drawn() -> None:
    for values in (
        [1.0],
        [2.0] * 50,
        [1.0, None, 3.0],
        [None],
        [0.0],
        [1e-12, 1e12],
        [-1e300, 1e300],
    ):
        assert plot.draw(history(values), ["loss"], 60, 12)


def test_an_unknown_metric_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no run has a metric 'los'") as error:
        plot.draw(FALLING, ["los"], 60, 20)
    assert error.value.remedy == "did you mean loss? There are: loss"
    with pytest.raises(InputError, match="nothing to draw yet"):
        plot.draw(History(), ["loss"], 60, 20)


def test_a_run_that_lacks_a_metric_is_left_out() -> None:
    text = plot.draw({"a": FALLING, "b": history([1.0], "other")}, ["loss"], 60, 12)
    assert " a" in text.split("\n")[0]
    assert " b" not in text.split("\n")[0]


def test_labels_cannot_carry_controls() -> None:
    nasty = "\x1b]52;c;aGk=\x07[INST]"
    text = plot.draw({nasty: FALLING, "x\nb": RISING}, ["loss"], 80, 12)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert "[INST]" in text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=400),
    st.integers(1, 50),
)
def test_thinning_keeps_every_spike_and_the_ends(values: list[float | None], columns: int) -> None:
    steps = list(range(len(values)))
    xs, ys = curves.thin(steps, values, columns)
    there = {(float(s), v) for s, v in zip(steps, values, strict=True) if v is not None}
    assert set(zip(xs, ys, strict=True)) <= there
    assert xs == sorted(xs)
    assert len(xs) <= max(2 * columns, 0) or len(xs) == len(there) <= 2 * columns
    if there:
        assert max(ys) == max(v for _, v in there)
        assert min(ys) == min(v for _, v in there)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 20))
def test_ticks_are_inside_ascending_and_not_too_many(low: float, span: float, count: int) -> None:
    high = low + span
    if high <= low:
        return
    found = curves.ticks(low, high, count)
    numbers = [number for number, _ in found]
    assert numbers == sorted(numbers)
    assert len(numbers) <= count + 1
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert all(low - slack <= number <= high + slack for number in numbers)


def test_tick_texts_are_round() -> None:
    assert [t for _, t in curves.ticks(0, 1, 5)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [t for _, t in curves.ticks(0, 300, 3)] == ["0", "100", "200", "300"]
    assert [t for _, t in curves.ticks(0, 40_000, 4)] == ["0", "10k", "20k", "30k", "40k"]
    assert [t for _, t in curves.ticks(0, 2e-4, 2)] == ["0", "0.0001", "0.0002"]


def test_svg_is_xml_with_one_line_a_curve_and_text_as_text(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    picture.write(path, {"<b>&": FALLING, "two": RISING}, ["loss"], title='"t" & <u>')
    root = ET.fromstring(path.read_text())
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>&" in texts
    assert '"t" & <u>' in texts
    lines = [
        n
        for n in root.iter("{http://www.w3.org/2000/svg}polyline")
        if n.get("stroke-width") == "1.6"
    ]
    assert len(lines) == 2
    assert len({line.attrib["stroke"] for line in lines}) == 2
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= picture.WIDTH
            assert 0 <= y <= picture.HEIGHT


def test_png_shows_the_curves_in_their_colours(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    picture.write(tmp_path / "x.png", {"a": FALLING, "b": RISING}, ["loss"])
    with image_module.open(io.BytesIO((tmp_path / "x.png").read_bytes())) as image:
        assert image.size == (picture.WIDTH, picture.HEIGHT)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    for wanted in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert any(sum(abs(a - b) for a, b in zip(c, wanted, strict=True)) < 40 for c in colours)


def test_png_without_pillow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImpossibleError, match="needs Pillow") as error:
        picture.write(tmp_path / "x.png", FALLING, ["loss"])
    assert ".svg" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"only \.svg and \.png"):
        picture.write(tmp_path / "x.gif", FALLING, ["loss"])
