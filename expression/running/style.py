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
# The shades of a class: its own, then one a subtype beyond the first
CLASS_SHADES = (("blue", "sky"), ("vermilion", "orange"))
SPARE_SHADES = ("green", "purple", "black", "yellow")
COHORT_SHADES = ("black", "0.7", COLORS["green"], "#99D8C9")  # of a cohort, its nulls, the next
SET_COLORS = {"train": "0.3", "test": "0.8"}
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
    end = accession if 0 < len(accession) <= width - 4 else name[-12:]
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
    """Return the colour of each class, the same in every figure."""
    shades = zip(data.classes, CLASS_SHADES, strict=True)
    return {label: COLORS[first] for label, (first, _) in shades}


def subgroup_palette(data: ExpressionData) -> dict[str, str]:
    """Return the colour of each subgroup of patients: shades of the colour of its class for the
    first two of a class; of more than four others in all, colours repeat."""
    subgroups = data.subgroups
    spare = itertools.cycle(SPARE_SHADES)
    palette = {}
    for label, shades in zip(data.classes, CLASS_SHADES, strict=True):
        members = sorted(set(subgroups[data.y_all == label]) - set(palette))
        colors = (COLORS[shade] for shade in itertools.chain(shades, spare))
        palette |= dict(zip(members, colors, strict=False))
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
