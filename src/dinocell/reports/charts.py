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

_INK = "#010203"
"""Stands for the page's text colour."""


def require_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    import_extra("matplotlib", extra="evaluate", purpose="drawing charts")


def styles() -> Iterator[tuple[str, str, str]]:
    """Give each dataset in turn a colour, a marker of matplotlib and a character like it; they come round.

    The colours are told apart by colour-blind people (Okabe and Ito, 2008), on white and on black.
    """
    return itertools.cycle(_STYLES)


def legend(keys: Iterable[tuple[str, str, str]]) -> str:
    """Make a legend as HTML of colours, the characters shown in them, and names that are HTML already."""
    spans = (f'<span style="color:{colour}">{shape}</span> {name}' for colour, shape, name in keys)
    return "<p>" + " ".join(f'<span class="key">{span}</span>' for span in spans) + "</p>"


def new_chart(width: float, height: float, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Make a chart of so many inches on a clear ground."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none", layout="constrained")
    axes = figure.add_subplot(facecolor="none")
    axes.tick_params(colors=_INK)
    axes.grid(color=_INK, alpha=0.15)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_INK)
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    return figure, axes


def to_svg(figure: "Figure", name: str, title: str) -> str:
    """Give a figure as an element to be put into a page, its ids beginning with `name`."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", facecolor="none", metadata=nothing)
    text = file.getvalue()
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text).replace(_INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
