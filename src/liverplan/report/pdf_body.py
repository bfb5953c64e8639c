"""report.pdf from its second page on: the curve, pictures, resections, every criterion, volumes, how it was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.platypus import CondPageBreak, Image, KeepTogether, Table, TableStyle

from liverplan.report import criteria, wording
from liverplan.report.answer import least_margin
from liverplan.report.clinical import clinical_view
from liverplan.report.figures import FOLDER, Figure
from liverplan.report.fonts import markup
from liverplan.report.methods import facts, methods
from liverplan.report.pdf_curve import curve_drawing
from liverplan.report.pdf_parts import Flowable, Look, badge, gap, left_out, soft

CM2 = "cm\N{SUPERSCRIPT TWO}"
FORMULAS = 4
"""Standardised volumes that have a line."""
CURVE_SHARE = 0.7
"""Of the page's width: so large that the curve still fits below the answer of a common case."""
TOGETHER = 90
"""Points that have to be left on a page for a heading with the beginning of its table."""
COLUMNS = 3
"""Pictures beside each other."""
LIMITS = (
    "The protocol measures its margin on the fresh specimen, not in the image.",
    "M_up is an upper bound: it proves what is impossible, never what is possible.",
    "Contact of a lesion with a vessel is not invasion; that judgement is the radiologist's.",
    "Lesions too small or too faint for this scan are not counted.",
)


def body(
    report: Mapping[str, Any],
    run: Mapping[str, Any],
    figures: Sequence[Figure],
    palette: Sequence[tuple[str, tuple[int, int, int]]],
    out_dir: Path,
    look: Look,
    width: float,
) -> list[Flowable]:
    """Everything after the first page."""
    return [
        *_curve(report, look, width),
        *_pictures(report, figures, palette, out_dir, look, width),
        *_resections(report["resections"], look, width),
        *_criteria(report["eligibility"], look, width),
        *_volumes(report, look, width),
        *_clinical(report.get("clinical"), look),
        *_provenance(report, run, look, width),
    ]


