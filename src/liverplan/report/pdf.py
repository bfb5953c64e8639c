"""report.pdf: two to four A4 pages with selectable text, made without a browser. It says what report.json says.

The same report.json and pictures give the same bytes. When something is too long, letters become smaller, texts are
cut with a mark and rows are counted instead of shown, step by step, until four pages hold it all.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, KeepInFrame, PageTemplate
from reportlab.platypus.doctemplate import LayoutError

from liverplan.io.folder import write_bytes_atomic
from liverplan.report.figures import Figure, read_index
from liverplan.report.fonts import BOLD, SANS, clean
from liverplan.report.html import palette
from liverplan.report.load import whole
from liverplan.report.methods import read_run
from liverplan.report.pdf_body import body
from liverplan.report.pdf_front import front_page
from liverplan.report.pdf_parts import INK, PAPER, SOFT, Density, Look
from liverplan.report.wording import BANNER

# Streams as bytes: as text they take longer and are a quarter larger.
rl_config.useA85 = 0

FILE = "report.pdf"
MAX_PAGES = 4
SIDE, TOP, BOTTOM = 42.0, 48.0, 36.0
"""Margins of the page in points; the banner and the foot stand in them."""
MAX_SHRINK = 1.12
"""How much smaller the first page may be drawn before less is put on it."""
LADDER = (
    Density(7.6, 450, lesions=12, resections=12, pictures=9, criteria=60),
    Density(7.2, 450, lesions=12, resections=12, pictures=6, criteria=60),
    Density(6.9, 300, lesions=12, resections=12, pictures=6, criteria=60),
    Density(6.6, 260, lesions=12, resections=12, pictures=6, criteria=60, items=40, checks=16),
    Density(6.4, 200, lesions=12, resections=12, pictures=3, criteria=60, items=40, checks=16),
    Density(6.2, 140, lesions=10, resections=12, pictures=3, criteria=50, items=30, checks=10),
    Density(5.8, 90, lesions=8, resections=12, pictures=3, criteria=40, items=20, checks=8),
    Density(5.4, 50, lesions=6, resections=8, pictures=0, criteria=34, items=16, checks=6, split_rows=True),
)
"""From roomy to tight."""


def write_pdf(out_dir: Path, report: Mapping[str, Any]) -> Path:
    """Write OUT/report.pdf with the pictures that stand in OUT/figures.

    Raises UnreadableInput when the report lacks what schema 1 asks for, OutputError, ResourceError.
    """
    out_dir = Path(out_dir)
    path = out_dir / FILE
    with whole(out_dir):
        content = render_pdf(report, read_run(out_dir), read_index(out_dir), out_dir)
    write_bytes_atomic(path, content)
    return path


def render_pdf(report: Mapping[str, Any], run: Mapping[str, Any], figures: Sequence[Figure], out_dir: Path) -> bytes:
    """The document's bytes. run: run.json or {}; figures: pictures of `out_dir`/figures."""
    tried = b""
    for density in LADDER:
        tried, fits = _attempt(report, run, figures, out_dir, density)
        if fits:
            break
    # What does not even fit at the tightest is longer than four pages: never refused for its length.
    return tried


def _attempt(
    report: Mapping[str, Any], run: Mapping[str, Any], figures: Sequence[Figure], out_dir: Path, density: Density
) -> tuple[bytes, bool]:
    """The document at a density, and whether it fits."""
    look, buffer = Look.of(density), io.BytesIO()
    width, height = A4[0] - 2 * SIDE, A4[1] - TOP - BOTTOM
    front = KeepInFrame(width, height, front_page(report, look, width), mode="shrink")
    rest = body(report, run, figures, palette(report), out_dir, look, width)
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        invariant=1,
        pageCompression=1,
        lang="en",
        title="Margin report, liver resection (research use only)",
        author=clean(f"{report['software']['name']} {report['software']['version']}", 80),
        subject="Research use only. Not a medical device.",
        creator="liverplan",
    )
    frame = Frame(SIDE, BOTTOM, width, height, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame], pagesize=A4))
    try:
        document.build([front, *rest], canvasmaker=_canvas(_foot(report)))
    except LayoutError:
        return b"", False
    fits = document.page <= MAX_PAGES and getattr(front, "_scale", 1.0) <= MAX_SHRINK
    return buffer.getvalue(), fits


def _foot(report: Mapping[str, Any]) -> str:
    """What identifies the case on every page."""
    case = report.get("case_id")
    told = [f"Case {case}"] if case else []
    told += [f"{report['software']['name']} {report['software']['version']}", str(report["eligibility"]["protocol"])]
    told += [f"image {str(report['input']['sha256'])[:12]}"] if report["input"]["sha256"] else []
    return clean(" \N{MIDDLE DOT} ".join(told), 110)


def _canvas(foot: str) -> Callable[..., Any]:
    """A canvas that draws banner and foot on every page once it knows how many there are."""

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                _decorate(self, foot, number, len(self._pages))
                super().showPage()
            super().save()

    return Numbered


def _decorate(canvas: Any, foot: str, number: int, pages: int) -> None:
    width, height = A4
    canvas.setFillColor(INK)
    canvas.rect(0, height - 34, width, 34, stroke=0, fill=1)
    canvas.setFillColor(PAPER)
    first, second = _halves(BANNER)
    canvas.setFont(BOLD, 6.9)
    canvas.drawString(SIDE, height - 15, first)
    canvas.setFont(SANS, 6.9)
    canvas.drawString(SIDE, height - 26, second)
    canvas.setFillColor(SOFT)
    canvas.setFont(SANS, 6.5)
    canvas.drawString(SIDE, 20, foot)
    canvas.drawRightString(width - SIDE, 20, f"page {number} of {pages}")


def _halves(words: str) -> tuple[str, str]:
    """The banner on two lines: what it is, then what the distances are."""
    first, _, second = words.partition(" Distances ")
    return first, f"Distances {second}"
