"""The margin curve in report.pdf: the shapes of `liverplan.report.curve` as vector graphics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.graphics.shapes import Drawing, Polygon, PolyLine, String
from reportlab.lib.colors import HexColor, white
from reportlab.pdfbase.pdfmetrics import stringWidth

from liverplan.report.curve import HEIGHT, WIDTH, Area, Line, Shape, Words, curve_shapes
from liverplan.report.fonts import BOLD, SANS

LETTERS = 13.0
"""Height of letters in the box of the curve, as in the page's style sheet."""


def curve_drawing(report: Mapping[str, Any], width: float) -> Any:
    """The curve as a drawing of this width in points, with the box's proportions."""
    scale = width / WIDTH
    drawing = Drawing(width, HEIGHT * scale)
    for shape in curve_shapes(report["margin_curve"], report.get("limits"), report["case"]["margin_upper_mm"]):
        if isinstance(shape, Words) and shape.name:
            drawing.add(_ground(shape, scale))
        drawing.add(_drawn(shape, scale))
    return drawing


def _ground(words: Words, scale: float) -> Any:
    """White behind a name, which else is lost on the lines that it crosses."""
    (x, y), length = words.at, stringWidth(words.text, BOLD, LETTERS)
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[words.anchor] * length
    box = ((left - 2, y - 0.85 * LETTERS), (left + length + 2, y + 0.25 * LETTERS))
    corners = (box[0], (box[1][0], box[0][1]), box[1], (box[0][0], box[1][1]))
    return Polygon(_flat(corners, scale), fillColor=white, fillOpacity=0.8, strokeColor=None)


def _drawn(shape: Shape, scale: float) -> Any:
    colour = HexColor(shape.colour)
    if isinstance(shape, Area):
        return Polygon(_flat(shape.points, scale), fillColor=colour, fillOpacity=shape.opacity, strokeColor=None)
    if isinstance(shape, Line):
        dashes = [d * scale for d in shape.dashes] or None
        return PolyLine(
            _flat(shape.points, scale),
            strokeColor=colour,
            strokeWidth=shape.width * scale,
            strokeDashArray=dashes,
            strokeLineJoin=1,
        )
    (x, y), font = shape.at, BOLD if shape.name else SANS
    place = (x * scale, (HEIGHT - y) * scale)
    return String(
        *place, shape.text, fontName=font, fontSize=LETTERS * scale, fillColor=colour, textAnchor=shape.anchor
    )


def _flat(points: tuple[tuple[float, float], ...], scale: float) -> list[float]:
    """x1, y1, x2, y2 ... with y up, rounded as in the SVG."""
    return [round(value * scale, 2) for x, y in points for value in (x, HEIGHT - y)]
