"""Charts: places, ticks, long series made short, labels that do not overlap."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from charrnn.pages.charts import Labels, bars, heat_strip, standalone
from charrnn.pages.label_map import Glyph, apart, map_chart
from charrnn.pages.lines import COLUMNS, Series, line_chart, zoom_data
from charrnn.pages.page import FOLDER
from charrnn.pages.scales import Scale, bucketed, number, scale_for
from tests.reporting.test_surprise import contrast

HOSTILE = "</svg><script>alert(1)</script>\"'&\x00\u202e"
LABELS = Labels("test", HOSTILE, HOSTILE, HOSTILE, HOSTILE)


def parsed(chart: str) -> ElementTree.Element:
    """A chart as XML; an id that is used twice or missing fails."""
    root = ElementTree.fromstring(standalone(chart))
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert set((root.get("aria-labelledby") or "").split()) <= set(ids)
    assert root.get("role") == "img"
    assert not any("script" in each.tag for each in root.iter())
    return root


def long_series() -> Series:
    rng = np.random.default_rng(3)
    steps = np.arange(1, 100_001)
    return Series("loss", steps, 4 / np.sqrt(steps) + 0.1 * rng.standard_normal(len(steps)))


def test_charts_are_xml_whatever_they_name() -> None:
    three = np.arange(3.0)
    parsed(line_chart([Series(HOSTILE, three, three), Series("b", three, -three)], LABELS))
    parsed(bars({HOSTILE: 1.0, "b": 2.0}, LABELS, texts=[HOSTILE, "2"]))
    parsed(heat_strip({HOSTILE: np.array([-1, 0.5])}, [HOSTILE, "b"], LABELS))
    parsed(map_chart([Glyph(0, 0, HOSTILE), Glyph(1, 1, "b")], LABELS))
    parsed(line_chart([Series("none", np.zeros(0), np.zeros(0))], LABELS))
    parsed(line_chart([Series("one", np.ones(1), np.full(1, np.nan), style="points")], LABELS))
    parsed(bars({}, LABELS))


def test_a_long_series_is_drawn_short_with_its_extremes() -> None:
    series = long_series()
    chart = line_chart([series], LABELS)
    root = parsed(chart)
    (line,) = (each for each in root.iter() if each.get("data-line") == "0")
    points = re.findall(r"[ML]([\d.]+),([\d.]+)", line.get("d") or "")
    assert 200 < len(points) <= COLUMNS and len(chart) < 25_000
    drawn = bucketed(series.x, series.y, COLUMNS)
    assert drawn.low.min() == series.y.min() and drawn.high.max() == series.y.max()
    assert drawn.y.mean() == pytest.approx(series.y.mean(), rel=1e-3)


def test_what_is_not_finite_is_left_out() -> None:
    y = np.array([1.0, np.nan, np.inf, 2.0])
    found = bucketed(np.arange(4), y, 10)
    assert found.x.tolist() == [0, 3] and found.y.tolist() == [1, 2]


def test_lines_of_many_runs_differ_and_their_names_leave_room() -> None:
    steps = np.arange(9.0)
    series = [Series("the name of run " + str(n), steps, steps, n) for n in range(24)]
    chart = line_chart(series, LABELS, height=150)
    looks = re.findall('<path class="(line[^"]*)"', chart)
    assert looks[:24] == looks[24:] and len(set(looks)) == 24
    style = (FOLDER / "charts.css").read_text()
    for name in {name for look in looks for name in look.split() if name.startswith("turn")}:
        assert f".chart .{name} {{ stroke-dasharray:" in style
    _, top, _, bottom = zoom_data(series, LABELS, most=9, height=150)["frame"]
    assert bottom - top >= 30 and f'viewBox="0 0 760 {bottom + 44:.0f}"' in chart


def test_the_script_gets_what_there_is() -> None:
    series = long_series()
    about = zoom_data(
        [series, Series("few", np.array([5, 70, 80]), np.array([3.0, 2, 1]))], LABELS, most=5000
    )
    long, few = about["series"]
    assert len(long["rows"]) == 3 and len(few["rows"]) == 1 and few["x"] == [5, 70, 80]
    words = np.frombuffer(base64.b64decode(long["rows"][0]), "<u2")
    values = long["low"] + long["size"] * words / 65535
    expected = bucketed(series.x, series.y, 5000)
    np.testing.assert_allclose(values, expected.y, atol=long["size"] / 65535)
    kind, first, every, count, last = long["x"]
    assert kind == "even" and count == len(expected.x) == len(words)
    np.testing.assert_allclose(first + every * np.arange(count - 1), expected.x[:-1])
    assert last == expected.x[-1]


def test_ticks_are_round_numbers_within_the_range() -> None:
    assert Scale(0, 1, 0, 100).ticks(5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert Scale(1.37, 4.17, 0, 1).ticks(5) == pytest.approx([2, 3, 4])
    assert Scale(1e-4, 10, 0, 1, True).ticks(9) == pytest.approx([1e-4, 1e-3, 0.01, 0.1, 1, 10])
    assert [number(v) for v in (0, 25000, 0.1 + 0.2, -1.5, 1e-9)] == [
        *("0", "25,000", "0.3", "−1.5", "10⁻⁹")
    ]


def test_a_logarithmic_scale_ends_at_decades() -> None:
    scale = scale_for([np.array([1e-30, 0.0, 0.02, 3.0])], 0, 10, is_log=True)
    assert (scale.low, scale.high) == pytest.approx((1e-9, 10))
    assert scale(np.array([0.0])) < 0 and scale(np.array([10.0])) == pytest.approx(10)


def test_labels_move_apart_but_stay_inside() -> None:
    rng = np.random.default_rng(0)
    wanted = np.concatenate([np.full((12, 2), 200.0), 400 * rng.random((60, 2))])
    sizes = np.tile([13.0, 17.0], (len(wanted), 1))
    places = apart(wanted, sizes, (760, 520))
    gaps = np.abs(places[:, None] - places[None])
    overlap = (gaps < sizes[0] - 0.6).all(axis=2) & ~np.eye(len(wanted), dtype=bool)
    assert not overlap.any()
    assert (places >= sizes / 2 - 1e-9).all() and (places <= [760, 520] - sizes / 2 + 1e-9).all()


def test_colors_can_be_seen_in_light_and_dark() -> None:
    style = (FOLDER / "charts.css").read_text()
    blocks = re.findall(r"--ink[^}]+", style)
    assert len(blocks) == 3
    for block in blocks:
        colors = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for name in ("ink", "soft"):
            assert contrast(colors[name], colors["paper"]) >= 4.5
        for n in range(6):
            assert contrast(colors[f"c{n}"], colors["paper"]) >= 4.5, n
