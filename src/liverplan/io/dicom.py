"""DICOM series in: every slice is looked at before any voxel is believed.

SimpleITK alone reads a series with missing slices, a tilted gantry or a localizer among the slices into a volume with
a wrong spacing, with a warning at best. A 12 % error of spacing is a 12 % error of every cranio-caudal margin: so the
gate of `liverplan.io.dicom_geometry` refuses or mends, and says so, and GDCM (through SimpleITK) only decodes.

headers (`dicom_headers`) - volumes of a series (`dicom_stack`) - choice (`dicom_listing`) - lattice (`dicom_geometry`)
- voxels (`dicom_pixels`). docs/dicom.md lists what happens to each kind of series.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_geometry import Lattice, Slice
from liverplan.io.dicom_headers import read_headers
from liverplan.io.dicom_listing import Listed, SeriesInfo, choose_series, listed, phase_of, propose_series
from liverplan.io.dicom_pixels import LOSSY, read_voxels, require_decodable
from liverplan.volume import Grid, Volume

__all__ = ["SeriesInfo", "choose_series", "list_series", "phase_of", "propose_series", "read_series", "series_slices"]

NOTES = "reading_notes"
"""The fact that holds what was mended or left out on reading, a sentence per line."""


def list_series(folder: Path) -> tuple[SeriesInfo, ...]:
    """The image series under `folder`, at any depth; real scans first, larger ones before smaller ones.

    A series that holds several volumes (echoes, phases) is listed volume by volume.
    Raises UnreadableInput when there is none, or when a DICOM file in it is damaged.
    """
    return tuple(found.info for found in listed(read_headers(folder)))


def read_series(folder: Path, series_uid: str | None = None) -> Volume:
    """Read one series under `folder` (or in one multi-frame file) into a volume, rescaled (Hounsfield units for CT).

    Slices run along the normal of the image plane. facts: sha256 (over the digests of the
    slices' files in the order of their positions: names do not matter), series_uid (as --series takes it),
    series_description, slice_thickness_mm (the largest gap where a slice was bridged), phase, modality_source,
    series_reason (why this one of several), reading_notes (what was mended or left out, a sentence per line).
    Raises UnreadableInput (no series, unclear choice, damaged files, not CT or MR) and GeometryError (missing,
    duplicate or shifted slices, mixed sizes, orientations or frames of reference).
    """
    series = listed(read_headers(folder))
    found, reason = _chosen(series, series_uid)
    _require_scan(found)
    lattice = found.part.lattice()
    array, sha256 = read_voxels(lattice)
    grid = Grid(lattice.shape, lattice.affine, found.part.slices[0].frame_uid)
    facts = _facts(found, lattice, sha256)
    if len(series) > 1:
        facts["series_reason"] = reason
    return Volume(grid, array, found.info.modality, facts)


def series_slices(folder: Path, series_uid: str) -> tuple[Slice, ...]:
    """The slices of a series that was read, in the order of the volume's last axis.

    () where a plane of the volume is not one file: multi-frame files, and series that were mended.
    """
    found, _ = _chosen(listed(read_headers(folder)), series_uid)
    lattice = found.part.lattice()
    stored = [one for one in lattice.order if one is not None]
    return () if lattice.is_mended or any(s.frame is not None for s in stored) else tuple(stored)


def _chosen(series: Sequence[Listed], series_uid: str | None) -> tuple[Listed, str]:
    info, reason = propose_series([found.info for found in series], series_uid)
    return next(found for found in series if found.info is info), reason


def _facts(found: Listed, lattice: Lattice, sha256: str) -> dict[str, str]:
    info = found.info
    facts = {"sha256": sha256, "modality_source": "file", "series_uid": info.uid}
    if info.description:
        facts["series_description"] = info.description
    bridged = None in lattice.order
    thickness_mm = max(info.thickness_mm or 0.0, lattice.largest_gap_mm if bridged else 0.0)
    if thickness_mm:
        facts["slice_thickness_mm"] = f"{thickness_mm:g}"
    if info.phase:
        facts["phase"] = info.phase
    notes = _notes(found, lattice)
    if notes:
        facts[NOTES] = "\n".join(notes)
    return facts


def _notes(found: Listed, lattice: Lattice) -> list[str]:
    slices = found.part.slices
    notes = [*found.part.notes, *lattice.notes]
    if any(s.lossy or s.syntax in LOSSY for s in slices):
        notes.append("The pixels were compressed with loss: grey values and fine borders are not the scanner's.")
    if lattice.is_mended or any(s.frame is not None for s in slices):
        notes.append("No DICOM objects are written for this case: its slices are not single files of the scan.")
    return notes


def _require_scan(found: Listed) -> None:
    info, slices = found.info, found.part.slices
    what = f"series {info.uid} is not a scan that can be measured"
    do = "Give the axial CT or MR series itself, not a screenshot, a report or a reformat; --series UID chooses one."
    if any(s.n_frames > 1 for s in slices):
        raise UnreadableInput(
            what,
            got="a multi-frame object that does not say where its frames are",
            wanted="one file per slice, or an enhanced (multi-frame) CT or MR object",
            do="Export it as classic single-frame DICOM, or convert it to NIfTI.",
        )
    if info.modality not in ("CT", "MR"):
        raise UnreadableInput(what, got=f"modality {info.modality or 'unknown'}", wanted="CT or MR", do=do)
    if any(s.samples != 1 for s in slices):
        raise UnreadableInput(what, got="colour pixels", wanted="one number per pixel", do=do)
    strangers = sorted({s.stranger_kind for s in slices if s.stranger_kind})
    if strangers:
        raise UnreadableInput(what, got=" and ".join(strangers), wanted="slices of a scan", do=do)
    require_decodable(slices, what)
