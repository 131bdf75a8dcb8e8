"""One look: what theme, colours, markers and panels promise every figure."""

import io
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.colors import to_rgba_array
from matplotlib.markers import MarkerStyle
from scipy.spatial.distance import pdist

from expression.running import style
from many_classes import simulate_classes


def test_dollars_in_a_name_are_dollars(monkeypatch):
    """Two of them are mathematics to matplotlib; the first name is not even valid mathematics."""
    buffer = io.BytesIO()
    with style.theme():
        monkeypatch.setitem(plt.rcParams, "svg.fonttype", "none")  # text as text
        figure, ax = plt.subplots()
        ax.set(title="a $x_{$", xlabel="b $x_1$")
        figure.savefig(buffer, format="svg")
    assert b">a $x_{$</text>" in buffer.getvalue()
    assert b">b $x_1$</text>" in buffer.getvalue()


def test_a_name_that_begins_with_an_underscore_stays_in_a_legend():
    with style.theme():
        figure, ax = plt.subplots()
        ax.plot([1, 2], label=style.legend_name("_mutated, train (3)"))
        ax.legend()
        handles = style.color_handles({"_wild type": "0.5", "other": "0.2"})
        figure.legend(handles=handles, loc="outside lower center")
        figure.savefig(io.BytesIO())
        shown = [
            text.get_text()
            for legend in (ax.get_legend(), figure.legends[0])
            for text in legend.get_texts()
        ]
    assert [text.strip(style.NO_WIDTH) for text in shown] == [
        "_mutated, train (3)",
        "_wild type",
        "other",
    ]


CHARACTERS = "患者"
SQUARE = [(0, 0), (0, 700), (700, 700), (700, 0)]


def make_font(path, family: str, characters: str) -> None:
    """Write a font in which some characters are black squares."""
    pen = TTGlyphPen(None)
    pen.moveTo(SQUARE[0])
    for point in SQUARE[1:]:
        pen.lineTo(point)
    pen.closePath()
    names = [".notdef", *(f"square{number}" for number in range(len(characters)))]
    font = FontBuilder(1_000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1_000, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(path)


def test_names_are_drawn_with_an_installed_font_that_has_their_characters(tmp_path, monkeypatch):
    fonts = font_manager.fontManager
    monkeypatch.setattr(fonts, "ttflist", list(fonts.ttflist))
    with style.theme(), warnings.catch_warnings():
        without = draw_bold(CHARACTERS)
        assert style.choose_fonts(["AML β", CHARACTERS]) == set(CHARACTERS)
        assert plt.rcParams["font.family"] == [style.FONT]

        for family, characters in {"A font-1": CHARACTERS[0], "B": CHARACTERS[::-1] + "x"}.items():
            make_font(tmp_path / f"{family}.ttf", family, characters)
            fonts.addfont(tmp_path / f"{family}.ttf")
        assert style.choose_fonts(["AML", f"{CHARACTERS}\n\u200d𘬁"]) == {"𘬁"}
        assert plt.rcParams["font.family"] == [style.FONT, "B"]  # of both characters, so the first
        assert draw_bold(CHARACTERS) != without
        assert style.choose_fonts(["AML"]) == set()
        assert draw_bold(CHARACTERS) == without
        assert style.characters_of("A font-1") == {CHARACTERS[0]}  # no pattern of fontconfig
    fonts._findfont_cached.cache_clear()


def draw_bold(text: str) -> bytes:
    figure, ax = plt.subplots()
    ax.set_title(text)  # bold, as no such font is
    content = io.BytesIO()
    figure.savefig(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("fit", "name", "shown"),
    [
        (style.wrap_name, "AML", "AML"),
        (style.wrap_name, "normal, stage 1", "normal,\nstage 1"),
        (style.wrap_name, "a" * 30, "a" * 12 + "\n" + "a" * 12 + "\n" + "a" * 6),
        (style.wrap_name, "word " * 12, "word word\nword word\nword word…"),
        (style.shorten, "g" * 30, "g" * 30),
        (style.shorten, "interleukin 8 receptor (M68932_at)", "interleukin 8 rec… (M68932_at)"),
        (style.shorten, "Major complex (HG3779-HT3779_f_at)", "Major co… (HG3779-HT3779_f_at)"),
        (style.shorten, "TCGA-AB-2803-03A-01T-0734-13(rep2)", "TCGA-AB-2803-03A-…734-13(rep2)"),
        (style.shorten, f"TP53 (of {'a' * 40})", "TP53 (of aaaaaaaa…aaaaaaaaaaa)"),
        (style.shorten, f"a protein of TP53 (of {'a' * 40})", "a protein of TP53…aaaaaaaaaaa"),
    ],
)
def test_a_long_class_name_is_wrapped_and_a_gene_keeps_beginning_and_end(fit, name, shown):
    assert fit(name) == shown


def overlaps(figure: plt.Figure, labels: list) -> list[str]:
    """Return the labels that reach into the one before."""
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    pairs = zip(boxes, boxes[1:], labels[1:], strict=False)
    return [label.get_text() for a, b, label in pairs if a.overlaps(b)]


@pytest.mark.parametrize("count", [5, 30, 2_096])
@pytest.mark.parametrize("side", ["xaxis", "yaxis"])
def test_names_on_an_axis_never_overlap_and_stay_at_their_place(side, count):
    names = [f"TCGA-AB-{2800 + i}-03A-01T-0734-13" for i in range(count)]
    with style.theme():
        figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 4))
        ax.set(
            xlim=(-0.5, count - 0.5), ylim=(-0.5, count - 0.5), xlabel="patient", ylabel="patient"
        )
        style.name_ticks(getattr(ax, side), names, inches=2.2)
        labels = getattr(ax, side).get_ticklabels()
        assert overlaps(figure, labels) == []
        shown = {label.get_text(): label.get_position()[side == "yaxis"] for label in labels}
    assert list(shown) == [names[int(place)] for place in shown.values()]
    assert len(shown) == count if count <= 22 else 15 <= len(shown) <= 22
    thinned = f" (one in {int(list(shown.values())[1])} named)" if count > 22 else ""
    assert getattr(ax, side).get_label_text() == f"patient{thinned}"


