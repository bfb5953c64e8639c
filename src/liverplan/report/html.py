"""report.html: one file, no network, the answer first. It says what report.json says and computes nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from liverplan.anatomy import Structure
from liverplan.io.folder import write_text_atomic
from liverplan.report import criteria, wording
from liverplan.report.answer import answer, best_resection, least_margin, quality, unseen_trees
from liverplan.report.clinical import clinical_view
from liverplan.report.curve import curve_svg
from liverplan.report.figures import CUT_RGB, FOLDER, SHELL_RGB, SPECIMEN_RGB, WITNESS_RGB, Figure, read_index
from liverplan.report.interactive import MOST_BYTES, interactive, read_data
from liverplan.report.load import whole
from liverplan.report.methods import facts, methods, read_run

FILE = "report.html"
CURVE_ROWS_MM = (0, 1, 3, 5, 7, 10, 15, 20)
"""Margins of the curve's table; the protocol's own margin is added when it is another."""
TEXT_BYTES = 1_500_000
"""Set aside for words and tables; a case with 30 lesions and 8 resections writes 0.4 MB of them."""
THUMBNAIL_PX = 96
"""Width of the pictures in the table of resections; stored twice as wide for dense screens."""
PICTURE_BYTES = 10_000_000
"""Of the page, for its pictures: about 90 of them."""


def write_html(out_dir: Path, report: Mapping[str, Any]) -> Path:
    """Write OUT/report.html with the pictures that stand in OUT/figures.

    Raises UnreadableInput when the report lacks what schema 1 asks for, OutputError, ResourceError.
    """
    out_dir = Path(out_dir)
    figures = read_index(out_dir)
    images = {figure.file: (out_dir / FOLDER / figure.file).read_bytes() for figure in figures}
    path = out_dir / FILE
    with whole(out_dir, jinja2.UndefinedError):
        page = render_html(report, figures, images, read_run(out_dir), read_data(out_dir))
    # Half a letter, which JSON allows, is no text.
    write_text_atomic(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def render_html(
    report: Mapping[str, Any],
    figures: Sequence[Figure],
    images: Mapping[str, bytes],
    run: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
) -> str:
    """The page as text. figures: what to show; images: their PNG bytes by file name; run: run.json, where it is.

    data: what of OUT/figures makes the page interactive, by file name; see `interactive.read_data`.
    """
    template = _environment().get_template("report.html.j2")
    kept = _fitting(figures, images)
    left_out, figures = [f.file for f in figures if f not in kept], kept
    png = {f.file: _data_uri(images[f.file]) for f in figures}
    room = MOST_BYTES - TEXT_BYTES - sum(map(len, png.values()))
    live = interactive(report, data or {}, room)
    return template.render(
        live=live,
        left_out=left_out,
        r=report,
        words=wording,
        limits=report.get("limits"),
        palette=palette(report),
        answer=answer(report),
        trial=_trial(report["eligibility"]),
        clinical=clinical_view(report.get("clinical")),
        contents=_contents(report, live is not None),
        quality=quality(report["quality"]),
        methods=methods(report, run or {}),
        provenance=facts(report, run or {}),
        curve=curve_svg(report["margin_curve"], report.get("limits"), report["case"]["margin_upper_mm"]),
        curve_rows=_curve_rows(report),
        views=[f for f in figures if f.kind == "view"],
        closeups={f.lesion_id: f for f in figures if f.kind == "closeup"},
        slices={n: [f for f in figures if f.kind == "slice" and f.lesion_id == n] for n in _lesion_ids(report)},
        best=best_resection(report),
        unseen=unseen_trees(report),
        plan_figures=_plan_figures(report, figures),
        limit_mm=_limit(report, "wide_margin_mm"),
        limit_percent=_limit(report, "flr_percent"),
        png=png,
        thumbnails=_thumbnails(figures, images),
    )


@cache
def _environment() -> jinja2.Environment:
    """Compiled once: a worker of a cohort writes many pages."""
    loader = jinja2.PackageLoader("liverplan.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    functions = (wording.mm, wording.ml, wording.percent, wording.interval, wording.span, wording.point)
    environment.filters |= {function.__name__: function for function in functions}
    environment.filters |= {
        "structure": wording.structure_title,
        "text": wording.value_text,
        "sentence": wording.sentence,
        "plan_title": wording.plan_title,
        "set_by": wording.set_by,
        "probability": wording.probability,
        "least_margin": least_margin,
        "p_fresh": _p_fresh,
    }
    return environment


def _trial(eligibility: Mapping[str, Any]) -> dict[str, Any]:
    """The trial's criteria, for somebody who has a minute."""
    return {
        "sentence": criteria.verdict_sentence(eligibility),
        "counts": criteria.counts(eligibility),
        "failures": criteria.failures(eligibility),
        "groups": criteria.to_obtain(eligibility),
        "lines": criteria.lines(eligibility),
    }