def _curve(report: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    heading = look.heading("Remnant against margin")
    if not report["margin_curve"] or not report["lesions"]:
        return [
            heading,
            look.text(f"{wording.NOT_ASSESSABLE.capitalize()}: without a lesion there is no margin curve."),
        ]
    caption = (
        "What is left of the liver when the same margin is taken around every lesion: geometric (dashed) and "
        "functional (solid), each with its interval. The vertical band is M_up with its interval: no "
        "resection achieves more."
    )
    return [KeepTogether([heading, curve_drawing(report, CURVE_SHARE * width), look.text(caption, "small", 400)])]


def chosen(report: Mapping[str, Any], figures: Sequence[Figure], most: int) -> list[Figure]:
    """The pictures that show most: the whole, the best resection, then the lesions with least room."""
    best, rooms = report["case"].get("best_resection"), {x["id"]: _room(x) for x in report["lesions"]}
    tightest = sorted(rooms, key=lambda number: (rooms[number], number))
    views = [f for f in figures if f.kind == "view"]
    plans = [f for f in figures if f.kind in ("resection", "resection_slice") and f.resection == best]
    plans.sort(key=lambda f: f.kind == "resection")
    # A slice that shows its line end-on says less than the others.
    ranked = sorted(figures, key=lambda f: "end-on" in f.caption)
    slices = {n: [f for f in ranked if f.kind == "slice" and f.lesion_id == n] for n in tightest}
    closeups = {n: [f for f in figures if f.kind == "closeup" and f.lesion_id == n] for n in tightest}
    per_lesion = [f for turn in range(3) for n in tightest for f in (*slices[n][turn : turn + 1], *closeups[n])]
    order = [*views[:1], *per_lesion[:1], *plans[-1:], *per_lesion[1:2], *plans[:1], *views[-1:]]
    return list(dict.fromkeys([*order, *per_lesion, *figures]))[:most]


def _room(lesion: Mapping[str, Any]) -> float:
    """The largest possible margin; what is not known comes before all."""
    value = lesion["margin_upper_mm"].get("value")
    return -1.0 if value is None else float(value)


def _pictures(
    report: Mapping[str, Any],
    figures: Sequence[Figure],
    palette: Sequence[tuple[str, tuple[int, int, int]]],
    out_dir: Path,
    look: Look,
    width: float,
) -> list[Flowable]:
    heading = look.heading("Pictures")
    if not figures:
        return [heading, look.text(f"{wording.NOT_ASSESSABLE.capitalize()}: no pictures were drawn for this case.")]
    shown = chosen(report, figures, look.density.pictures)
    cell = width / COLUMNS
    cells = [_picture(figure, out_dir, look, cell - 8) for figure in shown]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    rows[-1] += [[]] * (COLUMNS - len(rows[-1]))
    swatches = "&nbsp;&nbsp; ".join(
        f'<font color="{_hex(rgb)}">\N{BLACK SQUARE}</font> {markup(name)}' for name, rgb in palette
    )
    note = f"Slices: patient's right on the left. {left_out(len(shown), len(figures), 'pictures')}".strip()
    style = [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 8),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    style += [("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 4)]
    tables = [Table([row], colWidths=[cell] * COLUMNS, style=TableStyle(style), hAlign="LEFT") for row in rows]
    return [
        KeepTogether([heading, look.rich(swatches, "small"), gap(3), tables[0]]),
        *tables[1:],
        look.text(note, "small"),
    ]


def _picture(figure: Figure, out_dir: Path, look: Look, width: float) -> list[Flowable]:
    caption = look.rich(
        f"<b>{look.clipped(figure.title)}.</b> {markup(figure.caption, min(look.density.text, 220))}", "small"
    )
    path = out_dir / FOLDER / figure.file
    try:
        image = Image(str(path))
        # Slices are square and views wider: one height keeps the rows even.
        scale = min(width / image.imageWidth, 0.845 * width / image.imageHeight)
        image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
        image.hAlign = "LEFT"
    except Exception:
        return [look.text("The picture cannot be read.", "small"), caption]
    return [image, gap(2), caption]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _resections(plans: Sequence[Mapping[str, Any]], look: Look, width: float) -> list[Flowable]:
    heading = look.heading("Resections, the best first")
    if not plans:
        return [heading, look.text("No resection was measured for this case.")]
    shown = plans[: look.density.resections]
    numbers = ["Resected", "Functional remnant", "% of SLV", "Geometric remnant"]
    numbers += ["Without inflow / outflow", "Cut"]
    heads = [
        look.text("Resection", "head"),
        look.text("Margin and remnant", "head"),
        look.text("Least margin", "head_number"),
    ]
    heads += [look.text("Set by", "head"), *(look.text(n, "head_number") for n in numbers)]
    shares = (0.16, 0.125, 0.085, 0.11, 0.1, 0.1, 0.095, 0.1, 0.085, 0.04)
    rows = [heads, *(_resection(rank, plan, look) for rank, plan in enumerate(shown, 1))]
    note = (
        "Reaches both: the margin and the remnant that the protocol asks for, in the image; no recommendation. "
        "Remnants in percent of the measured liver without "
        "tumour; % of SLV: the functional remnant in percent of the standardised liver volume."
    )
    told = f"{note} {left_out(len(shown), len(plans), 'resections')}".strip()
    return [CondPageBreak(TOGETHER), heading, look.grid(rows, [s * width for s in shares]), look.text(told, "small")]


def _resection(rank: int, plan: Mapping[str, Any], look: Look) -> list[Flowable]:
    least = least_margin(plan)
    shares = plan["flr_standardised_percent"] or {}
    standard = "<br/>".join(
        f"{wording.percent(v)} {soft(f'({look.clipped(k)})')}" for k, v in list(shares.items())[:FORMULAS]
    )
    area = plan["cut_area_cm2"]
    unknown = look.rich(soft(markup(_why_no_margin(plan), 90)), "number")
    return [
        look.rich(f"{rank}. <b>{markup(wording.plan_title(plan['name']), 80)}</b> {soft(markup(plan['kind']))}"),
        look.badge(plan["meets_protocol"], wording.REACHES[plan["meets_protocol"]]),
        unknown if least is None else look.measured(least, "mm"),
        "" if least is None else look.rich(f"{look.clipped(_short(least))}<br/>{soft(_of_lesion(least))}"),
        look.measured(plan["volume_ml"], "mL"),
        look.measured(plan["flr_percent"], "%"),
        look.rich(standard or soft(wording.NOT_ASSESSABLE), "number"),
        look.measured(plan.get("geometric_flr_percent"), "%"),
        look.rich(f"{wording.ml(plan['devascularised_ml'])}<br/>{wording.ml(plan['congested_ml'])}", "number"),
        look.rich(wording.NOT_ASSESSABLE if area is None else f"{area:.0f}<br/>{soft(CM2)}", "number"),
    ]


def _of_lesion(margin: Mapping[str, Any]) -> str:
    return f"lesion {margin['lesion_id']}"


def _short(margin: Mapping[str, Any]) -> str:
    if margin.get("set_by") == "vessel":
        return wording.structure_title(margin.get("structure")).lower()
    return str(margin.get("set_by") or "not recorded")


def _why_no_margin(plan: Mapping[str, Any]) -> str:
    unknown = next((m for m in plan["margin_mm"] if m["value"] is None), None)
    return wording.NOT_ASSESSABLE if unknown is None else wording.interval(unknown, "mm")


def _criteria(eligibility: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    lines = criteria.lines(eligibility)
    shown = lines[: look.density.criteria]
    told = ", ".join(f"{n} {wording.OUTCOME[o].lower()}" for o, n in criteria.counts(eligibility).items())
    note = (
        f"{told} of {len(eligibility['criteria'])} criteria. For an exclusion criterion, met means that the patient is "
        f"not excluded by it. {left_out(len(shown), len(lines), 'lines')}"
    ).strip()
    names = ("Id", "Outcome", "Criterion", "Found; asked", "Evidence, and what is missing")
    rows = [[look.text(name, "head") for name in names], *(_criterion(line, look) for line in shown)]
    # A composite criterion has its own words over the whole width; its parts say the rest.
    spans = [("SPAN", (2, row), (-1, row)) for row, line in enumerate(shown, 1) if line.composite]
    widths = [share * width for share in (0.055, 0.13, 0.265, 0.15, 0.4)]
    heading = [CondPageBreak(TOGETHER), look.heading("Every criterion"), look.text(note, "small"), gap(2)]
    return [*heading, look.grid(rows, widths, more=spans)]


def _criterion(line: criteria.Line, look: Look) -> list[Flowable]:
    asked = f"<br/>{soft(f'asked: {look.clipped(line.asked)}')}" if line.asked else ""
    # Longer than other texts: caveats stand at the end.
    evidence = [markup(words, 3 * look.density.text // 2) for words in (line.evidence, line.outranked) if words]
    # Evidence about a blank names it already.
    missing = [title for title in line.missing if title not in line.evidence]
    if missing:
        evidence.append(f"<b>Missing:</b> {look.clipped('; '.join(missing))}")
    return [
        look.rich(soft(line.id) if line.part else f"<b>{markup(line.id)}</b>"),
        look.badge(line.outcome, wording.OUTCOME[line.outcome]),
        look.rich(f"\N{BULLET} {look.clipped(line.text)}" if line.part else look.clipped(line.text)),
        look.rich(f"{look.clipped(line.found)}{asked}"),
        look.rich(" ".join(evidence)),
    ]


def _volumes(report: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    liver = report["liver"]
    between = wording.span(liver["volume_low_ml"], liver["volume_high_ml"], "mL")
    entries = [
        ("Liver with lesions and intrahepatic vessels", f"{wording.ml(liver['volume_ml'])} [{between}]"),
        ("Tumour, all lesions", wording.ml(liver["tumour_volume_ml"])),
    ]
    standard = liver["standardised_volume_ml"]
    if standard is None:
        entries.append(("Standardised liver volume", f"{wording.NOT_ASSESSABLE}: height and weight are not recorded"))
    else:
        entries += [
            (f"Standardised liver volume ({formula})", wording.ml(v))
            for formula, v in list(standard.items())[:FORMULAS]
        ]
    for name, structure in report["segmentation"]["structures"].items():
        there = (
            wording.ml(structure["volume_ml"]) if structure["present"] else "absent; what depends on it is undetermined"
        )
        entries.append((f"{wording.structure_title(name)}, as segmented", there))
    shown = entries[: look.density.checks]
    half = -(-len(shown) // 2)
    columns = [shown[:half], shown[half:] + [("", "")] * (2 * half - len(shown))]
    rows = [
        [cell for name, value in pair for cell in (look.text(name, limit=90), look.text(value, "number", 90))]
        for pair in zip(*columns, strict=True)
    ]
    table = look.grid(rows, [0.3 * width, 0.19 * width, 0.32 * width, 0.19 * width], head=0)
    return [KeepTogether([look.heading("Volumes"), table])]


def _clinical(clinical: Mapping[str, Any] | None, look: Look) -> list[Flowable]:
    view = clinical_view(clinical)
    if view is None:
        return []
    told = "; ".join(
        f"{look.clipped(row.title)} <b>{look.clipped(row.value)}</b>" for row in view.rows[: look.density.items]
    )
    said = [look.rich(told)] if told else [look.text("Nothing was recorded.")]
    said += [look.text(words) for words in (view.child_pugh, view.interval) if words]
    said += [look.rich(f"{badge('warning', 'remark')} {look.clipped(remark)}") for remark in view.remarks[:8]]
    return [KeepTogether([look.heading("Clinical record, as stated"), *said])]


def _provenance(report: Mapping[str, Any], run: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    assumed = " ".join(wording.sentence(line) for line in [*report.get("assumptions", []), *LIMITS])
    rows = [[look.text(name, "small"), look.text(value, "small", 400)] for name, value in facts(report, run)]
    return [
        CondPageBreak(TOGETHER / 2),
        look.heading("Assumptions and limits"),
        look.text(assumed, limit=8 * look.density.text),
        CondPageBreak(TOGETHER / 2),
        look.heading("Methods and provenance"),
        look.text(methods(report, run), limit=8 * look.density.text),
        gap(2),
        look.grid(rows, [0.15 * width, 0.85 * width], head=0),
        KeepTogether([gap(26), _signatures(look, width)]),
    ]


def _signatures(look: Look, width: float) -> Flowable:
    who = ("Surgeon: name, date, signature", "", "Radiologist: name, date, signature")
    line = HexColor("#18202c")
    style = [
        ("LINEABOVE", (0, 0), (0, 0), 0.7, line),
        ("LINEABOVE", (2, 0), (2, 0), 0.7, line),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ]
    cells = [[look.text(words, "small") for words in who]]
    return Table(cells, colWidths=[0.46 * width, 0.08 * width, 0.46 * width], style=TableStyle(style))