def test_bars_are_named_from_the_top_with_room_for_more():
    names = [f"a gene with a very long description {i:02d}" for i in range(9)]
    with style.theme():
        figure, axes = style.panel_grid(4, columns=2, height=2.4)
        style.draw_bars(axes[0], pd.Series(range(9)), "0.5", names, rows=10)
        labels = axes[0].get_yticklabels()
        assert overlaps(figure, labels) == []
        heights = [label.get_window_extent().y0 for label in labels]
    assert heights == sorted(heights, reverse=True)
    assert [label.get_text()[-2:] for label in labels] == [name[-2:] for name in names]
    assert axes[0].get_ylim() == (9.5, -0.5)


def test_one_colour_a_class_and_a_subtype_the_first_that_of_its_class(data):
    blue, sky, vermilion = (style.COLORS[name] for name in ("blue", "sky", "vermilion"))
    assert style.class_palette(data) == {"ALL": blue, "AML": vermilion}
    assert style.subgroup_palette(data) == {"B-cell ALL": blue, "T-cell ALL": sky, "AML": vermilion}
    assert style.subgroup_palette(replace(data, subtypes=None)) == style.class_palette(data)


def of_classes(count, subtypes=None, name="class {:02}"):
    """A cohort of so many classes, five patients each, their subtypes by turns."""
    cohort = simulate_classes([5] * count, effect=0, name=name)
    y = cohort.y_all.astype(str)
    if subtypes is None:
        return cohort
    kinds = [f"{label}, kind {number % subtypes[label]}" for number, label in enumerate(y)]
    return replace(cohort, subtypes=pd.Series(kinds, y.index))


def test_a_colour_of_a_class_is_that_of_its_first_subtype_and_no_other_has_it():
    """Of three classes with three, two and one subtypes; the first two have second shades."""
    number = {"class 00": 3, "class 01": 2, "class 02": 1}
    cohort = of_classes(3, number)
    blue, vermilion, green, purple, sky, orange = (
        style.COLORS[name] for name in ("blue", "vermilion", "green", "purple", "sky", "orange")
    )
    assert list(style.class_palette(cohort).values()) == [blue, vermilion, green]
    assert style.subgroup_palette(cohort) == {
        **{f"class 00, kind {i}": color for i, color in enumerate((blue, sky, purple))},
        **{f"class 01, kind {i}": color for i, color in enumerate((vermilion, orange))},
        "class 02, kind 0": green,
    }
    assert style.subgroup_palette(of_classes(3)) == style.class_palette(cohort)


