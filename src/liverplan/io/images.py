"""`read_image`: one scan from a file or a DICOM folder, or a refusal that says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from liverplan.errors import UnreadableInput
from liverplan.io.nifti import integer_type
from liverplan.volume import AnyArray, Volume

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
FILE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES
AIR_HU = -500.0
"""A file without a stated modality that reaches below this is a CT: MR signal is not negative by hundreds."""


def read_image(path: Path, series_uid: str | None = None, modality: str | None = None) -> Volume:
    """Read the scan at `path`: a .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd file or a folder of DICOM files at any depth
    (or one DICOM file, when it holds all frames).

    The array is (i, j, k) as stored, CT in Hounsfield units (int16 where it fits); the affine is in LPS mm.
    `series_uid` chooses among the series of a DICOM folder. `modality` ("CT" or "MR") is for files that do not say it.
    facts: sha256 always; modality_source "file", "values", "told" or "none"; for DICOM also series_uid,
    slice_thickness_mm, series_description, phase (where the description says it).
    Raises UnreadableInput, GeometryError (both exit status 3).
    """
    path = Path(path)
    _require_present(path)
    if path.is_dir() or path.name.upper() == "DICOMDIR" or _is_dicom(path):
        from liverplan.io.dicom import read_series

        return read_series(path.parent if path.name.upper() == "DICOMDIR" else path, series_uid)
    if series_uid is not None:
        raise UnreadableInput(
            "a series was chosen in something that has none",
            got=f"series {series_uid} and the file {path.name}",
            wanted="a DICOM folder, when a series is to be chosen",
            do="Leave the series out, or give the DICOM folder.",
        )
    return _with_modality(_lean(read_file(path)), modality)


def read_file(path: Path) -> Volume:
    """Read one NIfTI, NRRD or MetaImage file as it is, modality "unknown". Raises UnreadableInput, GeometryError."""
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        from liverplan.io.nifti import read_nifti

        return read_nifti(path)
    if name.endswith(ITK_SUFFIXES):
        from liverplan.io.itk import read_itk

        return read_itk(path)
    raise UnreadableInput(
        f"{path.name} is not an image this program reads",
        got=f"a file ending in {path.suffix or 'nothing'}",
        wanted=f"{', '.join(FILE_SUFFIXES)} or a DICOM folder",
        do="For DICOM give the folder that holds the slices, not one slice; convert anything else.",
    )


def _require_present(path: Path) -> None:
    if not path.exists():
        raise UnreadableInput(
            "the image does not exist",
            got=str(path),
            wanted=f"a file ({', '.join(FILE_SUFFIXES)}) or a DICOM folder",
            do="Check the path.",
        )
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise UnreadableInput(
                "the image is empty", got=f"{path}, 0 bytes", wanted="a complete file", do="Copy or export it again."
            )
        if path.is_file():
            path.open("rb").close()
    except PermissionError as error:
        raise UnreadableInput(
            "the image cannot be opened",
            got=f"{path}: permission denied",
            wanted="a file you may read",
            do="Change its permissions or copy it.",
        ) from error


def _is_dicom(path: Path) -> bool:
    """A DICOM file by its preamble; names that say another format are believed."""
    if path.name.lower().endswith(FILE_SUFFIXES):
        return False
    from liverplan.io.dicom_headers import is_dicom_file

    return is_dicom_file(path)


def _lean(volume: Volume) -> Volume:
    """Whole numbers as int16 where they fit: half the memory of int32, and what CT is stored as."""
    array = volume.array
    if array.dtype.kind not in "iu" or array.dtype in (np.int16, np.uint8, np.int8):
        return volume
    dtype = integer_type(float(array.min()), float(array.max()))
    return volume if dtype is None else replace(volume, array=array.astype(dtype))


def _with_modality(volume: Volume, told: str | None) -> Volume:
    modality, source = "unknown", "none"
    if told is not None:
        modality, source = told, "told"
    elif _lowest(volume.array) < AIR_HU:
        modality, source = "CT", "values"
    return replace(volume, modality=modality, facts={**volume.facts, "modality_source": source})


def _lowest(array: AnyArray) -> float:
    return float(array.min())
