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
    head = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
    return Markup(head + "".join(pieces) + "</svg>")  # noqa: S704  numbers and fixed words only


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
        strong = "axis" if percent == 0 else "grid"
        yield f'<line class="{strong}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{plot.y(percent):.1f}" y2="{plot.y(percent):.1f}"/>'
        if percent % 20 == 0:
            yield f'<text x="{LEFT - 8}" y="{plot.y(percent) + 4:.1f}" text-anchor="end">{percent} %</text>'
    for margin in range(0, int(plot.largest_mm) + 1, 5):
        yield f'<text x="{plot.x(margin):.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{margin}</text>'
        yield f'<line class="axis" x1="{plot.x(margin):.1f}" x2="{plot.x(margin):.1f}" y1="{plot.y(0):.1f}" y2="{plot.y(0) + 5:.1f}"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">margin around every lesion (mm)</text>'
    yield f'<text x="{LEFT}" y="{TOP - 12}">remnant, % of (liver without tumour)</text>'


def _line(plot: _Plot, rows: Sequence[Mapping[str, Any]], name: str, colour: str, dashes: str) -> Iterable[str]:
    keys = f"{name}_low_percent", f"{name}_high_percent"
    for run in _runs(rows, lambda row: all(row.get(key) is not None for key in keys)):
        up = [f"{plot.x(row['margin_mm']):.1f},{plot.y(row[keys[1]]):.1f}" for row in run]
        down = [f"{plot.x(row['margin_mm']):.1f},{plot.y(row[keys[0]]):.1f}" for row in reversed(run)]
        yield f'<polygon points="{" ".join(up + down)}" fill="{colour}" fill-opacity="0.15"/>'
    value = f"{name}_percent"
    for run in _runs(rows, lambda row: row.get(value) is not None):
        points = " ".join(f"{plot.x(row['margin_mm']):.1f},{plot.y(row[value]):.1f}" for row in run)
        yield (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.4" '
            f'stroke-dasharray="{dashes or "none"}" stroke-linejoin="round"/>'
        )


def _names(plot: _Plot, rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The lines' names at their right ends, moved apart where the ends are close."""
    ends = []
    for name, words, colour in (("geometric_flr", "geometric", GEOMETRIC), ("flr", "functional", FUNCTIONAL)):
        known = [row for row in rows if row.get(f"{name}_percent") is not None]
        if known:
            ends.append([plot.x(known[-1]["margin_mm"]), plot.y(known[-1][f"{name}_percent"]), words, colour])
        else:
            ends.append([plot.x(plot.largest_mm), plot.y(4.0), f"{words}: not assessable", colour])
    if abs(ends[0][1] - ends[1][1]) < 18:
        ends[0][1], ends[1][1] = min(ends[0][1], ends[1][1]) - 9, max(ends[0][1], ends[1][1]) + 5
    for x, y, words, colour in ends:
        yield f'<text class="name" x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{words}</text>'


def _limits(plot: _Plot, limits: Mapping[str, Any]) -> Iterable[str]:
    percent, margin = float(limits["flr_percent"]), float(limits["wide_margin_mm"])
    y, x = plot.y(percent), plot.x(margin)
    style = f'stroke="{LIMIT}" stroke-width="1.6" stroke-dasharray="2 3"'
    yield f'<line {style} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<text class="name" x="{LEFT + 6}" y="{y - 6:.1f}" fill="{LIMIT}">protocol: {percent:g} %</text>'
    yield f'<line {style} x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{plot.y(0):.1f}"/>'
    yield f'<text class="name" x="{x + 5:.1f}" y="{plot.y(0) - 8:.1f}" fill="{LIMIT}">protocol: {margin:g} mm</text>'


def _bound(plot: _Plot, bound: Mapping[str, Any]) -> Iterable[str]:
    low, value, high = plot.x(bound["low"]), plot.x(bound["value"]), plot.x(bound["high"])
    tall = HEIGHT - BOTTOM - TOP
    yield f'<rect x="{low:.1f}" y="{TOP}" width="{max(high - low, 0.5):.1f}" height="{tall}" fill="{BOUND}" fill-opacity="0.10"/>'
    yield f'<line x1="{value:.1f}" x2="{value:.1f}" y1="{TOP}" y2="{plot.y(0):.1f}" stroke="{BOUND}" stroke-width="1.8"/>'
    beyond = "\N{GREATER-THAN OR EQUAL TO} " if float(bound["value"]) >= plot.largest_mm else ""
    words = f"M_up {beyond}{number(float(bound['value']), 1)} mm"
    anchor, shift = ("end", -6) if value > plot.x(0.75 * plot.largest_mm) else ("start", 6)
    yield f'<text class="name" x="{value + shift:.1f}" y="{plot.y(52):.1f}" text-anchor="{anchor}" fill="{BOUND}">{words}</text>'


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
