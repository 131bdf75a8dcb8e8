"""The look of all figures: one theme, one colour a class, one place for both.

Figures take no setting from elsewhere, and leave none behind: a notebook that runs a script keeps
its plots, its backend and their look.
"""

import itertools
import math
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.patches import Patch

from expression.data import ExpressionData
from expression.running.pyplot import only_errors

PAGE_WIDTH = 7.2  # inches, two columns of a journal page
TICK_INCHES = 0.1  # that a name in the smallest type takes across its line
LEGEND_INCHES = 0.7  # that a figure has for a legend below its panels
MAX_NAME = 30  # characters on one line
FONT = "DejaVu Sans"  # comes with matplotlib: the same figures on every machine
BOXES = "Last Resort"  # fonts that draw a box for every character
NO_WIDTH = "\u200b"  # a character that shows nothing
NO_GLYPH = "Glyph .* missing from|Matplotlib currently does not support"

# Okabe & Ito's colours, told apart with every kind of colour blindness
COLORS = {
    "blue": "#0072B2",
    "sky": "#56B4E9",
    "vermilion": "#D55E00",
    "orange": "#E69F00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "black": "#000000",
    "yellow": "#F0E442",
}
# Chosen by computer, as far from these and each other as the nearest of these are: 10.9 units of
# CIEDE2000 in the worst case, with every kind of colour blindness
MORE_COLORS = (
    *("#1E5A4B", "#69000F", "#002D78", "#00F0FF", "#8778FF", "#4B1E3C"),
    *("#A53C78", "#96C378", "#FFC3C3", "#4B00F0", "#C30F0F", "#87694B"),
)
# Of classes in their order; what they leave is for further subtypes
CLASS_COLORS = (
    *(COLORS[name] for name in ("blue", "vermilion", "green", "purple")),
    *(COLORS[name] for name in ("black", "yellow", "sky", "orange")),
    *MORE_COLORS,
)
# Of the second subtype of a class, where no class has them
SECOND_SHADES = {COLORS["blue"]: COLORS["sky"], COLORS["vermilion"]: COLORS["orange"]}
COHORT_SHADES = ("black", "0.7", COLORS["green"], "#99D8C9")  # of a cohort, its nulls, the next
SET_COLORS = {"train": "0.3", "test": "0.8"}
# Of classes, clusters and batches; the last five are stars: how many points, and turned how far
MARKERS = (*"os^DvP*X<>phdH8", (3, 1, 0), (4, 1, 0), (6, 1, 0), (3, 1, 60), (4, 1, 45))
# Of models and other series, which must not look like a class
SERIES_COLORS = ("green", "purple", "orange", "black", "sky", "blue", "vermilion")
SERIES_MARKERS = "os^DvP*"
SERIES_DASHES = ("-", "--", ":", "-.")
LOOK = {
    "font.family": [FONT],
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 8,  # with the sizes below: the one font scale; drawing code names steps of it
    "axes.labelsize": "medium",
    "legend.fontsize": "medium",
    "legend.title_fontsize": "medium",
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
    "axes.titleweight": "bold",
    "axes.titlesize": "medium",
    "figure.titleweight": "bold",
    "figure.titlesize": "large",
    "legend.frameon": False,
    "svg.hashsalt": "expression",  # else every SVG gets ids of its own
    "text.parse_math": False,  # a "$" in a name is a dollar
}


@contextmanager
def theme() -> Iterator[None]:
    """Give all figures drawn inside one look, without what a screen or a notebook adds to them."""
    import seaborn as sns  # here, as it takes a third of a second that --help need not wait for

    with plt.style.context("default"), agg_figures(), only_errors(), warnings.catch_warnings():
        sns.set_theme(context="paper", style="ticks", palette=list(COLORS.values()), rc=LOOK)
        warnings.filterwarnings("ignore", NO_GLYPH)  # said once for all figures: `choose_fonts`
        yield


@contextmanager
def agg_figures() -> Iterator[None]:
    """Let pyplot draw without a screen, in figures that it does not keep.

    Its backend is that of whoever else draws in this process; a change to Agg and back would close
    windows, or settle a backend that nobody has asked for yet.
    """
    make_figure = plt.figure
    plt.figure = new_figure
    try:
        yield
    finally:
        plt.figure = make_figure


def new_figure(**options) -> Figure:
    figure = Figure(**options)
    FigureCanvasAgg(figure)
    return figure


# --- names ---------------------------------------------------------------------------------------


def choose_fonts(names: Iterable[str]) -> set[str]:
    """Let figures have the characters of names where an installed font has them; return the others.

    To be called inside `theme`.
    """
    needed = {character for name in names for character in name if is_drawn(character)}
    missing = needed - characters_of(FONT)
    families = [FONT]
    if missing:
        installed = {font.name for font in fontManager.ttflist if not font.name.startswith(BOXES)}
        found = {family: missing & characters_of(family) for family in sorted(installed)}
        for family, characters in sorted(found.items(), key=lambda item: -len(item[1])):
            if characters & missing:
                families.append(family)
                missing -= characters
    plt.rcParams["font.family"] = families
    return missing


def is_drawn(character: str) -> bool:
    """Return whether a character needs a shape: neither blank nor a control character."""
    return unicodedata.category(character)[0] not in "CZ"


def characters_of(family: str) -> set[str]:
    """Return the characters that an installed font has; none where it cannot be read."""
    with suppress(OSError, RuntimeError, ValueError):
        return set(map(chr, get_font(findfont(FontProperties(family=[family]))).get_charmap()))
    return set()


