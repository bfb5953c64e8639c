"""What a folder of DICOM files holds, line by line, and which series to plan on.

The portal-venous axial scan is proposed, with the reason; where that leaves a choice, the person chooses. No line holds
anything of the patient: several patients are numbered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_geometry import Slice
from liverplan.io.dicom_stack import Part, parts_of

_PHASES = {
    "arterial": r"arter|\bart\b|\bhap\b",
    "portal_venous": r"porto?[- _]?ven|portal|\bpvp?\b|(?<!delayed )\bvenous\b|\bven[oö]s\b|\bveineux\b"
    r"|\b[678]\d ?s(ec)?\b",
    "delayed": r"delay|\blate\b|equilib|tardi|\b(3|5|10) ?min\b",
    "hepatobiliary": r"hepatobil|\bhbp\b|\b20 ?min\b",
    "unenhanced": r"unenhanced|non[- _]?(contrast|enhanced)|without|\bnative?\b|\bplain\b|sans inj"
    r"|\bpre[- _]?contrast\b",
}
_PLANES = ("sagittal", "coronal", "axial")
_NEAR_A_PLANE = 0.9
"""Cosine between the slices' normal and a body axis above which a stack is called by that plane (25 degrees)."""
PART = "#"
"""Between a series UID and the number of one of its volumes, as `--series` takes it."""


@dataclass(frozen=True)
class SeriesInfo:
    """One image series of a folder, or one volume of a series: enough to choose by.

    uid: what `--series` takes; with #2 behind it for the second of several volumes. thickness_mm, phase and plane are
    None where the files are silent. part: what sets the volume apart from the others of its series.
    """

    uid: str
    description: str
    modality: str
    n_slices: int
    thickness_mm: float | None
    phase: str | None
    files: tuple[Path, ...]
    is_scan: bool
    """False for localizers, secondary captures, single images and other objects."""
    kind: str = "scan"
    plane: str | None = None
    part: str = ""
    patient: int = 1
    study: int = 1
    frame_uid: str | None = None

    @property
    def series_uid(self) -> str:
        return self.uid.partition(PART)[0]

    @property
    def line(self) -> str:
        """One line for a person: what to choose by. No patient data."""
        what = [f"{self.n_slices} slices", f"{self.thickness_mm:g} mm" if self.thickness_mm else "thickness unknown"]
        what += [self.plane] if self.plane else []
        what += [self.phase.replace("_", "-")] if self.phase else []
        what += [self.part] if self.part else []
        what += [] if self.is_scan else [self.kind]
        return f"{self.uid} ({self.modality} {self.description!r}, {', '.join(what)})"


@dataclass(frozen=True)
class Listed:
    """A series beside the volume that it stands for."""

    info: SeriesInfo
    part: Part


def listed(slices: Sequence[Slice]) -> tuple[Listed, ...]:
    """What the slices of a folder are: real scans first, larger ones before smaller ones."""
    patients = _numbers(slices, lambda s: s.patient)
    studies = _numbers(slices, lambda s: (s.patient, s.study_day, s.study_uid))
    by_series: dict[tuple[str, str], list[Slice]] = {}
    for one in slices:
        by_series.setdefault((one.patient, one.series_uid), []).append(one)
    found = []
    for own in by_series.values():
        parts = parts_of(own)
        for n, part in enumerate(parts, start=1):
            uid = own[0].series_uid + (f"{PART}{n}" if len(parts) > 1 else "")
            first = part.slices[0]
            study = studies[(first.patient, first.study_day, first.study_uid)]
            found.append(Listed(_info(uid, part, patients[first.patient], study), part))
    return tuple(sorted(found, key=lambda f: (not f.info.is_scan, -f.info.n_slices, f.info.uid)))


def choose_series(series: Sequence[SeriesInfo], uid: str | None = None) -> SeriesInfo:
    """The series asked for, or the one that is proposed. Raises UnreadableInput when that leaves none or several."""
    return propose_series(series, uid)[0]


