"""One look: what theme, colours, markers and panels promise every figure."""

import io
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from expression.running import style


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
