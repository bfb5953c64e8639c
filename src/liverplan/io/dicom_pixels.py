"""Pixels of DICOM images, decoded and rescaled: plain ones by numpy, compressed ones by GDCM (through SimpleITK).

Slope and intercept are applied here, those of each plane: GDCM takes one pair for a whole multi-frame file.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.errors import UnreadableInput
from liverplan.io.dicom_geometry import Lattice, Slice
from liverplan.io.dicom_headers import NATIVE, damaged, silently
from liverplan.io.nifti import integer_type
from liverplan.volume import AnyArray, FloatArray

_RLE = "1.2.840.10008.1.2.5"
DECODED = {
    *NATIVE,
    "1.2.840.10008.1.2.1.99",  # deflated
    _RLE,
    "1.2.840.10008.1.2.4.50",  # JPEG baseline, 8 bits, lossy
    "1.2.840.10008.1.2.4.51",  # JPEG extended, 12 bits, lossy
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
}
"""Transfer syntaxes that are read."""
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81)}
"""Those that always lose something; JPEG 2000 says it in the header."""
_SNAP_PX = 1e-3
"""A shift by a whole number of voxels, but for the rounding of positions, is taken as one: no voxel is averaged."""


def require_decodable(slices: Sequence[Slice], what: str) -> None:
    """Raise UnreadableInput for pixels that would come out wrong or not at all."""
    unknown = sorted({s.syntax for s in slices} - DECODED)
    if unknown:
        raise UnreadableInput(
            what,
            got=f"pixels compressed as {_name(unknown[0])}",
            wanted="uncompressed pixels, RLE, JPEG, JPEG-LS or JPEG 2000",
            do="Have the archive send it uncompressed (Explicit VR Little Endian).",
        )
    if any(s.has_table for s in slices):
        raise UnreadableInput(
            what,
            got="pixels that mean something by a table (Modality LUT)",
            wanted="pixels with slope and intercept",
            do="Export the reconstructed series itself.",
        )
    if not all(np.isfinite([s.slope, s.intercept]).all() and s.slope != 0 for s in slices):
        raise UnreadableInput(
            what,
            got="a rescale slope of zero, or one that is no number",
            wanted="slope and intercept of every slice",
            do="Send the original series again.",
        )


def read_voxels(lattice: Lattice) -> tuple[AnyArray, str]:
    """(i, j, k) array of a lattice, rescaled, and the sha256 over the digests of its files in the order of the slices.

    int16 or int32 where nothing is lost by it, else float32. Raises UnreadableInput for pixels that do not decode.
    """
    stored = [one for one in lattice.order if one is not None]
    whole = all(s.slope.is_integer() and s.intercept.is_integer() for s in stored)
    array = np.empty(lattice.shape, dtype=np.int16 if whole else np.float32, order="F")
    planes = _planes(stored)
    corners = lattice.shift_px
    moved = bool(corners.any() or (stored[0].columns, stored[0].rows) != lattice.shape[:2])
    lowest = np.inf
    outside = np.zeros(lattice.shape, dtype=np.bool_, order="F") if moved else None
    for k, one in enumerate(lattice.order):
        if one is None:
            continue
        pixels = next(planes).T
        array = _wide_enough(array, pixels)
        lowest = min(lowest, float(pixels.min()))
        if outside is None:
            array[:, :, k] = pixels
        else:
            array[:, :, k], outside[:, :, k] = _moved(pixels, corners[k], lattice.shape[:2])
    _bridge(array, outside, lattice)
    if outside is not None:
        array[outside] = lowest
    return array, _digest(stored)


def _wide_enough(array: AnyArray, pixels: AnyArray) -> AnyArray:
    """`array` in a type that holds `pixels` as well: int16, then int32, then float32."""
    if array.dtype.kind == "f":
        return array
    needed = integer_type(float(pixels.min()), float(pixels.max())) if pixels.dtype.kind in "iu" else None
    if needed is None:
        return array.astype(np.float32)
    return array if np.can_cast(needed, array.dtype) else array.astype(needed)


def _bridge(array: AnyArray, outside: AnyArray | None, lattice: Lattice) -> None:
    """Fill slices that are missing with the mean of their neighbours."""
    for k, one in enumerate(lattice.order):
        if one is None:
            array[:, :, k] = _whole(array[:, :, k - 1] / 2.0 + array[:, :, k + 1] / 2.0, array)
            if outside is not None:
                outside[:, :, k] = outside[:, :, k - 1] | outside[:, :, k + 1]


def _whole(values: FloatArray, like: AnyArray) -> AnyArray:
    return np.rint(values).astype(like.dtype) if like.dtype.kind == "i" else values.astype(like.dtype)


def _moved(pixels: AnyArray, shift_px: FloatArray, shape: tuple[int, int]) -> tuple[AnyArray, AnyArray]:
    """`pixels` (columns, rows) at `shift_px` in a plane of `shape`, linearly, and where there is nothing of them."""
    whole, part = np.divmod(shift_px, 1.0)
    whole, part = np.where(part > 1 - _SNAP_PX, whole + 1, whole), np.where(part > 1 - _SNAP_PX, 0.0, part)
    part = np.where(part < _SNAP_PX, 0.0, part)
    value = np.zeros(shape)
    weight = np.zeros(shape)
    for corner in itertools.product((0, 1), repeat=2):
        share = float(np.prod([p if c else 1 - p for c, p in zip(corner, part, strict=True)]))
        if share == 0.0:
            continue
        at = tuple(
            slice(int(w) + c, min(int(w) + c + n, size))
            for w, c, n, size in zip(whole, corner, pixels.shape, shape, strict=True)
        )
        inner = value[at].shape
        value[at] += share * pixels[: inner[0], : inner[1]]
        weight[at] += share
    return _whole(value, pixels), weight < 1 - _SNAP_PX


def _planes(slices: Sequence[Slice]) -> Iterator[AnyArray]:
    """(rows, columns) of each slice in order, rescaled: int32 where slope and intercept are whole, else float32.

    A multi-frame file is decoded once, as long as its frames follow each other.
    """
    for _, group in itertools.groupby(slices, lambda s: s.path):
        own = list(group)
        frames = _frames(own)
        for one, stored in zip(own, frames, strict=True):
            if stored.shape != (one.rows, one.columns):
                raise damaged(one.path, f"{stored.shape} pixels instead of {(one.rows, one.columns)}")
            yield _rescaled(stored, one)


def _rescaled(stored: AnyArray, one: Slice) -> AnyArray:
    if stored.dtype.kind in "iu" and one.slope.is_integer() and one.intercept.is_integer():
        values = stored.astype(np.int64) * int(one.slope) + int(one.intercept)
        kind = integer_type(float(values.min()), float(values.max()))
        return values.astype(kind or np.float32)
    return np.asarray(stored * np.float32(one.slope) + np.float32(one.intercept), dtype=np.float32)


def _frames(slices: Sequence[Slice]) -> Iterator[AnyArray]:
    """Stored values of slices that are frames of one file, before slope and intercept."""
    first = slices[0]
    try:
        with silently():
            if first.syntax in NATIVE or first.syntax in (_RLE, "1.2.840.10008.1.2.1.99"):
                yield from _by_pydicom(slices)
            else:
                yield from _by_gdcm(slices)
    except (UnreadableInput, OSError):
        raise
    except Exception as error:  # decoders raise anything on damaged pixels
        raise damaged(first.path, f"pixels that cannot be decoded ({type(error).__name__})") from error


def _by_pydicom(slices: Sequence[Slice]) -> Iterator[AnyArray]:
    import pydicom

    dataset = pydicom.dcmread(slices[0].path, force=True)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = slices[0].syntax
    for kind in ("FloatPixelData", "DoubleFloatPixelData"):
        if kind in dataset:
            raise damaged(slices[0].path, "floating-point pixels, which CT and MR do not have")
    from pydicom.pixels import pixel_array

    if slices[0].frame is None:
        yield pixel_array(dataset, raw=True)
        return
    for one in slices:
        yield pixel_array(dataset, index=one.frame, raw=True)


def _by_gdcm(slices: Sequence[Slice]) -> Iterator[AnyArray]:
    """Each frame as a file of its own without slope and intercept, which GDCM decodes."""
    import pydicom
    from pydicom.encaps import encapsulate, get_frame

    dataset = pydicom.dcmread(slices[0].path, force=True)
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
        for one in slices:
            frame = get_frame(dataset.PixelData, one.frame or 0, number_of_frames=n_frames)
            yield _decoded(_single(dataset, encapsulate([frame])), Path(folder) / "frame.dcm")


def _single(dataset: Any, pixels: bytes) -> Any:
    """A file with one compressed plane and nothing of the patient."""
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "2.25.1"
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    single = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    single.SOPClassUID, single.SOPInstanceUID = meta.MediaStorageSOPClassUID, "2.25.1"
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        setattr(single, name, dataset[name].value)
    single.SamplesPerPixel, single.PhotometricInterpretation = 1, "MONOCHROME2"
    single.PixelData = pixels
    single["PixelData"].is_undefined_length = True
    return single


def _decoded(single: Any, path: Path) -> AnyArray:
    import SimpleITK as sitk

    single.save_as(path, enforce_file_format=True)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    image = reader.Execute()  # held until the view of it is copied
    return np.array(sitk.GetArrayViewFromImage(image)).reshape(int(single.Rows), int(single.Columns))


def _digest(slices: Sequence[Slice]) -> str:
    """sha256 over the digests of the files, each where its first slice lies."""
    digests = []
    for path in dict.fromkeys(s.path for s in slices):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return f"{UID(syntax).name} ({syntax})" if UID(syntax).name != syntax else syntax
