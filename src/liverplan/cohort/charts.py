"""Small charts as inline SVG, for the page of a cohort."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup, escape

from liverplan.report.wording import number

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 36, 12, 12, 34
MOST_BINS = 24
_STEPS = (1.0, 2.0, 5.0)


def histogram(
    values: Sequence[float | None], title: str, unit: str, limit: float | None = None, whole: bool = False
) -> Markup:
    """A figure of how often values fall into bins of a round width; None is counted beside it as not assessable.

    limit: marked by a line, and always an edge of a bin where the width allows. whole: bins of whole numbers.
    """
    known = [float(value) for value in values if value is not None]
    missing = len(values) - len(known)
    caption = f"n = {len(known)}" + (f"; {missing} not assessable" if missing else "")
    if known:
        caption += f"; median {number(_median(known), 0 if whole else 1)} {unit}".rstrip()
    head = f"<figure><figcaption><b>{escape(title)}</b> {escape(caption)}</figcaption>"
    drawn = _bars(known, unit, limit, whole) if known else '<p class="soft">Nothing to show.</p>'
    return Markup(f"{head}{drawn}</figure>")


def shares(counts: Mapping[str, int], names: Mapping[str, str]) -> Markup:
    """One bar, divided by the counts, with a class per key; a title says each part in words."""
    total = sum(counts.values())
    if total == 0:
        return Markup('<span class="soft">none</span>')
    parts = [
        f'<i class="tone-{escape(key)}" style="width:{100.0 * count / total:.2f}%" '
        f'title="{escape(names.get(key, key))}: {count}">{count}</i>'
        for key, count in counts.items()
        if count
    ]
    return Markup(f'<span class="shares">{"".join(parts)}</span>')


def bins(values: Sequence[float], whole: bool = False) -> tuple[float, list[int], float]:
    """First edge, counts, and width: 1, 2 or 5 times a power of ten, with at most `MOST_BINS` bins."""
    low, high = min(values), max(values)
    width = 1.0 if whole else 10.0 ** math.floor(math.log10(max(high - low, 1e-3) / MOST_BINS))
    if whole and high - low < MOST_BINS:
        steps: Iterable[float] = (1.0,)
    else:
        steps = (step * 10.0**power for power in range(4) for step in _STEPS)
    width *= next((s for s in steps if math.floor(high / (width * s)) - math.floor(low / (width * s)) < MOST_BINS), 1.0)
    first = math.floor(low / width)
    counts = [0] * (math.floor(high / width) - first + 1)
    for value in values:
        counts[math.floor(value / width) - first] += 1
    return first * width, counts, width


def _bars(values: Sequence[float], unit: str, limit: float | None, whole: bool) -> str:
    first, counts, width = bins(values, whole)
    last = first + width * len(counts)
    if limit is not None:  # the line is always inside
        first, last = min(first, limit - width), max(last, limit + width)
    per_unit = (WIDTH - LEFT - RIGHT) / (last - first)
    start = min(math.floor(value / width) for value in values) * width
    tall = max(counts)

    def x(value: float) -> float:
        return LEFT + (value - first) * per_unit

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - count / tall * (HEIGHT - TOP - BOTTOM)

    pieces = [_line(LEFT, y(0), WIDTH - RIGHT, y(0), "axis"), _words(LEFT - 5, y(tall) + 4, str(tall), "end")]
    for index, count in enumerate(counts):
        left, right = x(start + index * width), x(start + (index + 1) * width)
        if count:
            span = f"{start + index * width:g}" + ("" if whole else f" to {start + (index + 1) * width:g}")
            pieces.append(
                f'<rect x="{left + 0.5:.1f}" y="{y(count):.1f}" width="{max(right - left - 1, 0.5):.1f}" '
                f'height="{y(0) - y(count):.1f}"><title>{escape(span)} {escape(unit)}: {count}</title></rect>'
            )
    if limit is not None:
        pieces += [_line(x(limit), TOP, x(limit), y(0), "limit"), _beside(x(limit), TOP - 2, f"{limit:g} {unit}")]
    shift = width / 2 if whole else 0.0
    end = start + width * (len(counts) - (1 if whole else 0))
    pieces += [_words(x(value + shift), HEIGHT - 14, f"{value:g} {unit}") for value in sorted({start, end})]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(pieces)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _beside(x: float, y: float, text: str) -> str:
    """Words at the right of a line, where they cannot meet those of the axis; at its left near the right end."""
    return _words(x + 4, y, text, "start") if x < WIDTH - 60 else _words(x - 4, y, text, "end")


def _words(x: float, y: float, text: str, anchor: str = "middle") -> str:
    kept = min(max(x, LEFT + 8), WIDTH - RIGHT - 14) if anchor == "middle" else x
    return f'<text x="{kept:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
