"""NIfTI-1 and -2 in and out: the only place where RAS and LPS meet.

The header is read by nibabel and the voxels by ourselves, because ITK hands out the voxels of a truncated file without
a word, prefers the qform to a sform that differs, and drops a shear.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from liverplan.errors import GeometryError, UnreadableInput
from liverplan.io.folder import atomic_file
from liverplan.io.zipped import DAMAGED, is_zipped, opened, zipping
from liverplan.volume import AnyArray, FloatArray, Grid, Volume

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FORMS_TOLERANCE_MM = 0.1
"""sform and qform are the same when no corner voxel differs by more (the qform's quaternion is float32)."""
_CHUNK = 16 << 20
_HEADER_BYTES = 540
GZIP_LIMIT = 1040
"""Deflate cannot shrink data by more than 1032 to 1: a header that promises more is lying."""


def read_nifti(path: Path) -> Volume:
    """Read one 3D NIfTI file; modality "unknown", facts: sha256 of the file.

    array (i, j, k): integers keep their type, floats become float32; slope and intercept are applied.
    Raises UnreadableInput (not NIfTI, truncated, corrupt, colour, complex) and GeometryError (not 3D, no usable
    affine, forms that disagree, NaN).
    """
    header = _read_header(path)
    grid = Grid(_shape(header, path), _affine_lps(header, path))
    try:
        array = _read_voxels(path, header, grid.shape)
    except (*DAMAGED, OSError) as error:
        raise _damaged(path, str(error)) from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Volume(grid, _rescaled(array, header), "unknown", {"sha256": sha256})


def write_nifti(path: Path, grid: Grid, array: AnyArray) -> None:
    """Write `array` (i, j, k) with the affine of `grid` as NIfTI-1, gzipped when the name ends in .gz.

    The same input gives the same bytes. Raises OutputError, ResourceError.
    """
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(grid.shape)
    header.set_zooms(grid.spacing_mm)
    header.set_xyzt_units("mm")
    header.set_sform(RAS_TO_LPS @ grid.affine, code=1)
    header.set_qform(RAS_TO_LPS @ grid.affine, code=1)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with atomic_file(path) as file:
        if path.name.endswith(".gz"):
            with zipping(file) as zipped:
                _write_body(zipped, header.binaryblock, array)
        else:
            _write_body(file, header.binaryblock, array)


def _write_body(file: IO[bytes], header: bytes, array: AnyArray) -> None:
    file.write(header + bytes(4))
    step = max(1, _CHUNK // max(array[:, :, 0].nbytes, 1))
    for start in range(0, array.shape[2], step):
        file.write(array[:, :, start : start + step].tobytes(order="F"))


def _read_header(path: Path) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    try:
        with opened(path) as file:
            block = file.read(_HEADER_BYTES)
    except DAMAGED as error:
        raise _damaged(path, str(error)) from error
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    if 348 in sizes and block[344:348] == b"n+1\0" and len(block) >= 348:
        return Nifti1Header(block[:348], check=False)
    if 540 in sizes and block[4:8] == b"n+2\0" and len(block) >= 540:
        return Nifti2Header(block, check=False)
    raise UnreadableInput(
        f"{path.name} is not a NIfTI file",
        got=f"{path.stat().st_size} bytes without a NIfTI header",
        wanted="a single-file NIfTI image (.nii or .nii.gz)",
        do="Check what was exported; a renamed file of another format is not converted.",
    )


def _shape(header: Any, path: Path) -> tuple[int, int, int]:
    n_axes = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : 1 + max(0, min(n_axes, 7))])
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return require_three_axes(shape, path.name)


