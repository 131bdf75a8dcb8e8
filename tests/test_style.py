"""One look: what theme, colours, markers and panels promise every figure."""

import io
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from expression.style import (
    COLORS,
    PAGE_WIDTH,
    class_palette,
    group_palette,
    panel_grid,
    series_styles,
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
