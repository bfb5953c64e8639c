"""The plan's numbers as a DICOM structured report: TID 1500 in a Comprehensive 3D SR (PS3.16, PS3.3 A.35.13).

Groups bound to a segment of seg.dcm (TID 1411) hold volumes and verdicts: the liver and each lesion. Groups without one
(TID 1501) hold distances, because only there may a number have coordinates: the case, each lesion (under the same
tracking UID as its segment) and each resection. An interval is written as the ranges of uncertainty above and below the
value (TID 310); both witness points of a distance are a line in the scan's frame of reference. What could not be
assessed is not there as a number: its reason is a comment. (DICOM knows numbers without a value, but highdicom 0.28
reads no report that holds one.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.anatomy import Structure
from liverplan.io import dicom_codes as codes
from liverplan.io.dicom_codes import Code, concept
from liverplan.io.dicom_seg import WrittenSegmentation
from liverplan.io.dicom_source import SourceSeries, derived_uid, record_digest, save

SERIES_NUMBER = 902
_SOFTWARE = "liverplan"

Record: TypeAlias = Mapping[str, Any]
Points: TypeAlias = Sequence[Sequence[float]]


@dataclass(frozen=True)
class _Number:
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
class _Group:
    """What is said about one thing: its numbers, verdicts, and the place of its segment in seg.dcm (or None)."""

    title: str
    finding: Code
    sites: tuple[Code, ...]
    numbers: tuple[_Number, ...]
    verdicts: tuple[tuple[Code, Code], ...] = ()
    remarks: tuple[str, ...] = ()
    entry: int | None = None
    tracking_uid: str | None = None


def write_sr(path: Path, record: Record, seg: WrittenSegmentation, source: SourceSeries) -> None:
    """Write the numbers of `record` (report.json) to `path`. Raises ValueError when a lesion has no segment in `seg`.

    Raises OutputError, ResourceError.
    """
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR

    uid = derived_uid("sr", seg.header.SOPInstanceUID, record_digest(record))
    document = Comprehensive3DSR(
        evidence=[*source.headers, seg.header],
        content=_content(record, seg, source, uid),
        series_instance_uid=derived_uid("series", uid),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=_SOFTWARE,
        is_complete=True,
        is_final=False,
        is_verified=False,
        manufacturer_model_name=_SOFTWARE,
        software_versions=__version__,
        device_serial_number=__version__,
        series_description="Liver margins and volumes (research use only)",
        coding_schemes=[
            CodingSchemeIdentificationItem(
                codes.OWN_SCHEME, name="liverplan measurements", version=__version__, responsible_organization=_SOFTWARE
            )
        ],
    )
    save(document, path, source.patient_name)


def _content(record: Record, seg: WrittenSegmentation, source: SourceSeries, uid: str) -> Any:
    from highdicom import sr

    groups = [_liver(record, seg), _case(record)]
    for lesion in record["lesions"]:
        groups += [_lesion(lesion, seg), _distances(record, lesion, seg)]
    groups += [_resection(one) for one in record["resections"]]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", _SOFTWARE, __version__),
        name=_SOFTWARE,
        manufacturer_name=_SOFTWARE,
        model_name=_SOFTWARE,
        serial_number=__version__,
    )
    observer = sr.ObserverContext(concept(("121007", "DCM", "Device")), device)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=concept(codes.MR if record["input"]["modality"] == "MR" else codes.CT),
        imaging_measurements=[_group_item(g, seg, source, uid) for g in groups],
        title=concept(codes.REPORT),
    )
    for sentence in (RESEARCH_USE_ONLY, *record["assumptions"]):
        report[0].ContentSequence.append(_comment(sentence))
    return report


# ---- what is said ------------------------------------------------------------------------------------------------


def _liver(record: Record, seg: WrittenSegmentation) -> _Group:
    liver = record["liver"]
    return _Group(
        "Liver",
        codes.LIVER,
        (codes.LIVER,),
        (
            _Number(codes.VOLUME, codes.ML, liver["volume_ml"], liver["volume_low_ml"], liver["volume_high_ml"]),
            _Number(codes.TUMOUR_VOLUME, codes.ML, liver["tumour_volume_ml"]),
        ),
        entry=seg.find(Structure.LIVER),
    )


def _case(record: Record) -> _Group:
    case = record["case"]
    margin = _measured(codes.MARGIN_UPPER, codes.MM, case["margin_upper_mm"], case["limiting"]["witness_lps_mm"])
    return _Group("Case", codes.CASE, (codes.LIVER,), (margin,), *_verdict(case))


def _lesion(lesion: Record, seg: WrittenSegmentation) -> _Group:
    """What belongs to the lesion's segment."""
    entry = seg.find(Structure.LESIONS, lesion["id"])
    if entry is None:
        raise ValueError(f"lesion {lesion['id']} of the record is not in the segmentation")
    volume = _Number(codes.VOLUME, codes.ML, lesion["volume_ml"])
    return _Group(_title(lesion), codes.LIVER_METASTASIS, _sites(lesion), (volume,), *_verdict(lesion), entry=entry)


