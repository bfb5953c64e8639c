"""NRRD and MetaImage through SimpleITK, after a look at what their text headers really say.

ITK invents a spacing of 1 mm and an identity orientation where the header is silent, folds a negative spacing into the
direction, and ignores units: all three are refused here.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.errors import GeometryError, UnreadableInput
from liverplan.io.nifti import GZIP_LIMIT, require_spacing, require_three_axes
from liverplan.volume import AnyArray, FloatArray, Grid, Volume

_HEADER_LIMIT = 1 << 20


_ROWS = ("dimsize", "elementspacing", "elementsize", "offset", "position", "origin", "centerofrotation")
_MATRICES = ("transformmatrix", "rotation", "orientation")
"""Fields of a MetaImage with a number per dimension, and with one per pair of them."""
_SAID_ONCE = frozenset(
    (*_ROWS, *_MATRICES, "ndims", "dimension", "sizes", "elementnumberofchannels", "elementdatafile", "data file")
)
_SAME_FIELD = {"datafile": "data file"}
"""Second spellings of NRRD that ITK obeys as well."""
_MOST_DIMENSIONS = 10
_LONGEST_NAME = 255
_LEAST_SHARE = {"raw": 1, "gzip": GZIP_LIMIT, "gz": GZIP_LIMIT, "ascii": 1, "text": 1, "txt": 1}
"""How many voxels a byte of the file can hold at most, by a NRRD's encoding; the others pack without a limit."""


@dataclass(frozen=True)
class Layers:
    """What a NRRD or MetaImage file holds: (i, j, k, layer) values, their affine and the header's key-value pairs."""

    array: AnyArray
    affine: FloatArray
    keys: Mapping[str, str]


def read_itk(path: Path) -> Volume:
    """Read one 3D NRRD or MetaImage file; modality "unknown", facts: sha256 of the file(s).

    Raises UnreadableInput (not such a file, truncated, corrupt, colour, complex) and GeometryError (not 3D, no usable
    spacing or orientation, NaN).
    """
    layers = read_layers(path)
    if layers.array.shape[3] != 1:
        raise UnreadableInput(
            f"{path.name} is not a scan",
            got=f"{layers.array.shape[3]} numbers per voxel (colours, vectors or a time series)",
            wanted="one number per voxel (Hounsfield units or MR signal)",
            do="Export the scan itself, one phase of it.",
        )
    array = layers.array[..., 0]
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which Volume refuses
            array = array.astype(np.float32)
    shape = require_three_axes(array.shape, path.name)
    return Volume(Grid(shape, layers.affine), array, "unknown", {"sha256": _sha256(path)})


def read_layers(path: Path) -> Layers:
    """Read a NRRD or MetaImage file with any number of values per voxel. Raises UnreadableInput, GeometryError."""
    import SimpleITK as sitk

    fields = header_fields(path)
    _require_counts(path, fields)
    _require_stated_geometry(path, fields)
    data = fields.get("elementdatafile") or fields.get("data file") or "LOCAL"
    if data.lower() != "local":
        _beside(path, data)
    _require_whole_stream(path, fields)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _require_real_3d(path, reader)
        _require_enough_bytes(path, fields, reader)
        image = reader.Execute()
    except RuntimeError as error:
        raise UnreadableInput(
            f"{path.name} cannot be read",
            got=_last_line(error),
            wanted="a complete NRRD or MetaImage file",
            do="Copy or export it again; a transfer probably broke off.",
        ) from error
    values = np.array(sitk.GetArrayViewFromImage(image))
    n_layers = image.GetNumberOfComponentsPerPixel()
    spatial = values.reshape((*values.shape[-3 - (n_layers > 1) :][:3], n_layers))
    # A key that is no UTF-8 comes out of ITK and does not go in again; none of ours is.
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.isprintable()}
    return Layers(spatial.transpose(2, 1, 0, 3), affine_of(image), keys)


def affine_of(image: Any) -> FloatArray:
    """The affine (index to LPS mm) of the first three axes of a SimpleITK image: ITK's world is LPS."""
    n = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(n, n)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine


def header_fields(path: Path) -> dict[str, str]:
    """The text header as lower-case keys and values; `:=` pairs of NRRD are left to ITK."""
    with path.open("rb") as file:
        raw = file.read(_HEADER_LIMIT)
    end = re.search(rb"\r?\n\r?\n" if raw.startswith(b"NRRD") else rb"ElementDataFile[^\n]*\n?", raw)
    text = raw[: end.end() if end else len(raw)].decode("latin-1")
    is_nrrd = text.startswith("NRRD")
    if not end and not is_nrrd:
        raise UnreadableInput(
            f"{path.name} is not a NRRD or MetaImage file",
            got=f"{path.stat().st_size} bytes without such a header",
            wanted="the format that its name ends with",
            do="Check what was exported; a renamed file of another format is not converted.",
        )
    pairs = (line.split(":" if is_nrrd else "=", 1) for line in text.splitlines() if line[:1] != "#")
    fields: dict[str, str] = {}
    for key, value in ((p[0].strip().lower(), p[1].strip()) for p in pairs if len(p) == 2 and p[1][:1] != "="):
        key = _SAME_FIELD.get(key, key)
        if key in fields and key in _SAID_ONCE:
            raise UnreadableInput(
                f"the header of {path.name} is damaged",
                got=f"{key} twice",
                wanted="every field once",
                do="Copy or export the file again.",
            )
        fields[key] = value
    return fields


