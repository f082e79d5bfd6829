"""A drawing of rectangles, lines and words, written as SVG by hand or as PNG by matplotlib."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from giltrace.errors import GiltraceError
from giltrace.model.text import printable

INK: Final = "#1f2328"
FAINT: Final = "#59636e"
RULE: Final = "#d1d9e0"
PAPER: Final = "#ffffff"

_FONT: Final = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_TEXT_LIMIT: Final = 200
_PNG_SCALE: Final = 2

Point = tuple[float, float]


@dataclass(frozen=True)
class Rect:
    """A filled rectangle; ``x`` and ``y`` are its upper left corner. Lengths are in pixels."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    stroke: str
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Text:
    """One line of words; ``y`` is its baseline, ``anchor`` is ``start``, ``middle`` or ``end``."""

    x: float
    y: float
    text: str
    size: float = 12.0
    anchor: str = "start"
    fill: str = INK
    bold: bool = False


Shape = Rect | Line | Text


@dataclass
class Drawing:
    """Shapes on paper; what comes later lies on top.

    Attributes:
        width: In pixels, as all lengths here.
        height: The same.
        title: What it shows, for those who cannot see it.
        shapes: What is on it.
    """

    width: float
    height: float
    title: str
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top."""
        self.shapes += shapes


def svg(drawing: Drawing) -> bytes:
    """Return the drawing as an SVG document."""
    width, height = _number(drawing.width), _number(drawing.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" font-family="{_FONT}">',
        f"<title>{_escape(drawing.title)}</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        *map(_element, drawing.shapes),
        "</svg>",
    ]
    return "\n".join(lines).encode("utf-8") + b"\n"


def _element(shape: Shape) -> str:
    if isinstance(shape, Rect):
        opacity = "" if shape.opacity == 1 else f' opacity="{_number(shape.opacity)}"'
        return (
            f'<rect x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}" '
            f'height="{_number(shape.height)}" fill="{shape.fill}"{opacity}/>'
        )
    if isinstance(shape, Line):
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
        dashes = ' stroke-dasharray="5 4"' if shape.dashed else ""
        return (
            f'<polyline points="{points}" fill="none" stroke="{shape.stroke}" '
            f'stroke-width="{_number(shape.width)}" stroke-linejoin="round"{dashes}/>'
        )
    weight = ' font-weight="600"' if shape.bold else ""
    return (
        f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}" '
        f'text-anchor="{shape.anchor}" fill="{shape.fill}"{weight}>{_escape(shape.text)}</text>'
    )


def _escape(text: str) -> str:
    return html.escape(printable(text, _TEXT_LIMIT))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def check_png() -> None:
    """Raise GiltraceError unless a PNG can be made."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError:
        raise GiltraceError(
            "a PNG needs matplotlib, which is not installed",
            "Name a file that ends in .svg, or: python -m pip install 'giltrace[plot]'",
        ) from None


def write_png(drawing: Drawing, file: BinaryIO) -> None:
    """Write the drawing as a PNG, twice as many pixels each way.

    Raises:
        GiltraceError: matplotlib is not installed.
    """
    check_png()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    points = 72.0  # a pixel is a point
    figure = Figure((drawing.width / points, drawing.height / points), facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.set_axis_off()
    for z, shape in enumerate(drawing.shapes):
        if isinstance(shape, Rect):
            axes.add_patch(
                Rectangle(
                    (shape.x, shape.y),
                    shape.width,
                    shape.height,
                    facecolor=shape.fill,
                    alpha=shape.opacity,
                    linewidth=0,
                    zorder=z,
                )
            )
        elif isinstance(shape, Line):
            style = "--" if shape.dashed else "-"
            xs, ys = zip(*shape.points, strict=True)
            axes.add_line(
                Line2D(xs, ys, color=shape.stroke, linewidth=shape.width, ls=style, zorder=z)
            )
        else:
            axes.text(
                shape.x,
                shape.y,
                printable(shape.text, _TEXT_LIMIT).replace("$", r"\$"),
                fontsize=shape.size,
                color=shape.fill,
                ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
                va="baseline",
                fontweight="bold" if shape.bold else "normal",
                zorder=z,
            )
    figure.savefig(file, format="png", dpi=points * _PNG_SCALE)