def test_twenty_classes_or_ten_subtypes_have_colours_of_their_own_and_more_repeat_them():
    assert len(set(style.class_palette(of_classes(20)).values())) == 20
    colors = list(style.class_palette(of_classes(22)).values())
    assert colors[20:] == colors[:2]
    wide = style.subgroup_palette(of_classes(2, {"class 00": 5, "class 01": 5}))
    assert len(set(wide.values())) == 10
    two_each = dict.fromkeys(of_classes(20).classes, 2)
    assert len(style.subgroup_palette(of_classes(20, two_each))) == 40


# Machado, Oliveira & Fernandes (2009), IEEE Trans. Vis. Comput. Graph. 15:1291: what is seen with
# no cones of a kind, of linear red, green and blue
SEEN = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
WHITE = [0.9505, 1, 1.089]


def nearest(colors, cones) -> float:
    """Return the smallest distance in CIELAB (1976) of two colours, as seen."""
    rgb = to_rgba_array(colors)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SEEN[cones]), 0, 1)
    x, y, z = (seen @ np.transpose(TO_XYZ) / WHITE).T
    x, y, z = (np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z))
    return pdist(np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])).min()


@pytest.mark.parametrize("cones", SEEN)
def test_the_colours_of_twenty_classes_are_told_apart_with_every_colour_blindness(cones):
    """About as well as the eight of Okabe & Ito, of which the nearest are 16 apart."""
    assert len(style.CLASS_COLORS) == 20
    assert nearest(style.CLASS_COLORS, cones) > 14


def test_twenty_markers_have_shapes_of_their_own():
    shapes = set()
    for marker in style.MARKERS:
        shape = MarkerStyle(marker)
        vertices = shape.get_transform().transform(shape.get_path().vertices)
        shapes.add(tuple(vertices.round(2).ravel()))
    assert len(shapes) == len(style.MARKERS) == 20


def test_a_legend_of_many_long_names_has_fewer_columns_and_a_higher_figure():
    sizes = {}
    for count in (2, 20):
        names = [f"acute leukaemia with rearrangement no {i:03}" for i in range(count)]
        with style.theme():
            figure, ax = plt.subplots(figsize=(style.PAGE_WIDTH, 3))
            handles = style.color_handles(dict.fromkeys(names, "0.5"))
            style.legend_below(figure, handles, names, columns=4)
            figure.draw_without_rendering()
            legend = figure.legends[-1].get_window_extent()
            assert len(figure.legends) == 1
            assert legend.x0 >= 0
            assert legend.x1 <= figure.bbox.width
            assert not legend.overlaps(ax.get_tightbbox())
            sizes[count] = figure.get_size_inches()[1], ax.get_window_extent().height / figure.dpi
    assert sizes[2][0] == 3
    assert sizes[20][0] > 4
    assert min(height for _, height in sizes.values()) > 1.8


def test_28_series_look_different_the_first_7_in_colour_and_marker_alone():
    names = [f"model {i}" for i in range(28)]
    looks = pd.DataFrame(style.series_styles([*names, "one more"])).T
    assert list(looks.index) == [*names, "one more"]
    for besides in ("marker", "linestyle"):  # a figure may show either alone
        assert not looks[:28].duplicated(["color", besides]).any()
    assert looks[:7].nunique().to_dict() == {"color": 7, "marker": 7, "linestyle": 1}


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_grid_shows_exactly_the_panels_asked_for(count):
    with style.theme():
        figure, axes = style.panel_grid(count, columns=4, height=1.5)
        assert [ax for ax in figure.axes if ax.axison] == list(axes)
        assert len(axes) == count
        assert figure.get_size_inches().tolist() == [style.PAGE_WIDTH, 1.5 * -(-count // 4)]
