"""What a surgeon reads: report.html, report.pdf, the tables and the pictures of a case. Nothing is measured here.

`render_case_pictures` draws OUT/figures while the image is at hand; `render_report` writes report.html, report.pdf
and the tables from OUT/report.json and the pictures that stand there, as often as wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liverplan.report.figures import Figure
    from liverplan.volume import Segmentation, Volume

__all__ = ["render_case_pictures", "render_report"]


def render_report(out_dir: Path) -> list[Path]:
    """Write report.html, report.pdf and tables/*.csv from OUT/report.json and OUT/figures, and return the paths.

    The page comes first, then the PDF, then the tables. OUT/run.json, where it is, adds versions and settings.

    Raises UnreadableInput when report.json is missing, damaged or of another schema; OutputError, ResourceError.
    """
    from liverplan.report.html import write_html
    from liverplan.report.load import load_report
    from liverplan.report.pdf import write_pdf
    from liverplan.report.tables import write_tables

    report = load_report(out_dir)
    return [write_html(out_dir, report), write_pdf(out_dir, report), *write_tables(out_dir, report)]


def render_case_pictures(
    out_dir: Path, report: Mapping[str, Any], volume: Volume | None, segmentation: Segmentation | None
) -> list[Figure]:
    """Draw OUT/figures; see `liverplan.report.pictures.render_case_pictures`."""
    from liverplan.report import pictures

    return pictures.render_case_pictures(out_dir, report, volume, segmentation)
