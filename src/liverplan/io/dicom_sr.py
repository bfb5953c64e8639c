"""The plan's numbers as a DICOM structured report: TID 1500 in a Comprehensive 3D SR (PS3.16, PS3.3 A.35.13).

Groups bound to a segment of seg.dcm (TID 1411) hold volumes and verdicts: the liver and each lesion. Groups without one
(TID 1501) hold distances, because only there may a number have coordinates: the case, each lesion (under the same
tracking UID as its segment) and each resection. An interval is written as the ranges of uncertainty above and below the
value (TID 310); both witness points of a distance are a line in the scan's frame of reference. What could not be
assessed is not there as a number: its reason is a comment. (DICOM knows numbers without a value, but highdicom 0.28
reads no report that holds one.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.anatomy import Structure
from liverplan.io import dicom_codes as codes
from liverplan.io.dicom_codes import concept
from liverplan.io.dicom_seg import WrittenSegmentation
from liverplan.io.dicom_source import SourceSeries, derived_uid, record_digest, save
from liverplan.io.statements import Group, Number, Record, groups

SERIES_NUMBER = 902
_SOFTWARE = "liverplan"


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
        imaging_measurements=[_group_item(g, seg, source, uid) for g in groups(record)],
        title=concept(codes.REPORT),
    )
    for sentence in (RESEARCH_USE_ONLY, *record["assumptions"]):
        report[0].ContentSequence.append(_comment(sentence))
    return report


# ---- how it is written -------------------------------------------------------------------------------------------


def _group_item(group: Group, seg: WrittenSegmentation, source: SourceSeries, uid: str) -> Any:
    from highdicom import sr

    entry = _entry(group, seg)
    tracking_uid = derived_uid("group", uid, group.title)
    if group.tracked is not None:
        tracking_uid = seg.tracking_uid(*group.tracked) or tracking_uid
    if entry is not None:
        tracking_uid = seg.entries[entry].tracking_uid
    told = {
        "tracking_identifier": sr.TrackingIdentifier(uid=tracking_uid, identifier=group.title),
        "finding_type": concept(group.finding),
        "finding_sites": [sr.FindingSite(concept(site)) for site in group.sites],
        "measurements": [_measurement(n, source) for n in group.numbers if n.value is not None],
        "qualitative_evaluations": [sr.QualitativeEvaluation(concept(n), concept(v)) for n, v in group.verdicts],
    }
    if entry is None:
        item = sr.MeasurementsAndQualitativeEvaluations(**told)
    else:
        segment = _referenced(entry, seg, source)
        item = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **told)
    unknown = [f"{n.name[2]}: not assessed, {n.reason}" for n in group.numbers if n.value is None and n.reason]
    for sentence in (*group.remarks, *unknown):
        if sentence:
            item[0].ContentSequence.append(_comment(sentence))
    return item


def _entry(group: Group, seg: WrittenSegmentation) -> int | None:
    """The group's segment in `seg`. Raises ValueError for a lesion that has none."""
    if group.segment is None:
        return None
    entry = seg.find(*group.segment)
    if entry is None and group.segment[0] is Structure.LESIONS:
        raise ValueError(f"lesion {group.segment[1]} of the record is not in the segmentation")
    return entry


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


def _measurement(number: Number, source: SourceSeries) -> Any:
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


def _interval(number: Number) -> Any:
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
