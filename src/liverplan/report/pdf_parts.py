"""The building blocks of report.pdf: styles, cells, tables, badges. Text goes in through `fonts.markup` only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Paragraph, Spacer, Table, TableStyle

from liverplan.report import wording
from liverplan.report.fonts import BOLD, SANS, markup, register_fonts

Flowable: TypeAlias = Any
"""Anything that ReportLab can place; the library has no types."""

INK, SOFT, LINE, WASH, PAPER = (HexColor(c) for c in ("#18202c", "#566273", "#d9dee5", "#f5f7f9", "#ffffff"))
SOFT_HEX = "#566273"
TONES = {
    **dict.fromkeys(("feasible", "met", "ok", "meets_recorded_criteria"), ("#1f4e79", "#e8f0f7")),
    **dict.fromkeys(("undetermined", "warning"), ("#6f4e00", "#faf1d9")),
    **dict.fromkeys(("infeasible", "not_met", "fail", "does_not_meet"), ("#8f2323", "#f9e8e6")),
}
"""Letters and ground of a verdict, as in report.html. The word always stands beside the colour."""


@dataclass(frozen=True)
class Density:
    """How much goes on the pages. size: letters in points; text: most letters of a cell; the rest: most rows or
    pictures. What does not fit is counted, and the reader is sent to report.html."""

    size: float
    text: int
    lesions: int
    resections: int
    pictures: int
    criteria: int
    items: int = 60
    checks: int = 30
    split_rows: bool = False
    """Rows may go on on the next page: only where everything else did not help, as it is hard to read."""


@dataclass(frozen=True)
class Look:
    """The styles of one density."""

    density: Density
    styles: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, density: Density) -> Look:
        """The styles; registers the fonts."""
        register_fonts()
        size = density.size
        plain = {"fontName": SANS, "fontSize": size, "leading": 1.26 * size, "textColor": INK, "splitLongWords": 1}
        small = {**plain, "fontSize": 0.88 * size, "leading": 1.1 * size, "textColor": SOFT}
        head = {**plain, "fontName": BOLD}
        styles = {
            "body": plain,
            "number": {**plain, "alignment": TA_RIGHT},
            "small": small,
            "head": {**head, "fontSize": 0.92 * size, "leading": 1.12 * size},
            "head_number": {**head, "fontSize": 0.92 * size, "leading": 1.12 * size, "alignment": TA_RIGHT},
            "title": {**head, "fontSize": 15.5, "leading": 18},
            "h2": {**head, "fontSize": 1.45 * size, "leading": 1.75 * size, "spaceBefore": size, "spaceAfter": 2},
            "h3": {**head, "fontSize": 1.1 * size, "leading": 1.4 * size, "spaceBefore": 3, "spaceAfter": 1},
            "figure": {**head, "fontSize": 1.45 * size, "leading": 1.8 * size},
            "word": {**head, "fontSize": 17, "leading": 20},
        }
        return cls(density, {name: ParagraphStyle(name, **style) for name, style in styles.items()})

    def text(self, words: object, style: str = "body", limit: int | None = None) -> Flowable:
        """Words as a paragraph; nothing in them is read as markup."""
        return Paragraph(markup(words, limit or self.density.text), self.styles[style])

    def rich(self, xml: str, style: str = "body") -> Flowable:
        """Markup of this package as a paragraph; whatever comes from a file has gone through `markup`."""
        return Paragraph(xml, self.styles[style])

    def clipped(self, words: object) -> str:
        """Words for `rich`, at the density's length."""
        return markup(words, self.density.text)

    def heading(self, words: str) -> Flowable:
        return Paragraph(markup(words), self.styles["h2"])

    def measured(self, quantity: Mapping[str, Any] | None, unit: str) -> Flowable:
        """A value with its interval below it, or why there is none."""
        if quantity is None:
            return self.rich(soft(wording.NOT_ASSESSABLE), "number")
        if quantity.get("value") is None:
            return self.rich(soft(self.clipped(wording.interval(quantity, unit))), "number")
        value = wording.quantity_text(quantity["value"], unit)
        return self.rich(f"{value}<br/>{soft(wording.span(quantity['low'], quantity['high'], unit))}", "number")

    def badge(self, key: str, words: str) -> Flowable:
        return self.rich(badge(key, words))

    def grid(
        self, rows: Sequence[Sequence[Flowable]], widths: Sequence[float], *, head: int = 1, more: Sequence[Any] = ()
    ) -> Flowable:
        """A table with thin lines under its rows; the first `head` rows are repeated on the next page."""
        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 5),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1.6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2),
            ("LINEBELOW", (0, 0), (-1, -1), 0.35, LINE),
        ]
        if head:
            style += [
                ("LINEBELOW", (0, head - 1), (-1, head - 1), 0.8, INK),
                ("VALIGN", (0, 0), (-1, head - 1), "BOTTOM"),
            ]
        return Table(
            rows,
            colWidths=widths,
            repeatRows=head,
            style=TableStyle([*style, *more]),
            splitInRow=int(self.density.split_rows),
        )


def badge(key: str, words: str) -> str:
    """A verdict in its colour, as markup."""
    letters, ground = TONES[key]
    return f'<font color="{letters}" backColor="{ground}"><b>{markup(words)}</b></font>'


def soft(words: str) -> str:
    """Markup in the colour of what is said beside."""
    return f'<font color="{SOFT_HEX}" size="-0.6">{words}</font>' if words else ""


def boxes(cells: Sequence[Sequence[Flowable]], widths: Sequence[float], grounds: Sequence[str]) -> Any:
    """Columns of flowables in coloured boxes."""
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("BOX", (0, 0), (-1, -1), 0.5, LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 8),
        ("RIGHTPADDING", (0, 0), (-1, -1), 8),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
        *(("BACKGROUND", (column, 0), (column, 0), HexColor(ground)) for column, ground in enumerate(grounds)),
    ]
    return Table([[list(cell) for cell in cells]], colWidths=widths, style=TableStyle(style))


def gap(points: float) -> Flowable:
    return Spacer(1, points)


def left_out(shown: int, there: int, what: str) -> str:
    """A sentence about rows that did not fit; "" where all did."""
    return f"{there - shown} more {what} in report.html and report.json." if there > shown else ""