def require_three_axes(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """Raise GeometryError unless `shape` is that of a volume: three axes, two or more voxels along each."""
    if len(shape) == 3 and all(n >= 2 for n in shape):
        return shape[0], shape[1], shape[2]
    axes = f"{len(shape)}D" if len(shape) != 3 else "a single slice"
    raise GeometryError(
        f"{name} is not a three-dimensional image",
        got=f"{axes}, shape {shape}",
        wanted="one volume with at least two voxels along each of three axes",
        do="Give one 3D volume: a single phase of the scan, not a slice, a time series or a localizer.",
    )


def _affine_lps(header: Any, path: Path) -> FloatArray:
    _require_units(header, path)
    require_spacing(tuple(float(s) for s in header["pixdim"][1:4]), path.name)
    sform = header.get_sform() if int(header["sform_code"]) > 0 else None
    qform = _qform(header, path) if int(header["qform_code"]) > 0 else None
    affine = sform if sform is not None else qform
    if affine is None:
        raise GeometryError(
            f"{path.name} does not say where the patient's left is",
            got="a NIfTI header with sform and qform both unset",
            wanted="an affine from voxel index to scanner millimetres",
            do="Convert the original DICOM series again.",
        )
    if not np.isfinite(affine).all():
        return np.asarray(affine, dtype=np.float64)  # Grid says what is wrong with it
    shape = _shape(header, path)
    Grid(shape, affine)
    other = qform if qform is not None else _with_spacing(affine, header)
    shift = _largest_shift_mm(shape, affine, other)
    if shift > FORMS_TOLERANCE_MM:
        raise GeometryError(
            f"{path.name} says twice where its voxels are, and differently",
            got=f"sform and {'qform' if qform is not None else 'pixdim'} up to {shift:.2f} mm apart",
            wanted=f"the same positions within {FORMS_TOLERANCE_MM} mm",
            do="Find out which is right and store it in both, or convert the original DICOM series again.",
        )
    return np.asarray(RAS_TO_LPS @ affine, dtype=np.float64)


def _qform(header: Any, path: Path) -> FloatArray:
    from nibabel.spatialimages import HeaderDataError

    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise GeometryError(
            f"the rotation in {path.name} cannot be used",
            got=f"qform: {error}",
            wanted="a unit quaternion",
            do="Convert the original DICOM series again.",
        ) from error


def _with_spacing(affine: FloatArray, header: Any) -> FloatArray:
    """`affine` with the voxel size that pixdim states: the check of a file with a sform alone."""
    other = affine.copy()
    other[:3, :3] *= np.asarray(header["pixdim"][1:4], dtype=float) / np.linalg.norm(affine[:3, :3], axis=0)
    return other


def _largest_shift_mm(shape: tuple[int, int, int], a: FloatArray, b: FloatArray) -> float:
    corners = np.array([[i, j, k, 1.0] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).max())


def _require_units(header: Any, path: Path) -> None:
    code = int(header["xyzt_units"]) & 7
    if code not in (0, 2):
        unit = {1: "metres", 3: "micrometres"}.get(code, f"code {code}")
        raise GeometryError(
            f"the lengths in {path.name} are not millimetres",
            got=unit,
            wanted="millimetres",
            do="Convert the original DICOM series again; programs disagree on how to read other units.",
        )


def require_spacing(spacing: tuple[float, ...], name: str) -> None:
    """Raise GeometryError unless every spacing is finite and positive."""
    if all(math.isfinite(s) and s > 0 for s in spacing):
        return
    raise GeometryError(
        f"the voxel spacing of {name} cannot be used",
        got=" x ".join(f"{s:g}" for s in spacing) + " mm (zero, negative or not a number)",
        wanted="three positive spacings in mm",
        do="Convert the original DICOM series again; the header lost the voxel size.",
    )


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise _damaged(path, f"unknown voxel type ({error})") from error
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours or vectors"
        raise UnreadableInput(
            f"{path.name} is not a scan",
            got=f"voxels that hold {kind}",
            wanted="one number per voxel (Hounsfield units or MR signal)",
            do="Export the scan itself, not a rendering, a screenshot, a phase map or a deformation field.",
        )
    return dtype


def _read_voxels(path: Path, header: Any, shape: tuple[int, int, int]) -> AnyArray:
    dtype = _dtype(header, path)
    target = dtype.newbyteorder("=") if dtype.kind != "f" else np.dtype(np.float32)
    n_voxels = math.prod(shape)
    with opened(path) as file:
        _require_enough_bytes(path, is_zipped(file), n_voxels * dtype.itemsize)
        file.seek(_first_byte(header))
        flat = np.empty(n_voxels, dtype=target)
        step = _CHUNK // dtype.itemsize
        for start in range(0, n_voxels, step):
            chunk = _exactly(file, min(step, n_voxels - start) * dtype.itemsize)
            flat[start : start + step] = _narrowed(np.frombuffer(chunk, dtype=dtype), target)
        while file.read(_CHUNK):  # to the end, so that gzip checks its own sum
            pass
    return flat.reshape(shape, order="F")


def _first_byte(header: Any) -> int:
    """Where the voxels start: a float in NIfTI-1. Raises EOFError for no number and for beyond any file."""
    start = float(header["vox_offset"])
    if not start < 2**48:
        raise EOFError(f"the header says that the voxels start at byte {start:g}")
    return max(int(start), int(header["sizeof_hdr"])) if start > 0 else int(header["sizeof_hdr"])


def _narrowed(chunk: AnyArray, target: npt.DTypeLike) -> AnyArray:
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which Volume refuses
        return chunk.astype(target, copy=False)


def _exactly(file: IO[bytes], n_bytes: int) -> bytes:
    chunk = file.read(n_bytes)
    if len(chunk) < n_bytes:
        raise EOFError("the file ends before its last voxel")
    return chunk


def _require_enough_bytes(path: Path, zipped: bool, n_bytes: int) -> None:
    """Refuse a header that promises more than the file can hold before memory is taken for it."""
    size = path.stat().st_size
    if n_bytes > size * (GZIP_LIMIT if zipped else 1):
        raise EOFError(f"the header promises {n_bytes} bytes of voxels and the file has {size} bytes")


def _rescaled(array: AnyArray, header: Any) -> AnyArray:
    """Slope and intercept applied; integers stay integers where nothing is lost by it."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0 or (slope, intercept) == (1, 0):
        return array
    return rescaled(array, slope, intercept)


def rescaled(array: AnyArray, slope: float, intercept: float) -> AnyArray:
    """`array` * slope + intercept as int16 or int32 when both are whole numbers and it fits, else float32."""
    whole = array.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
    ends = [float(array.min()) * slope + intercept, float(array.max()) * slope + intercept]
    if not whole or not integer_type(min(ends), max(ends)):
        return np.asarray(array.astype(np.float32) * np.float32(slope) + np.float32(intercept))
    result = np.empty(array.shape, dtype=integer_type(min(ends), max(ends)), order="F")
    for k in range(array.shape[2]):
        result[:, :, k] = array[:, :, k].astype(np.int64) * int(slope) + int(intercept)
    return result


def integer_type(low: float, high: float) -> npt.DTypeLike | None:
    """The smaller of int16 and int32 that holds [low, high], or None."""
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return None


def _damaged(path: Path, why: str) -> UnreadableInput:
    return UnreadableInput(
        f"{path.name} is damaged or incomplete",
        got=why or f"{path.stat().st_size} bytes that do not end well",
        wanted="a complete NIfTI file",
        do="Copy or export it again; a transfer probably broke off.",
    )
