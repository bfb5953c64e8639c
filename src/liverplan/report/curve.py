"""The margin curve: remnant against margin, with its intervals, the protocol's limits and M_up.

`curve_shapes` says what is drawn, once; `curve_svg` is how report.html draws it, `liverplan.report.pdf_curve` how
report.pdf does. Coordinates: x to the right, y down, in a box of WIDTH x HEIGHT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from markupsafe import Markup

from liverplan.report.wording import number

WIDTH, HEIGHT = 900, 400
LEFT, RIGHT, TOP, BOTTOM = 58, 172, 30, 50
"""The plot's borders; the right one holds the names of the lines."""
FUNCTIONAL, GEOMETRIC, LIMIT, BOUND = "#1f4e79", "#6b7785", "#8a4b08", "#d6146e"
NAME_MM = 7.0
"""How far the name of M_up reaches along the axis."""
NAME_PERCENTS = (52.0, 72.0, 42.0, 16.0, 92.0)
"""Heights at which it may stand, the first where all are as good."""
INK, SOFT, GRID = "#18202c", "#566273", "#e4e8ed"

Anchor: TypeAlias = Literal["start", "middle", "end"]
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Connected points. dashes: lengths of stroke and gap, empty for a solid line."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    dashes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: tuple[Point, ...]
    colour: str
    opacity: float


@dataclass(frozen=True)
class Words:
    """A line of text. name: it names something that is drawn, and stands out."""

    at: Point
    text: str
    colour: str = SOFT
    anchor: Anchor = "start"
    name: bool = False


Shape: TypeAlias = Line | Area | Words


def curve_shapes(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, Any] | None, margin_upper: Mapping[str, Any] | None
) -> list[Shape]:
    """The curve of `report.json`'s margin_curve. Rows without a value leave a hole in their line."""
    largest = max((float(row["margin_mm"]) for row in rows), default=30.0) or 30.0
    plot = _Plot(largest)
    shapes = [*_axes(plot)]
    if margin_upper is not None and margin_upper.get("value") is not None:
        shapes += _bound(plot, margin_upper, rows)
    shapes += _line(plot, rows, "geometric_flr", GEOMETRIC, (7, 5))
    shapes += _line(plot, rows, "flr", FUNCTIONAL, ())
    if limits is not None:
        shapes += _limits(plot, limits)
    shapes += _names(plot, rows)
    # Names last: a line across a word makes both unreadable.
    return sorted(shapes, key=lambda shape: isinstance(shape, Words) and shape.name)


def curve_svg(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, Any] | None, margin_upper: Mapping[str, Any] | None
) -> Markup:
    """The curve as inline SVG."""
    title = "Remnant in percent of the liver without tumour against the margin in mm"
    # Numbers and fixed words only: nothing here comes from a file's text.
    head = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return Markup(head + "".join(_svg(shape) for shape in curve_shapes(rows, limits, margin_upper)) + "</svg>")


def _svg(shape: Shape) -> str:
    if isinstance(shape, Words):
        x, y = shape.at
        look = f'class="name" style="fill:{shape.colour}" ' if shape.name else ""
        return f'<text x="{x:.1f}" y="{y:.1f}" {look}text-anchor="{shape.anchor}">{shape.text}</text>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    if isinstance(shape, Area):
        return f'<polygon points="{points}" fill="{shape.colour}" fill-opacity="{shape.opacity:.2f}"/>'
    dashes = f' stroke-dasharray="{" ".join(f"{d:g}" for d in shape.dashes)}"' if shape.dashes else ""
    style = f'fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}" stroke-linejoin="round"{dashes}'
    return f'<polyline points="{points}" {style}/>'


class _Plot:
    """Millimetres and percent to the box's coordinates."""

    def __init__(self, largest_mm: float) -> None:
        self.largest_mm = largest_mm

    def x(self, margin_mm: float) -> float:
        share = min(max(margin_mm / self.largest_mm, 0.0), 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, percent: float) -> float:
        return HEIGHT - BOTTOM - min(max(percent, 0.0), 100.0) / 100.0 * (HEIGHT - TOP - BOTTOM)


def _axes(plot: _Plot) -> Iterable[Shape]:
    for percent in range(0, 101, 10):
        y = plot.y(percent)
        yield Line(((LEFT, y), (WIDTH - RIGHT, y)), GRID if percent else INK)
        if percent % 20 == 0:
            yield Words((LEFT - 8, y + 4), f"{percent} %", anchor="end")
    for margin in range(0, int(plot.largest_mm) + 1, 5):
        x = plot.x(margin)
        yield Line(((x, plot.y(0)), (x, plot.y(0) + 5)), INK)
        yield Words((x, HEIGHT - BOTTOM + 19), f"{margin}", anchor="middle")
    yield Words(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10), "margin around every lesion (mm)", anchor="middle")
    yield Words((LEFT, TOP - 12), "remnant, % of (liver without tumour)")