def _distances(record: Record, lesion: Record, seg: WrittenSegmentation) -> _Group:
    """Diameter, clearances and margins of a lesion, each with its two points."""
    across = lesion["longest_diameter_mm"], lesion["longest_diameter_witness_lps_mm"]
    numbers = [
        _Number(codes.DIAMETER, codes.MM, across[0], points_lps_mm=across[1]),
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
    tracking_uid = seg.tracking_uid(Structure.LESIONS, lesion["id"])
    return _Group(_title(lesion), codes.LIVER_METASTASIS, _sites(lesion), tuple(numbers), tracking_uid=tracking_uid)


def _title(lesion: Record) -> str:
    return f"Lesion {lesion['id']}"


def _sites(lesion: Record) -> tuple[Code, ...]:
    return codes.LIVER, *(codes.COUINAUD[n] for n in lesion["segments"] or () if n in codes.COUINAUD)


def _verdict(about: Record) -> tuple[tuple[tuple[Code, Code], ...], tuple[str, ...]]:
    """The verdict on the wide margin and its reason."""
    return ((codes.WIDE_MARGIN, codes.verdict(about["wide_margin"])),), (f"Wide margin: {about['reason']}",)


def _clearance(vessel: Record) -> _Number:
    structure = Structure(vessel["structure"])
    number = _measured(codes.clearance(structure), codes.MM, vessel["clearance_mm"], vessel["witness_lps_mm"])
    return _Number(**{**vars(number), "site": codes.type_of(structure), "is_minimum": True})


def _planned_witness(record: Record, lesion_id: int) -> Points | None:
    """Where the margin of the best resection is measured; `margin_planned_mm` is that resection's."""
    margins = record["resections"][0]["margin_mm"] if record["resections"] else []
    return next((m.get("witness_lps_mm") for m in margins if m["lesion_id"] == lesion_id), None)


def _resection(resection: Record) -> _Group:
    remnant_ml = resection["remnant_ml"]
    unknown = None if remnant_ml is not None else resection["flr_percent"].get("reason", "not assessable")
    return _Group(
        f"Resection {resection['name']}",
        codes.RESECTION,
        (codes.LIVER,),
        (
            _measured(codes.RESECTED_VOLUME, codes.ML, resection["volume_ml"]),
            _Number(codes.REMNANT_VOLUME, codes.ML, remnant_ml, reason=unknown),
            _measured(codes.FLR, codes.PERCENT, resection["flr_percent"]),
            _measured(codes.GEOMETRIC_FLR, codes.PERCENT, resection["geometric_flr_percent"]),
        ),
        ((codes.MEETS_PROTOCOL, codes.verdict(resection["meets_protocol"])),),
        (resection["reason"],),
    )


def _measured(name: Code, unit: Code, value: Record, points: Points | None = None) -> _Number:
    return _Number(name, unit, value["value"], value.get("low"), value.get("high"), value.get("reason"), points)


def _distance(name: Code, value: Record) -> _Number:
    number = _measured(name, codes.MM, value, value.get("witness_lps_mm"))
    return _Number(**{**vars(number), "is_minimum": True})


# ---- how it is written -------------------------------------------------------------------------------------------


def _group_item(group: _Group, seg: WrittenSegmentation, source: SourceSeries, uid: str) -> Any:
    from highdicom import sr

    tracking_uid = group.tracking_uid or derived_uid("group", uid, group.title)
    if group.entry is not None:
        tracking_uid = seg.entries[group.entry].tracking_uid
    told = {
        "tracking_identifier": sr.TrackingIdentifier(uid=tracking_uid, identifier=group.title),
        "finding_type": concept(group.finding),
        "finding_sites": [sr.FindingSite(concept(site)) for site in group.sites],
        "measurements": [_measurement(n, source) for n in group.numbers if n.value is not None],
        "qualitative_evaluations": [sr.QualitativeEvaluation(concept(n), concept(v)) for n, v in group.verdicts],
    }
    if group.entry is None:
        item = sr.MeasurementsAndQualitativeEvaluations(**told)
    else:
        segment = _referenced(group.entry, seg, source)
        item = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **told)
    unknown = [f"{n.name[2]}: not assessed, {n.reason}" for n in group.numbers if n.value is None and n.reason]
    for sentence in (*group.remarks, *unknown):
        if sentence:
            item[0].ContentSequence.append(_comment(sentence))
    return item


