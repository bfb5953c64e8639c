"""What a plan's results say, as coded statements: the same ones in the DICOM structured report and in FHIR.

A `Group` is about one thing: the liver, the case, a lesion's segment, a lesion's distances, a resection. Values are
those of report.json, unrounded and unjudged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from liverplan.anatomy import Structure
from liverplan.io import dicom_codes as codes
from liverplan.io.dicom_codes import Code

Record: TypeAlias = Mapping[str, Any]
Points: TypeAlias = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Number:
    """One measurement of report.json: value None with a reason, or a value with or without an interval."""

    name: Code
    unit: Code
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    points_lps_mm: Points | None = None
    site: Code | None = None
    is_minimum: bool = False


@dataclass(frozen=True)
class Group:
    """What is said about one thing: its numbers, verdicts, and remarks.

    segment: what it is bound to in a segmentation: a structure and a lesion's id, None for what has no mask of its own.
    tracked: the structure and id whose identity it shares, without being bound to the mask.
    """

    title: str
    finding: Code
    sites: tuple[Code, ...]
    numbers: tuple[Number, ...]
    verdicts: tuple[tuple[Code, Code], ...] = ()
    remarks: tuple[str, ...] = ()
    segment: tuple[Structure, int | None] | None = None
    tracked: tuple[Structure, int | None] | None = None


def groups(record: Record) -> list[Group]:
    """All that is said of a report.json record, in the order of a reader's questions."""
    found = [_liver(record), _case(record)]
    for lesion in record["lesions"]:
        found += [_lesion(lesion), _distances(record, lesion)]
    return found + [_resection(one) for one in record["resections"]]


def _liver(record: Record) -> Group:
    liver = record["liver"]
    return Group(
        "Liver",
        codes.LIVER,
        (codes.LIVER,),
        (
            Number(codes.VOLUME, codes.ML, liver["volume_ml"], liver["volume_low_ml"], liver["volume_high_ml"]),
            Number(codes.TUMOUR_VOLUME, codes.ML, liver["tumour_volume_ml"]),
        ),
        segment=(Structure.LIVER, None),
    )


def _case(record: Record) -> Group:
    case = record["case"]
    margin = _measured(codes.MARGIN_UPPER, codes.MM, case["margin_upper_mm"], case["limiting"]["witness_lps_mm"])
    return Group("Case", codes.CASE, (codes.LIVER,), (margin,), *_verdict(case))


def _lesion(lesion: Record) -> Group:
    """What belongs to the lesion's segment."""
    segment = Structure.LESIONS, lesion["id"]
    volume = Number(codes.VOLUME, codes.ML, lesion["volume_ml"])
    return Group(_title(lesion), codes.LIVER_METASTASIS, _sites(lesion), (volume,), *_verdict(lesion), segment=segment)


def _distances(record: Record, lesion: Record) -> Group:
    """Diameter, clearances and margins of a lesion, each with its two points."""
    across = lesion["longest_diameter_mm"], lesion["longest_diameter_witness_lps_mm"]
    numbers = [
        Number(codes.DIAMETER, codes.MM, across[0], points_lps_mm=across[1]),
        _distance(codes.CAPSULE_DISTANCE, lesion["capsule_distance"]),
    ]
    if lesion["nearest_lesion"] is not None:
        numbers.append(_distance(codes.NEAREST_LESION, lesion["nearest_lesion"]))
    numbers += [_clearance(one) for one in lesion["vessels"]]
    limit = lesion["limiting"]["witness_lps_mm"]
    numbers.append(_measured(codes.MARGIN_UPPER, codes.MM, lesion["margin_upper_mm"], limit))
    if lesion["margin_planned_mm"] is not None:
        witness = _planned_witness(record, lesion["id"])
        numbers.append(_measured(codes.MARGIN_PLANNED, codes.MM, lesion["margin_planned_mm"], witness))
    return Group(
        _title(lesion),
        codes.LIVER_METASTASIS,
        _sites(lesion),
        tuple(numbers),
        tracked=(Structure.LESIONS, lesion["id"]),
    )


def _title(lesion: Record) -> str:
    return f"Lesion {lesion['id']}"


def _sites(lesion: Record) -> tuple[Code, ...]:
    return codes.LIVER, *(codes.COUINAUD[n] for n in lesion["segments"] or () if n in codes.COUINAUD)


def _verdict(about: Record) -> tuple[tuple[tuple[Code, Code], ...], tuple[str, ...]]:
    """The verdict on the wide margin and its reason."""
    return ((codes.WIDE_MARGIN, codes.verdict(about["wide_margin"])),), (f"Wide margin: {about['reason']}",)


def _clearance(vessel: Record) -> Number:
    structure = Structure(vessel["structure"])
    number = _measured(codes.clearance(structure), codes.MM, vessel["clearance_mm"], vessel["witness_lps_mm"])
    return Number(**{**vars(number), "site": codes.type_of(structure), "is_minimum": True})


def _planned_witness(record: Record, lesion_id: int) -> Points | None:
    """Where the margin of the best resection is measured; `margin_planned_mm` is that resection's."""
    margins = record["resections"][0]["margin_mm"] if record["resections"] else []
    return next((m.get("witness_lps_mm") for m in margins if m["lesion_id"] == lesion_id), None)


def _resection(resection: Record) -> Group:
    remnant_ml = resection["remnant_ml"]
    unknown = None if remnant_ml is not None else resection["flr_percent"].get("reason", "not assessable")
    return Group(
        f"Resection {resection['name']}",
        codes.RESECTION,
        (codes.LIVER,),
        (
            _measured(codes.RESECTED_VOLUME, codes.ML, resection["volume_ml"]),
            Number(codes.REMNANT_VOLUME, codes.ML, remnant_ml, reason=unknown),
            _measured(codes.FLR, codes.PERCENT, resection["flr_percent"]),
            _measured(codes.GEOMETRIC_FLR, codes.PERCENT, resection["geometric_flr_percent"]),
        ),
        ((codes.MEETS_PROTOCOL, codes.verdict(resection["meets_protocol"])),),
        (resection["reason"],),
    )


def _measured(name: Code, unit: Code, value: Record, points: Points | None = None) -> Number:
    return Number(name, unit, value["value"], value.get("low"), value.get("high"), value.get("reason"), points)


def _distance(name: Code, value: Record) -> Number:
    number = _measured(name, codes.MM, value, value.get("witness_lps_mm"))
    return Number(**{**vars(number), "is_minimum": True})