def _line(
    plot: _Plot, rows: Sequence[Mapping[str, Any]], name: str, colour: str, dashes: tuple[float, ...]
) -> Iterable[Shape]:
    low, value, high = (f"{name}_{part}" for part in ("low_percent", "percent", "high_percent"))
    for run in _runs(rows, lambda row: row.get(low) is not None and row.get(high) is not None):
        yield Area(_points(plot, run, high) + _points(plot, run[::-1], low), colour, 0.15)
    for run in _runs(rows, lambda row: row.get(value) is not None):
        yield Line(_points(plot, run, value), colour, 2.4, dashes)


def _names(plot: _Plot, rows: Sequence[Mapping[str, Any]]) -> Iterable[Shape]:
    """The lines' names at their right ends, moved apart where the ends are close."""
    geometric, functional = (_end(plot, rows, name) for name in ("geometric_flr", "flr"))
    heights = [geometric[1], functional[1]]
    if abs(heights[0] - heights[1]) < 18:
        heights = [min(heights) - 9, max(heights) + 5]
    for (x, _, known), y, word, colour in zip(
        (geometric, functional), heights, ("geometric", "functional"), (GEOMETRIC, FUNCTIONAL), strict=True
    ):
        yield _name(x + 8, y + 4, word if known else f"{word}: not assessable", colour)


def _end(plot: _Plot, rows: Sequence[Mapping[str, Any]], name: str) -> tuple[float, float, bool]:
    """Where a line ends on the right, and whether there is a line at all."""
    known = [row for row in rows if row.get(f"{name}_percent") is not None]
    if not known:
        return plot.x(plot.largest_mm), plot.y(4.0), False
    return plot.x(known[-1]["margin_mm"]), plot.y(known[-1][f"{name}_percent"]), True


def _limits(plot: _Plot, limits: Mapping[str, Any]) -> Iterable[Shape]:
    percent, margin = float(limits["flr_percent"]), float(limits["wide_margin_mm"])
    x, y = plot.x(margin), plot.y(percent)
    yield Line(((LEFT, y), (WIDTH - RIGHT, y)), LIMIT, 1.6, (2, 3))
    yield _name(LEFT + 6, y - 6, f"protocol: {percent:g} %", LIMIT)
    yield Line(((x, TOP), (x, plot.y(0))), LIMIT, 1.6, (2, 3))
    yield _name(x - 5, plot.y(0) - 8, f"protocol: {margin:g} mm", LIMIT, "end")


def _bound(plot: _Plot, bound: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterable[Shape]:
    if float(bound["low"]) > plot.largest_mm:
        words = f"M_up {number(float(bound['value']), 1)} mm, beyond this axis \N{RIGHTWARDS ARROW}"
        yield _name(plot.x(plot.largest_mm) - 6, plot.y(NAME_PERCENTS[0]), words, BOUND, "end")
        return
    low, value, high = (plot.x(float(bound[key])) for key in ("low", "value", "high"))
    right, floor = low + max(high - low, 0.5), HEIGHT - BOTTOM
    yield Area(((low, TOP), (right, TOP), (right, floor), (low, floor)), BOUND, 0.10)
    yield Line(((value, TOP), (value, plot.y(0))), BOUND, 1.8)
    words = f"M_up {number(float(bound['value']), 1)} mm"
    at_the_right = value > plot.x(0.75 * plot.largest_mm)
    x = min(low, value) - 6 if at_the_right else max(high, value) + 6
    nearby = [row for row in rows if abs(float(row["margin_mm"]) - float(bound["value"])) <= NAME_MM]
    yield _name(x, plot.y(_free_percent(nearby)), words, BOUND, "end" if at_the_right else "start")


def _free_percent(rows: Iterable[Mapping[str, Any]]) -> float:
    """The height for a name that lies farthest from both lines."""
    taken = [row[key] for row in rows for key in ("flr_percent", "geometric_flr_percent") if row.get(key) is not None]
    return max(NAME_PERCENTS, key=lambda percent: min((abs(percent - other) for other in taken), default=0.0))


def _points(plot: _Plot, rows: Iterable[Mapping[str, Any]], key: str) -> tuple[Point, ...]:
    return tuple((plot.x(float(row["margin_mm"])), plot.y(float(row[key]))) for row in rows)


def _name(x: float, y: float, words: str, colour: str, anchor: Anchor = "start") -> Words:
    return Words((x, y), words, colour, anchor, name=True)


def _runs(
    rows: Sequence[Mapping[str, Any]], known: Callable[[Mapping[str, Any]], bool]
) -> Iterable[list[Mapping[str, Any]]]:
    """Stretches of neighbouring rows that have a value."""
    run: list[Mapping[str, Any]] = []
    for row in rows:
        if known(row):
            run.append(row)
        elif run:
            yield run
            run = []
    if run:
        yield run