def legend_name(name: str) -> str:
    """Return a name that a legend shows, though matplotlib leaves out what begins with "_"."""
    return f"{NO_WIDTH}{name}" if name.startswith("_") else name


def shorten(name: str, width: int = MAX_NAME) -> str:
    """Return a name in at most `width` characters, its beginning and its end, which tell barcodes
    apart; of "gene (accession)" the accession whole, where it leaves room for three letters."""
    if len(name) <= width:
        return name
    accession = name[name.rfind(" (") :] if " (" in name and name.endswith(")") else ""
    end = accession if 0 < len(accession) <= width - 4 else name[-min(12, width // 2) :]
    shortened = f"{name[: width - 1 - len(end)]}…{end}"
    unopened = end.endswith(")") and "(" not in shortened
    return shortened[:-1] if unopened else shortened


def wrap_name(name: str, width: int = 12) -> str:
    """Return a class name in at most three short lines, for where a figure has little room."""
    return textwrap.fill(name, width, max_lines=3, placeholder="…")


def name_ticks(
    axis: Axis, names: Iterable[str], inches: float, rows: int | None = None, first: float = 0
) -> None:
    """Name the positions first, first + 1, ... of an axis of so many inches, a small line each.

    Long names are shortened. Where there is no room for all, every second, third, ... is shown, and
    the axis says so after its label, which must be there already.
    """
    names = [shorten(str(name)) for name in names]
    step = math.ceil((rows or len(names)) * TICK_INCHES / inches)
    shown = np.arange(0, len(names), max(1, step))
    axis.set_ticks(
        first + shown,
        [names[i] for i in shown],
        fontsize="x-small",
        rotation=90 if axis.axis_name == "x" else 0,
    )
    axis.set_tick_params(length=0)
    if step > 1:
        axis.set_label_text(f"{axis.get_label_text()} (one in {step} named)")


def series_styles(names: Iterable[str]) -> dict[str, dict]:
    """Return colour, marker and line style of each series: no two of the first 28 have the same
    colour and marker, or the same colour and line style."""
    styles = {}
    for i, name in enumerate(names):
        turn, place = divmod(i, len(SERIES_COLORS))  # how often all colours were used before
        styles[name] = {
            "color": COLORS[SERIES_COLORS[place]],
            "marker": SERIES_MARKERS[(place + turn) % len(SERIES_MARKERS)],
            "linestyle": SERIES_DASHES[turn % len(SERIES_DASHES)],
        }
    return styles


def class_palette(data: ExpressionData) -> dict[str, str]:
    """Return the colour of each class, the same in every figure; of more than 20, colours
    repeat."""
    return dict(zip(data.classes, itertools.cycle(CLASS_COLORS), strict=False))


def subgroup_palette(data: ExpressionData) -> dict[str, str]:
    """Return the colour of each subgroup of patients: the first of a class has that of its class,
    the second another shade of it, where there is one; further ones have what no class has."""
    of_classes = class_palette(data)
    taken = set(of_classes.values())
    seconds = {color: shade for color, shade in SECOND_SHADES.items() if shade not in taken}
    taken.update(seconds.values())
    spare = itertools.cycle([color for color in CLASS_COLORS if color not in taken] or CLASS_COLORS)

    subgroups = data.subgroups
    palette = {}
    for label, color in of_classes.items():
        members = sorted(set(subgroups[data.y_all == label]) - set(palette))
        shades = [color, seconds[color]] if color in seconds else [color]
        palette |= dict(zip(members, itertools.chain(shades, spare), strict=False))
    return palette


def panel_grid(count: int, columns: int, height: float) -> tuple[plt.Figure, np.ndarray]:
    """Return a figure of page width with `count` panels, `height` inches a row, and its axes."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(PAGE_WIDTH, height * rows))
    for ax in axes.flat[count:]:
        ax.axis("off")
    return figure, axes.flat[:count]


def color_handles(palette: dict[str, str]) -> list[Patch]:
    """Return what a legend shows for each name of a palette."""
    return [Patch(color=color, label=legend_name(name)) for name, color in palette.items()]


def legend_below(
    figure: plt.Figure,
    handles: Sequence,
    labels: Sequence[str],
    columns: int,
    title: str | None = None,
    inches: float = LEGEND_INCHES,
) -> None:
    """Add a legend below all panels, in at most so many columns as the page is wide enough for.

    The figure has so many inches for it; what it takes beyond makes the figure higher.
    """
    for count in range(columns, 0, -1):
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=count, title=title
        )
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width:
            break
        if count > 1:
            legend.remove()
    width, height = figure.get_size_inches()
    beyond = max(0, box.height / figure.dpi - inches)
    figure.set_size_inches(width, height + beyond)


def draw_swarm(ax: plt.Axes, dots: pd.DataFrame, **options) -> None:
    """Draw a dot a row, beside each other; the panels there are not drawn with it, as seaborn would
    draw the whole figure for every one of them."""
    import seaborn as sns

    others = [panel for panel in ax.figure.axes if panel is not ax]
    plt.setp(others, visible=False)
    sns.swarmplot(dots, size=2, warn_thresh=1, legend=False, ax=ax, **options)
    plt.setp(others, visible=True)


def draw_bars(ax: plt.Axes, sizes: pd.Series, colors, names: Sequence[str], rows: int, **options):
    """Draw a bar a gene, the first on top, with room for `rows` of them."""
    ax.barh(range(len(sizes)), sizes, color=colors, **options)
    ax.axvline(0, color="0.3", linewidth=0.6)
    ax.set_ylim(rows - 0.5, -0.5)
    inches = ax.get_window_extent().height / ax.figure.dpi
    name_ticks(ax.yaxis, names, inches, rows)
