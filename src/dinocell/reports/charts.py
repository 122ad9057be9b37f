"""Charts as SVG in the page's own colours."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dinocell.extras import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = (
    ("#0072B2", "o", "●"), ("#D55E00", "s", "■"), ("#009E73", "D", "◆"),
    ("#CC79A7", "^", "▲"), ("#E69F00", "v", "▼"), ("#56B4E9", "P", "✚"),
)  # fmt: skip

TICK_SIZE, LABEL_SIZE = 10, 11
"""Sizes of letters at and along the axes in points; on a page a point is 4/3 pixels."""

_INK = "#010203"
"""Placeholder of the page's text colour."""


def require_matplotlib() -> None:
    """Raise an error if matplotlib is not installed.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    import_extra("matplotlib", extra="evaluate", purpose="drawing charts")


def styles() -> Iterator[tuple[str, str, str]]:
    """Return an endless cycle of styles: a colour, a marker of matplotlib and a character like it.

    The colours are told apart by colour-blind people (Okabe and Ito, 2008), on white and on black.
    """
    return itertools.cycle(_STYLES)


def legend(keys: Iterable[tuple[str, str, str]]) -> str:
    """Return a legend as HTML for colours, the characters shown in them, and names that are HTML already."""
    spans = (f'<span style="color:{colour}">{shape}</span> {name}' for colour, shape, name in keys)
    return "<p>" + " ".join(f'<span class="key">{span}</span>' for span in spans) + "</p>"


def new_chart(width: float, height: float, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Create a chart on a transparent ground, its size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none", layout="constrained")
    axes = figure.add_subplot(facecolor="none")
    axes.tick_params(colors=_INK, labelsize=TICK_SIZE)
    axes.grid(color=_INK, alpha=0.15)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_INK)
    axes.set_xlabel(x_label, color=_INK, fontsize=LABEL_SIZE)
    axes.set_ylabel(y_label, color=_INK, fontsize=LABEL_SIZE)
    return figure, axes


def to_svg(figure: "Figure", name: str, title: str) -> str:
    """Convert a figure to an SVG element for a page; its ids begin with `name`."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", facecolor="none", metadata=nothing)
    text = file.getvalue()
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text).replace(_INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
