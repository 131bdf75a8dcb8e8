"""One look: what theme, colours, markers and panels promise every figure."""

import io
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from expression.style import (
    COLORS,
    PAGE_WIDTH,
    class_palette,
    draw_bars,
    group_palette,
    name_ticks,
    panel_grid,
    series_styles,
    shorten,
    theme,
    wrap_name,
)


def test_figures_left_open_are_closed_by_the_theme():
    for stop in (None, KeyError):
        try:
            with theme():
                plt.figure()
                plt.figure()
                if stop:
                    raise stop
        except KeyError:
            pass
        assert plt.get_fignums() == []


def test_dollars_in_a_name_are_dollars(monkeypatch):
    """Two of them are mathematics to matplotlib; the first name is not even valid mathematics."""
    buffer = io.BytesIO()
    with theme():
        monkeypatch.setitem(plt.rcParams, "svg.fonttype", "none")  # text as text
        figure, ax = plt.subplots()
        ax.set(title="a $x_{$", xlabel="b $x_1$")
        figure.savefig(buffer, format="svg")
    assert b">a $x_{$</text>" in buffer.getvalue()
    assert b">b $x_1$</text>" in buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("AML", "AML"),
        ("normal, stage 1", "normal,\nstage 1"),
        ("a" * 30, "a" * 12 + "\n" + "a" * 12 + "\n" + "a" * 6),
    ],
)
def test_a_long_class_name_goes_over_several_lines(name, lines):
    assert wrap_name(name) == lines


def test_a_very_long_class_name_ends_in_an_ellipsis():
    assert wrap_name("word " * 12) == "word word\nword word\nword word…"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("TCGA-AB-2803-03A-01T-0734-13", "TCGA-AB-2803-03A-01T-0734-13"),
        ("g" * 30, "g" * 30),
        ("interleukin 8 receptor, alpha (M68932_at)", "interleukin 8 rec… (M68932_at)"),
        ("a" * 40, "a" * 17 + "…" + "a" * 12),
    ],
)
def test_a_long_name_keeps_its_beginning_and_its_end(name, shown):
    assert shorten(name) == shown


def overlaps(figure: plt.Figure, labels: list) -> list[str]:
    """Return the labels that reach into the one before."""
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    pairs = zip(boxes, boxes[1:], labels[1:], strict=False)
    return [label.get_text() for a, b, label in pairs if a.overlaps(b)]


@pytest.mark.parametrize("count", [5, 30, 80, 2_096])
@pytest.mark.parametrize("side", ["xaxis", "yaxis"])
def test_names_on_an_axis_never_overlap_and_stay_at_their_place(side, count):
    names = [f"TCGA-AB-{2800 + i}-03A-01T-0734-13" for i in range(count)]
    with theme():
        figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 4))
        ax.set(xlim=(-0.5, count - 0.5), ylim=(-0.5, count - 0.5))
        name_ticks(getattr(ax, side), names, inches=2.2)
        labels = getattr(ax, side).get_ticklabels()
        assert overlaps(figure, labels) == []
        shown = {label.get_text(): label.get_position()[side == "yaxis"] for label in labels}
    assert list(shown) == [names[int(place)] for place in shown.values()]
    assert len(shown) == count if count <= 22 else 15 <= len(shown) <= 22


@pytest.mark.parametrize("count", [1, 3, 10])
def test_bars_are_named_from_the_top_with_room_for_more(count):
    names = pd.Series([f"a gene with a very long description {i:02d}" for i in range(count)])
    with theme():
        figure, axes = panel_grid(4, columns=2, height=2.4)
        draw_bars(axes[0], pd.Series(range(1, count + 1)), "0.5", names, rows=10)
        labels = axes[0].get_yticklabels()
        assert overlaps(figure, labels) == []
        heights = [label.get_window_extent().y0 for label in labels]
    assert heights == sorted(heights, reverse=True)
    assert labels[0].get_text() == "a gene with a ver…scription 00"
    assert len(labels) == count
    assert axes[0].get_ylim() == (9.5, -0.5)


def test_one_colour_a_class(data):
    palette = class_palette(data)
    assert list(palette) == ["ALL", "AML"]
    assert len(set(palette.values())) == 2


def test_one_colour_a_subtype_the_first_that_of_its_class(data):
    blue, sky, vermilion = (COLORS[name] for name in ("blue", "sky", "vermilion"))
    assert group_palette(data) == {"B-cell ALL": blue, "T-cell ALL": sky, "AML": vermilion}
    assert group_palette(replace(data, subtypes=None)) == class_palette(data)


def test_28_series_look_different():
    names = [f"model {i}" for i in range(28)]
    styles = series_styles(names)
    assert list(styles) == names
    assert len({tuple(look.values()) for look in styles.values()}) == 28
    assert series_styles([*names, "one more"])["one more"] == styles["model 0"]


def test_the_first_7_series_differ_in_colour_and_marker_alone():
    styles = series_styles("abcdefg").values()
    assert len({look["color"] for look in styles}) == 7
    assert len({look["marker"] for look in styles}) == 7


@pytest.mark.parametrize("count", range(1, 10))
def test_a_grid_shows_exactly_the_panels_asked_for(count):
    with theme():
        figure, axes = panel_grid(count, columns=4, height=1.5)
        assert [ax for ax in figure.axes if ax.axison] == list(axes)
        assert len(axes) == count
        assert figure.get_size_inches().tolist() == [PAGE_WIDTH, 1.5 * -(-count // 4)]
