"""The first page of report.pdf: the answer. Verdict and why, lesions, best resection, criteria, quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liverplan.report import criteria, wording
from liverplan.report.answer import (
    answer,
    best_resection,
    least_margin,
    limited_by,
    raised_checks,
    unseen_trees,
    wide_margin,
)
from liverplan.report.fonts import markup
from liverplan.report.pdf_parts import TONES, Flowable, Look, badge, boxes, gap, left_out, soft

MM = 72 / 25.4


def front_page(report: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    """What stands on the first page, in this order."""
    return [
        look.text("Margin and remnant before liver resection", "title"),
        look.text(_facts(report), "small"),
        gap(5),
        _verdicts(report, look, width),
        _numbers(report, look, width),
        *_lesions(report, look, width),
        *_best(report, look, width),
        *_criteria(report["eligibility"], look, width),
        *_quality(report["quality"], look),
    ]


def _facts(report: Mapping[str, Any]) -> str:
    read, software, segmentation = report["input"], report["software"], report["segmentation"]
    spacing = " \N{MULTIPLICATION SIGN} ".join(f"{s:.2f}" for s in read["spacing_mm"])
    masks = (
        "given with the image" if segmentation["origin"] == "given" else f"by the model {segmentation['model']['name']}"
    )
    case = [f"Case {report['case_id']}"] if report.get("case_id") else []
    told = [*case, f"{read['modality']}, {read['phase'] or 'phase not recorded'}", f"voxels of {spacing} mm"]
    return " \N{MIDDLE DOT} ".join([*told, f"masks: {masks}", f"{software['name']} {software['version']}"])


def _verdicts(report: Mapping[str, Any], look: Look, width: float) -> Flowable:
    """The two answers, in the same size: what the image allows, and what the trial's criteria say."""
    said, case, eligibility = answer(report), report["case"], report["eligibility"]
    image = [
        *_word(look, said["question"], said["verdict"], case["wide_margin"]),
        look.rich(f"<b>{look.clipped(said['sentence'])}</b>"),
        gap(2),
        look.text(wording.sentence(case["reason"])),
        gap(2),
        look.text(f"{said['limit']} {_between(case.get('limiting'))}".strip()),
        gap(2),
        *_failed(report["quality"], look),
        look.text("It says what is possible in the image. The decision is the surgeon's.", "small"),
    ]
    trial = [
        *_word(look, said["trial_question"], wording.ELIGIBILITY[eligibility["verdict"]], eligibility["verdict"]),
        look.rich(f"<b>{look.clipped(criteria.verdict_sentence(eligibility))}</b>"),
        gap(2),
        look.text("The margin in the image is one part of these criteria and settles none of the others."),
        gap(2),
        look.text("What is missing stands below. This software never says that a patient is eligible.", "small"),
    ]
    grounds = [TONES[case["wide_margin"]][1], TONES[eligibility["verdict"]][1]]
    return boxes([image, trial], [0.54 * width, 0.46 * width], grounds)


def _failed(checks: Sequence[Mapping[str, Any]], look: Look) -> list[Flowable]:
    """The quality checks that failed, beside the verdict whose numbers they make doubtful."""
    return [
        look.rich(f"{badge('fail', 'quality check failed')} {look.clipped(wording.sentence(check['message']))}")
        for check in checks
        if check["status"] == "fail"
    ]


def _word(look: Look, question: str, verdict: str, key: str) -> list[Flowable]:
    return [look.text(question), look.rich(f'<font color="{TONES[key][0]}">{markup(verdict)}</font>', "word"), gap(1)]


def _numbers(report: Mapping[str, Any], look: Look, width: float) -> Flowable:
    """What no resection can exceed, apart from what the best plan reached."""
    said = answer(report)
    at = f"Functional remnant if {_margin(said)} is taken"
    found = len(report["lesions"])
    bounds = [
        _key(look, "Largest margin, M_up", report["case"]["margin_upper_mm"], "mm"),
        _key(look, at, said["functional"], "%"),
        _key(look, at.replace("Functional", "Geometric"), said["geometric"], "%"),
    ]
    title = look.rich(f"<b>What no resection can exceed</b> {soft('bounds, from the margin around every lesion')}")
    tumour = look.text(f"Lesions in the masks: {found}, {wording.ml(report['liver']['tumour_volume_ml'])}", "small")
    return boxes([[title, gap(2), tumour], *bounds], [width / 4] * 4, ["#ffffff"] * 4)


def _margin(said: Mapping[str, Any]) -> str:
    return "the wide margin" if said["margin_mm"] is None else f"{said['margin_mm']:g}{wording.NBSP}mm"


def _between(limiting: Mapping[str, Any] | None) -> str:
    """The witness of what limits the case: both ends of the line."""
    if limiting is None or not limiting["witness_lps_mm"]:
        return ""
    start, end = (wording.point(p) for p in limiting["witness_lps_mm"])
    return f"Measured from {start} on the lesion to {end}."