def _referenced(entry: int, seg: WrittenSegmentation, source: SourceSeries) -> Any:
    """The segment, with the slices that a lesion lies on; for an organ the series."""
    from highdicom import sr

    images = None
    series = None
    if seg.entries[entry].structure is Structure.LESIONS:
        headers = [source.headers[k] for k in seg.slices[entry]]
        images = [sr.SourceImageForSegmentation(h.SOPClassUID, h.SOPInstanceUID) for h in headers]
    else:
        series = sr.SourceSeriesForSegmentation(source.series_uid)
    return sr.ReferencedSegment(
        seg.header.SOPClassUID,
        seg.header.SOPInstanceUID,
        seg.entries[entry].number,
        source_images=images,
        source_series=series,
    )


def _measurement(number: _Number, source: SourceSeries) -> Any:
    from highdicom import sr

    lines = None
    if number.points_lps_mm is not None:
        points = np.asarray(number.points_lps_mm, dtype=np.float64)
        lines = [sr.CoordinatesForMeasurement3D("POLYLINE", points, source.frame_uid)]
    return sr.Measurement(
        name=concept(number.name),
        value=number.value,
        unit=concept(number.unit),
        derivation=concept(codes.MINIMUM) if number.is_minimum else None,
        finding_sites=[sr.FindingSite(concept(number.site))] if number.site else None,
        properties=_interval(number),
        referenced_coordinates=lines,
    )


def _interval(number: _Number) -> Any:
    """The distances from the value to the ends of its interval, in the value's unit (highdicom writes them without)."""
    if number.value is None or number.low is None or number.high is None:
        return None
    from highdicom import sr

    properties = sr.MeasurementProperties()
    for name, width in (
        (codes.UPPER_UNCERTAINTY, number.high - number.value),
        (codes.LOWER_UNCERTAINTY, number.value - number.low),
    ):
        properties.append(
            sr.NumContentItem(concept(name), round(width, 4), concept(number.unit), relationship_type="HAS PROPERTIES")
        )
    return properties


def _comment(sentence: str) -> Any:
    from highdicom import sr

    return sr.TextContentItem(concept(codes.COMMENT), sentence, relationship_type="CONTAINS")