def _require_counts(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse a header whose rows do not fit its dimensions: ITK writes past its arrays then, and ends the program."""
    of_nrrd = "dimension" in fields or "sizes" in fields
    text = fields.get("dimension" if of_nrrd else "ndims", "")
    n = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    wanted = {"sizes": n} if of_nrrd else {key: n**2 if key in _MATRICES else n for key in (*_ROWS, *_MATRICES)}
    wrong = next((key for key, count in wanted.items() if key in fields and len(fields[key].split()) != count), None)
    channels = fields.get("elementnumberofchannels", "1")
    if not 1 <= n <= _MOST_DIMENSIONS:
        got = f"{text[:20] or 'no'} dimensions"
    elif wrong is not None:
        got = f"{len(fields[wrong].split())} numbers for {wrong}, in {n} dimensions"
    elif not (channels.isascii() and channels.isdigit() and len(channels) < 4):
        got = f"{channels[:20]} channels"
    else:
        return
    raise UnreadableInput(
        f"the header of {path.name} is damaged",
        got=got,
        wanted="a NRRD or MetaImage header as programs write it",
        do="Copy or export the file again.",
    )


def _require_stated_geometry(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse what ITK would fill in or fold away without a word."""
    told = (fields.get("sizes") or fields.get("dimsize") or "").split()
    sizes = tuple(int(s) for s in told if s.isascii() and s.isdigit())
    if len(sizes) == 2 or (len(sizes) > 3 and sizes[-1] != 1 and "space" not in fields):
        require_three_axes(sizes, path.name)
    spacing = fields.get("elementspacing") or fields.get("elementsize") or fields.get("spacings")
    if spacing:
        require_spacing(tuple(_number(s) for s in spacing.split()[:3]), path.name)
    units = set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) - {"mm", "millimeter", "millimeters", ""}
    if units:
        raise GeometryError(
            f"the lengths in {path.name} are not millimetres",
            got=", ".join(sorted(units)),
            wanted="millimetres",
            do="Store the image in millimetres.",
        )
    nrrd_frame = fields.get("space", "").lower() in _NRRD_SPACES and "space directions" in fields
    if not nrrd_frame and "elementspacing" not in fields and "elementsize" not in fields:
        raise GeometryError(
            f"{path.name} does not say where its voxels are in the patient",
            got="a header without spacing or orientation",
            wanted="ElementSpacing (MetaImage), or space and space directions (NRRD)",
            do="Export it again from the program that knows the scan (3D Slicer writes both).",
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


_NRRD_SPACES = ("left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las")


def _require_whole_stream(path: Path, fields: Mapping[str, str]) -> None:
    """Check the zlib stream of a compressed MetaImage: ITK returns a damaged one as if it were whole."""
    if fields.get("compresseddata", "").lower() != "true":
        return
    data = fields.get("elementdatafile", "LOCAL")
    source = path if data.lower() == "local" else _beside(path, data)
    unzip = zlib.decompressobj()
    try:
        with source.open("rb") as file:
            if source == path:
                head = file.read(_HEADER_LIMIT)
                found = re.search(rb"ElementDataFile[^\n]*\n", head)
                file.seek(found.end() if found else 0)
            while not unzip.eof and (chunk := file.read(1 << 20)):
                unzip.decompress(chunk)
    except (zlib.error, OSError) as error:
        raise _damaged(path, str(error)) from error
    if not unzip.eof:
        raise _damaged(path, "compressed voxels that end too early")


def _beside(path: Path, data: str) -> Path:
    """The file of voxels that a header names: one plain name beside it, because headers come from strangers."""
    beside = path.parent / data
    if len(os.fsencode(data)) > _LONGEST_NAME or Path(data).name != data or not beside.is_file():
        raise UnreadableInput(
            f"the voxels of {path.name} are not beside it",
            got=repr(data[:200]),
            wanted="one file in the same folder as the header",
            do="Copy both files, or export as .nrrd or .mha (one file).",
        )
    return beside


def _require_real_3d(path: Path, reader: Any) -> None:
    import SimpleITK as sitk

    size = list(reader.GetSize())
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    require_three_axes(tuple(size), path.name)
    if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise UnreadableInput(
            f"{path.name} is not a scan",
            got="complex numbers",
            wanted="one number per voxel (Hounsfield units or MR signal)",
            do="Export the magnitude image.",
        )


def _require_enough_bytes(path: Path, fields: Mapping[str, str], reader: Any) -> None:
    """Refuse a header that promises more than its file can hold: ITK makes room for the promise before it reads."""
    packing = _LEAST_SHARE.get(fields.get("encoding", "raw").lower())
    if fields.get("compresseddata", "").lower() == "true":
        packing = GZIP_LIMIT
    if packing is None:
        return
    data = fields.get("elementdatafile") or fields.get("data file") or "LOCAL"
    size = (path if data.lower() == "local" else _beside(path, data)).stat().st_size
    promised = reader.GetNumberOfComponents() * math.prod(reader.GetSize())  # of a byte or more each
    if promised > size * packing:
        raise _damaged(path, f"a header that promises {promised} voxels and a file of {size} bytes")


def _sha256(path: Path) -> str:
    """Over the header file and, when its voxels lie in a second file, over that too."""
    digest = hashlib.sha256(path.read_bytes())
    data = header_fields(path).get("elementdatafile") or header_fields(path).get("data file") or "LOCAL"
    if data.lower() != "local":
        digest.update(_beside(path, data).read_bytes())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> UnreadableInput:
    return UnreadableInput(
        f"{path.name} is damaged or incomplete",
        got=why,
        wanted="a complete file",
        do="Copy or export it again; a transfer probably broke off.",
    )


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "an unreadable file"