def _key(look: Look, label: str, quantity: Mapping[str, Any], unit: str) -> list[Flowable]:
    """A number that stands out, with its label and interval."""
    if quantity.get("value") is None:
        figure = look.clipped(wording.interval(quantity, unit))
        return [look.text(label, "small"), look.rich(f"<b>{figure}</b>"), gap(5)]
    between = f"{wording.span(quantity['low'], quantity['high'], unit)}{wording.NBSP}{unit}"
    figure = look.text(wording.quantity_text(quantity["value"], unit), "figure")
    return [look.text(label, "small"), figure, look.text(f"interval {between}", "small")]


def _lesions(report: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    lesions = report["lesions"]
    if not lesions:
        return [look.heading("Lesions"), look.text("No lesion in the masks: there is no margin to assess.")]
    shown = sorted(lesions, key=_tightness)[: look.density.lesions]
    shown.sort(key=lambda lesion: float(lesion["id"]))
    names = ("Lesion", "Volume", "Diameter", "Largest possible margin", "Planned margin")
    heads = [look.text(names[0], "head"), *(look.text(name, "head_number") for name in names[1:])]
    heads += [look.text(name, "head") for name in ("Limited by", "Planned margin set by", wide_margin(report))]
    rows = [[*heads[:4], heads[5], heads[4], *heads[6:]], *(_lesion(report, lesion, look) for lesion in shown)]
    shares = (0.09, 0.09, 0.1, 0.14, 0.18, 0.13, 0.15, 0.12)
    table = look.grid(rows, [share * width for share in shares])
    rest = left_out(len(shown), len(lesions), "lesions, with more room,")
    return [look.heading("Lesions"), table, *([look.text(rest, "small")] if rest else [])]


def _tightness(lesion: Mapping[str, Any]) -> float:
    """For the order of importance: the lesions with least room first; what is unknown before all."""
    value = lesion["margin_upper_mm"].get("value")
    return -1.0 if value is None else float(value)


def _lesion(report: Mapping[str, Any], lesion: Mapping[str, Any], look: Look) -> list[Flowable]:
    planned, best = lesion["margin_planned_mm"], best_resection(report)
    nobody = "no plan takes it out" if report["resections"] else "no plan measured"
    in_best = next((m for m in (best or {}).get("margin_mm", []) if m["lesion_id"] == lesion["id"]), None)
    set_by = "" if planned is None or in_best is None or in_best["value"] is None else wording.set_by(in_best)
    segments = ", ".join(str(s) for s in lesion["segments"]) if lesion["segments"] else ""
    where = f"<br/>{soft(f'segment {markup(segments)}')}" if segments else ""
    witness = lesion["limiting"]["witness_lps_mm"]
    at = f"<br/>{soft(f'at {wording.point(witness[1])}')}" if witness else ""
    return [
        look.rich(f"<b>{lesion['id']}</b>{where}"),
        look.text(wording.ml(lesion["volume_ml"]), "number"),
        look.text(wording.mm(lesion["longest_diameter_mm"]), "number"),
        look.measured(lesion["margin_upper_mm"], "mm"),
        look.rich(f"{look.clipped(limited_by(lesion))}{at}"),
        look.text(nobody, "small") if planned is None else look.measured(planned, "mm"),
        look.text(set_by.removeprefix("set by "), "body"),
        look.badge(lesion["wide_margin"], wording.FEASIBILITY[lesion["wide_margin"]]),
    ]


def _best(report: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    best = best_resection(report)
    if best is None:
        return [look.heading("Best plan"), look.text("No resection was measured for this case.")]
    least = least_margin(best)
    entries = [
        ("Least margin", look.measured(least, "mm")),
        ("Resected", look.measured(best["volume_ml"], "mL")),
        ("Functional remnant, % of measured liver without tumour", look.measured(best["flr_percent"], "%")),
        ("Functional remnant, % of standardised liver volume", _standardised(report, best, look)),
        ("Geometric remnant", look.measured(best.get("geometric_flr_percent"), "%")),
        ("Without inflow / without outflow", _losses(best, look)),
    ]
    rows = [[look.text(name, "head_number") for name, _ in entries], [cell for _, cell in entries]]
    # `best` may fall short: its verdict stands in the heading's line.
    title = (
        f"<b>{look.clipped(wording.plan_title(best['name']))}</b> ({look.clipped(best['kind'])}), margin and remnant: "
    )
    verdict = badge(best["meets_protocol"], wording.REACHES[best["meets_protocol"]].lower())
    said = look.rich(f"{title}{verdict}. {look.clipped(wording.sentence(best['reason']))}")
    shares = (0.12, 0.12, 0.21, 0.24, 0.13, 0.18)
    divided = look.rich(f"<b>Divides:</b> {markup(_divided(best, unseen_trees(report)), 2 * look.density.text)}")
    return [
        look.heading("Best plan, as measured"),
        said,
        gap(2),
        look.grid(rows, [s * width for s in shares]),
        gap(2),
        divided,
    ]


def _standardised(report: Mapping[str, Any], plan: Mapping[str, Any], look: Look) -> Flowable:
    shares = plan["flr_standardised_percent"]
    if not shares:
        known = report["liver"]["standardised_volume_ml"] is not None
        why = "no functional remnant" if known else "height and weight are not recorded"
        return look.rich(soft(f"{wording.NOT_ASSESSABLE}: {why}"), "number")
    told = [
        f"{wording.percent(share)} {soft(f'({look.clipped(formula)})')}" for formula, share in list(shares.items())[:4]
    ]
    apart = plan.get("denominators_disagree")
    told += [soft(f"other side of the limit: {look.clipped(', '.join(apart))}")] if apart else []
    return look.rich("<br/>".join(told), "number")


def _losses(plan: Mapping[str, Any], look: Look) -> Flowable:
    return look.rich(f"{wording.ml(plan['devascularised_ml'])} /<br/>{wording.ml(plan['congested_ml'])}", "number")


def _divided(plan: Mapping[str, Any], unseen: str, most: int = 5) -> str:
    """The thickest vessels that a plan divides. unseen: trees that nobody segmented."""
    vessels = sorted(plan["divided_vessels"], key=lambda v: -(v["diameter_mm"] or 0.0))
    if not vessels:
        return f"{wording.NOT_ASSESSABLE}: not segmented: {unseen}." if unseen else "no vessel of 2 mm and more."
    told = [
        f"{v['branch'] if v['branch'] is not None else wording.structure_title(v['structure']).lower()} "
        f"({wording.mm(v['diameter_mm'])}, territory {wording.ml(v['territory_ml'])})"
        for v in vessels[:most]
    ]
    rest = len(vessels) - most
    return "; ".join(told) + (f"; and {rest} thinner." if rest > 0 else ".")


def _criteria(eligibility: Mapping[str, Any], look: Look, width: float) -> list[Flowable]:
    key, density = eligibility["verdict"], look.density
    number = criteria.counts(eligibility)
    told = ", ".join(f"{count} {wording.OUTCOME[outcome].lower()}" for outcome, count in number.items())
    ground = TONES[key][1]
    said: list[Flowable] = [look.text(f"{told[:1].upper()}{told[1:]}, of {sum(number.values())} criteria.")]
    failed = criteria.failures(eligibility)
    for failure in failed[: density.lesions]:
        said.append(
            look.rich(
                f"<b>Fails {failure.id}:</b> {look.clipped(failure.says)}. {soft(look.clipped(failure.evidence))}"
            )
        )
    if len(failed) > density.lesions:
        said.append(look.text(left_out(density.lesions, len(failed), "criteria that fail"), "small"))
    said += _obtain(criteria.to_obtain(eligibility), look)
    protocol = f"Trial criteria: {eligibility['protocol']}, version {eligibility['version']}"
    return [look.heading(look_title(protocol)), boxes([said], [width], [ground])]


def look_title(words: str) -> str:
    """A heading of one line."""
    return words if len(words) < 90 else words[:89] + "\N{HORIZONTAL ELLIPSIS}"


def _obtain(groups: Sequence[criteria.Group], look: Look) -> list[Flowable]:
    """What is missing, a line per place where it is found."""
    if not groups:
        return []
    lines, left = [], look.density.items
    for group in groups:
        shown = group.items[: max(left, 0)]
        left -= len(shown)
        told = "; ".join(f"{look.clipped(item.title)} {soft(f'({item.serves})')}" for item in shown)
        rest = len(group.items) - len(shown)
        more = f"{'; and ' if shown else ''}{rest} more" if rest else ""
        lines.append(look.rich(f"<b>{markup(group.title)}:</b> {told}{more}"))
    return [gap(2), look.rich("<b>What is missing, and where to obtain it</b>"), *lines]


def _quality(checks: Sequence[Mapping[str, Any]], look: Look) -> list[Flowable]:
    heading = look.heading("Quality gates")
    if not checks:
        return [heading, look.text("No quality check was recorded; treat every number with care.")]
    passed = sum(check["status"] == "ok" for check in checks)
    raised = raised_checks(checks)
    shown = raised[: look.density.checks]
    told = [f"{passed} of {len(checks)} passed."]
    told += [f"{badge(c['status'], c['status'])} {look.clipped(wording.sentence(c['message']))}" for c in shown]
    rest = left_out(len(shown), len(raised), "checks that raised something")
    return [heading, look.rich(" ".join([*told, rest]).strip())]
