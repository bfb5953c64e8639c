"""The margin curve as inline SVG: remnant against margin, with its intervals, the protocol's limits and M_up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from liverplan.report.wording import number

WIDTH, HEIGHT = 900, 400
LEFT, RIGHT, TOP, BOTTOM = 58, 172, 30, 50
"""The plot's borders; the right one holds the names of the lines."""
FUNCTIONAL, GEOMETRIC, LIMIT, BOUND = "#1f4e79", "#6b7785", "#8a4b08", "#d6146e"


def curve_svg(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, Any] | None, margin_upper: Mapping[str, Any] | None
) -> Markup:
    """The curve of `report.json`'s margin_curve. Rows without a value leave a hole in their line."""
    largest = max((float(row["margin_mm"]) for row in rows), default=30.0) or 30.0
    plot = _Plot(largest)
    pieces = [*_axes(plot)]
    if margin_upper is not None and margin_upper.get("value") is not None:
        pieces += _bound(plot, margin_upper)
    pieces += _line(plot, rows, "geometric_flr", GEOMETRIC, "7 5")
    pieces += _line(plot, rows, "flr", FUNCTIONAL, "")
    if limits is not None:
        pieces += _limits(plot, limits)
    pieces += _names(plot, rows)
    title = "Remnant in percent of the liver without tumour against the margin in mm"
    # Numbers and fixed words only: nothing here comes from a file's text.
    head = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return Markup(head + "".join(pieces) + "</svg>")


class _Plot:
    """Millimetres and percent to SVG coordinates."""

    def __init__(self, largest_mm: float) -> None:
        self.largest_mm = largest_mm

    def x(self, margin_mm: float) -> float:
        share = min(max(margin_mm / self.largest_mm, 0.0), 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, percent: float) -> float:
        return HEIGHT - BOTTOM - min(max(percent, 0.0), 100.0) / 100.0 * (HEIGHT - TOP - BOTTOM)


def _axes(plot: _Plot) -> Iterable[str]:
    for percent in range(0, 101, 10):
        y = plot.y(percent)
        yield _straight(LEFT, y, WIDTH - RIGHT, y, f'class="{"grid" if percent else "axis"}"')
        if percent % 20 == 0:
            yield _words(LEFT - 8, y + 4, f"{percent} %", 'text-anchor="end"')
    for margin in range(0, int(plot.largest_mm) + 1, 5):
        x = plot.x(margin)
        yield _straight(x, plot.y(0), x, plot.y(0) + 5, 'class="axis"')
        yield _words(x, HEIGHT - BOTTOM + 19, f"{margin}", 'text-anchor="middle"')
    yield _words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "margin around every lesion (mm)", 'text-anchor="middle"')
    yield _words(LEFT, TOP - 12, "remnant, % of (liver without tumour)", "")


def _line(plot: _Plot, rows: Sequence[Mapping[str, Any]], name: str, colour: str, dashes: str) -> Iterable[str]:
    low, value, high = (f"{name}_{part}" for part in ("low_percent", "percent", "high_percent"))
    for run in _runs(rows, lambda row: row.get(low) is not None and row.get(high) is not None):
        around = _points(plot, run, high) + _points(plot, run[::-1], low)
        yield f'<polygon points="{" ".join(around)}" fill="{colour}" fill-opacity="0.15"/>'
    for run in _runs(rows, lambda row: row.get(value) is not None):
        style = f'fill="none" stroke="{colour}" stroke-width="2.4" stroke-linejoin="round" stroke-dasharray="{dashes}"'
        yield f'<polyline points="{" ".join(_points(plot, run, value))}" {style}/>'


def _names(plot: _Plot, rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
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


def _limits(plot: _Plot, limits: Mapping[str, Any]) -> Iterable[str]:
    percent, margin = float(limits["flr_percent"]), float(limits["wide_margin_mm"])
    x, y = plot.x(margin), plot.y(percent)
    style = f'stroke="{LIMIT}" stroke-width="1.6" stroke-dasharray="2 3"'
    yield _straight(LEFT, y, WIDTH - RIGHT, y, style)
    yield _name(LEFT + 6, y - 6, f"protocol: {percent:g} %", LIMIT)
    yield _straight(x, TOP, x, plot.y(0), style)
    yield _name(x - 5, plot.y(0) - 8, f"protocol: {margin:g} mm", LIMIT, "end")


def _bound(plot: _Plot, bound: Mapping[str, Any]) -> Iterable[str]:
    low, value, high = (plot.x(float(bound[key])) for key in ("low", "value", "high"))
    box = f'x="{low:.1f}" y="{TOP}" width="{max(high - low, 0.5):.1f}" height="{HEIGHT - BOTTOM - TOP}"'
    yield f'<rect {box} fill="{BOUND}" fill-opacity="0.10"/>'
    yield _straight(value, TOP, value, plot.y(0), f'stroke="{BOUND}" stroke-width="1.8"')
    beyond = "\N{GREATER-THAN OR EQUAL TO} " if float(bound["value"]) >= plot.largest_mm else ""
    words = f"M_up {beyond}{number(float(bound['value']), 1)} mm"
    at_the_right = value > plot.x(0.75 * plot.largest_mm)
    x = min(low, value) - 6 if at_the_right else max(high, value) + 6
    yield _name(x, plot.y(52), words, BOUND, "end" if at_the_right else "start")


def _points(plot: _Plot, rows: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    return [f"{plot.x(float(row['margin_mm'])):.1f},{plot.y(float(row[key])):.1f}" for row in rows]


def _straight(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def _words(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'


def _name(x: float, y: float, words: str, colour: str, anchor: str = "start") -> str:
    return _words(x, y, words, f'class="name" style="fill:{colour}" text-anchor="{anchor}"')


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