def propose_series(series: Sequence[SeriesInfo], uid: str | None = None) -> tuple[SeriesInfo, str]:
    """The series asked for, else the one to plan on, and why: the only scan, the only portal-venous (axial) one, or the
    thinnest portal-venous axial one of a study.

    Raises UnreadableInput with the list of series when that leaves none or several, and for several patients.
    """
    if uid is not None:
        chosen = [s for s in series if uid == s.uid] or [s for s in series if uid == s.series_uid]
        if len(chosen) == 1:
            return chosen[0], "chosen by its UID"
        raise _unclear(series, uid, chosen)
    scans = [s for s in series if s.is_scan] or list(series)
    if len({s.patient for s in scans}) > 1:
        raise _unclear(series, None, scans)
    if len(scans) == 1:
        return scans[0], f"the only scan of {len(series)} series"
    portal = [s for s in scans if s.phase == "portal_venous"]
    axial = [s for s in portal if s.plane == "axial"] or portal
    if len(axial) == 1:
        plane = " axial" if axial[0].plane == "axial" else ""
        return axial[0], f"the only portal-venous{plane} scan of {len(series)} series"
    thinnest = [s for s in axial if s.thickness_mm and s.thickness_mm == min(a.thickness_mm or np.inf for a in axial)]
    if len(thinnest) == 1 and len({(s.study, s.frame_uid) for s in axial}) == 1 and axial[0].frame_uid:
        return thinnest[0], f"the thinnest of {len(axial)} portal-venous scans, {len(series)} series in all"
    raise _unclear(series, None, scans)


def phase_of(description: str) -> str | None:
    """The contrast phase that a series description names, or None when it names none or several."""
    text = description.lower().replace("_", " ")
    named = [phase for phase, pattern in _PHASES.items() if re.search(pattern, text)]
    return named[0] if len(named) == 1 else None


def _numbers(slices: Sequence[Slice], key: object) -> dict[object, int]:
    assert callable(key)
    return {value: n for n, value in enumerate(sorted({key(s) for s in slices}), start=1)}


def _info(uid: str, part: Part, patient: int, study: int) -> SeriesInfo:
    slices = part.slices
    first = slices[0]
    thicknesses = {s.thickness_mm for s in slices}
    kind = _kind(slices)
    return SeriesInfo(
        uid=uid,
        description=first.description,
        modality=first.modality,
        n_slices=len(slices),
        thickness_mm=first.thickness_mm if len(thicknesses) == 1 else None,
        phase=phase_of(f"{first.description} {part.name}"),
        files=tuple(dict.fromkeys(s.path for s in slices)),
        is_scan=kind == "scan",
        kind=kind,
        plane=_plane(slices),
        part=part.name,
        patient=patient,
        study=study,
        frame_uid=first.frame_uid,
    )


def _kind(slices: Sequence[Slice]) -> str:
    first = slices[0]
    if first.stranger_kind:
        return first.stranger_kind
    if first.n_frames > 1:
        return "multi-frame object without places"
    return "scan" if len(slices) > 1 else "single image"


def _plane(slices: Sequence[Slice]) -> str | None:
    """The body plane that most of a stack lies in; "oblique" between them, None for what has no place."""
    if not slices[0].is_slice:
        return None
    normal = np.abs(np.cross(slices[0].orientation[:3], slices[0].orientation[3:]))
    return _PLANES[int(normal.argmax())] if normal.max() >= _NEAR_A_PLANE else "oblique"


def _unclear(series: Sequence[SeriesInfo], uid: str | None, left: Sequence[SeriesInfo]) -> UnreadableInput:
    patients, studies = {s.patient for s in series}, {s.study for s in series}
    lines = "; ".join(_where(s, len(patients), len(studies)) + s.line for s in series)
    several = len({s.patient for s in left}) > 1
    if uid is None:
        what = "the folder holds several patients" if several else "the series to plan on is not clear"
        wanted = "one portal-venous scan of the liver"
    elif left:
        what, wanted = "the chosen series holds several volumes", f"one of them, as {left[0].uid}"
    else:
        what, wanted = "the chosen series is not in the folder", f"series {uid}"
    return UnreadableInput(
        what, got=f"{len(series)} series: {lines}", wanted=wanted, do="Choose one with --series UID."
    )


def _where(one: SeriesInfo, n_patients: int, n_studies: int) -> str:
    words = [f"patient {one.patient}"] if n_patients > 1 else []
    words += [f"study {one.study}"] if n_studies > 1 else []
    return f"{', '.join(words)}: " if words else ""