def _contents(report: Mapping[str, Any], live: bool) -> list[tuple[str, str]]:
    """Anchors and names of the sections that a reader jumps to. live: whether there is something to explore."""
    clinical = [("clinical", "Clinical record")] if report.get("clinical") is not None else []
    first = [("criteria", "Trial criteria"), ("pictures", "Pictures"), ("resections", "Resections")]
    middle = [
        *([("explore", "Explore")] if live else []),
        ("lesions", "Lesions"),
        ("curve", "Remnant against margin"),
        ("volumes", "Volumes"),
        ("every", "Every criterion"),
    ]
    return [*first, *middle, *clinical, ("quality", "Quality checks"), ("methods", "Methods")]


def palette(report: Mapping[str, Any]) -> list[tuple[str, tuple[int, int, int]]]:
    """The legend: what each colour in the pictures stands for; structures that are absent have none."""
    present = {name for name, structure in report["segmentation"]["structures"].items() if structure["present"]}
    shown = [s for s in Structure if s.value in present and s is not Structure.COUINAUD]
    limits = report.get("limits")
    ring = "margin inside the liver" if limits is None else f"{limits['wide_margin_mm']:g} mm margin inside the liver"
    legend = [(structure.title, structure.info.rgb) for structure in shown]
    if not report["lesions"]:
        return legend
    return [*legend, (ring, SHELL_RGB), *_cut_colours(report), ("line that a distance was measured along", WITNESS_RGB)]


def _thumbnails(figures: Sequence[Figure], images: Mapping[str, bytes]) -> dict[str, str]:
    """A small picture per resection that has one, for its row of the table: its first view, as a data URI."""
    views: dict[str, bytes] = {}
    for figure in figures:
        if figure.kind == "resection" and figure.resection is not None:
            views.setdefault(figure.resection, images[figure.file])
    return {name: _data_uri(_smaller(png)) for name, png in views.items()}


def _smaller(png: bytes) -> bytes:
    """A PNG at the width of a table's column; as it is where it cannot be read."""
    try:
        with Image.open(io.BytesIO(png)) as picture:
            small = picture.convert("RGB")
            small.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    except (OSError, ValueError):
        return png
    buffer = io.BytesIO()
    small.quantize(64).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _fitting(figures: Sequence[Figure], images: Mapping[str, bytes]) -> list[Figure]:
    """The pictures that fit into the page: views first, then close-ups and resections, then slices."""
    order = {"view": 0, "closeup": 1, "resection": 2, "resection_slice": 3, "slice": 4}
    room, kept = PICTURE_BYTES, []
    for figure in sorted(figures, key=lambda f: order.get(f.kind, 5)):
        room -= 4 * len(images[figure.file]) // 3
        if room < 0:
            break
        kept.append(figure)
    return [figure for figure in figures if figure in kept]


def _plan_figures(report: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    kinds = ("resection", "resection_slice")
    return {
        plan["name"]: [f for f in figures if f.kind in kinds and f.resection == plan["name"]]
        for plan in report["resections"]
    }


def _limit(report: Mapping[str, Any], name: str) -> str:
    limits = report.get("limits")
    return "the protocol's" if limits is None else f"{limits[name]:g}"


def _p_fresh(fresh: Mapping[str, Any]) -> float | None:
    """The probability of a device, whose key names the protocol's limit: p_at_least_7."""
    return next((float(value) for key, value in fresh.items() if key.startswith("p_at_least_")), None)


def _cut_colours(report: Mapping[str, Any]) -> list[tuple[str, tuple[int, int, int]]]:
    return [("taken out by a resection", SPECIMEN_RGB), ("its cut", CUT_RGB)] if report["resections"] else []


def _curve_rows(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    limits = report.get("limits")
    wanted = {*CURVE_ROWS_MM} | ({float(limits["wide_margin_mm"])} if limits else set())
    return [row for row in report["margin_curve"] if row["margin_mm"] in wanted]


def _lesion_ids(report: Mapping[str, Any]) -> list[int]:
    return [lesion["id"] for lesion in report["lesions"]]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
