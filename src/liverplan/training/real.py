"""Real scans with licences that allow training, and patches cut from them.

Their labels name fewer structures than the network has; the target codes of `losses` say what is known. lits0, the
one whole liver in the portal phase, either validates or is learnt from.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.segmentation.intensity import FloatVolume, scaled
from liverplan.training import losses
from liverplan.training.anatomies import LabelArray, read_canonical
from liverplan.training.appearance_mr import seen_as_mr
from liverplan.training.fields import rotation, smooth_noise
from liverplan.training.lesions import with_drawn_lesions
from liverplan.training.synthesis import Patch, Recipe, as_mr, patch_centre

LITS117_SPACING_MM = 1.4
"""Not known: chosen so that the crop's liver has an ordinary volume. Appearance only, nothing is measured on it."""

_OUTSIDE_HU = -1000.0


@dataclass(frozen=True)
class RealScan:
    """HU and target codes on an isotropic grid, canonical."""

    name: str
    hounsfield: FloatVolume
    codes: LabelArray


def read_real_scans(data: Path, stage: str, spacing_mm: float) -> list[RealScan]:
    """The training-licensed scans at `spacing_mm`."""
    scans = [
        _scan(data, f"amos_slabs/{name}_ct.nii.gz", f"amos_slabs/{name}_label.nii.gz", 6, 9, spacing_mm)
        for name in ("amos_0001", "amos_0013")
    ]
    scans.append(
        _scan(data, "totalseg_examples/example_ct_sm.nii.gz", "totalseg_examples/example_seg.nii.gz", 5, 63, spacing_mm)
    )
    scans.append(_scan(data, "totalseg_s0009/ct.nii.gz", "labels/multiorgan/ts_s0009.nii.gz", 1, 9, spacing_mm))
    if stage == "segment":
        scans.append(_lits117(data, spacing_mm))
    return [scan if stage == "segment" else _liver_only(scan) for scan in scans]


def _scan(data: Path, image: str, labels: str, liver: int, cava: int, spacing_mm: float) -> RealScan:
    array, spacing = read_canonical(data / image)
    truth, _ = read_canonical(data / labels)
    codes = np.full(truth.shape, losses.NOT_LIVER_NOT_CAVA, dtype=np.uint8)
    codes[truth == liver] = losses.LIVER_OR_INSIDE
    codes[truth == cava] = 5
    return resampled(image, array.astype(np.float32), codes, spacing, spacing_mm)


def _lits117(data: Path, spacing_mm: float) -> RealScan:
    with gzip.open(data / "lits117/img_117.npy.gz") as image_file, gzip.open(data / "lits117/lab_117.npy.gz") as file:
        image, truth = np.load(image_file), np.load(file)
    codes = np.full(truth.shape, losses.NOT_LIVER, dtype=np.uint8)
    codes[truth == 1] = losses.HEALTHY_OR_VESSEL
    codes[truth == 2] = 2
    return resampled("lits117", image.astype(np.float32), codes, (LITS117_SPACING_MM,) * 3, spacing_mm)


def resampled(
    name: str, image: FloatVolume, codes: LabelArray, spacing: tuple[float, float, float], spacing_mm: float
) -> RealScan:
    """An image and its codes on an isotropic grid."""
    factor = np.array(spacing) / spacing_mm
    blurred = ndimage.gaussian_filter(image, np.maximum(0.35 / factor - 0.35, 0))
    return RealScan(
        name,
        ndimage.zoom(blurred, factor, order=1, grid_mode=True, mode="nearest"),
        ndimage.zoom(codes, factor, order=0, grid_mode=True, mode="nearest"),
    )


def _liver_only(scan: RealScan) -> RealScan:
    liver = (scan.codes == losses.LIVER_OR_INSIDE).astype(np.uint8)
    return RealScan(scan.name, scan.hounsfield, liver)


def cut_real_patch(scan: RealScan, recipe: Recipe, rng: np.random.Generator, with_lesions: float = 0.0) -> Patch:
    """A patch around a random place, rotated, scaled, its contrast and brightness varied; air where the scan ends.

    For an MR recipe the CT is shown in a drawn MR contrast. with_lesions: the chance that lesions are drawn into it.
    """
    liver = np.isin(scan.codes, (1, 2, losses.LIVER_OR_INSIDE, losses.HEALTHY_OR_VESSEL))
    body = (scan.hounsfield > -300).astype(np.uint8) * 2
    centre = patch_centre(np.where(liver, np.uint8(1), body), recipe, rng)
    matrix = rotation(rng.normal(0.0, np.radians(7.0), 3)) * rng.uniform(0.85, 1.2, 3)
    axes = [np.arange(n) - (n - 1) / 2 for n in recipe.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    where = np.tensordot(matrix, grid, axes=1) + centre[:, None, None, None]
    where += rng.uniform(0, 3) * np.stack([smooth_noise(recipe.shape, 25.0, rng) for _ in range(3)])
    image = ndimage.map_coordinates(scan.hounsfield, where, order=1, cval=_OUTSIDE_HU)
    codes = ndimage.map_coordinates(scan.codes, where, order=0, cval=0).astype(np.uint8)
    if rng.random() < with_lesions:
        image, codes = _with_lesions(image, codes, recipe, rng)
    if recipe.modality == "MR":
        smooth = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.0))  # a curve that goes up and down magnifies noise
        shown = as_mr(seen_as_mr(smooth, rng), image <= _OUTSIDE_HU, recipe, rng)
    else:
        shown = scaled(_relit(image, rng))
    return Patch(shown, codes)


def _with_lesions(
    image: FloatVolume, codes: LabelArray, recipe: Recipe, rng: np.random.Generator
) -> tuple[FloatVolume, LabelArray]:
    """Lesions drawn into the part of the liver of which no reader said what it is."""
    healthy = np.isin(codes, (losses.LIVER_OR_INSIDE, losses.HEALTHY_OR_VESSEL))
    drawn, lesions = with_drawn_lesions(image, healthy, recipe.max_lesions, recipe.spacing_mm, rng)
    return drawn, np.where(lesions, np.uint8(2), codes)


def _relit(image: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    noise = rng.uniform(0, 12) * rng.standard_normal(image.shape)
    return np.asarray(image * rng.uniform(0.85, 1.15) + rng.uniform(-20, 25) + noise, dtype=np.float32)


def read_validation(data: Path, spacing_mm: float) -> tuple[FloatVolume, npt.NDArray[np.bool_]]:
    """lits0 at `spacing_mm`: HU and the whole liver."""
    scan = _lits0(data, 0, 1, spacing_mm)
    return scan.hounsfield, scan.codes > 0


def read_whole_scan(data: Path, stage: str, spacing_mm: float) -> RealScan:
    """lits0 to learn from: its liver, not what lies in it."""
    if stage == "locate":
        return _lits0(data, 0, 1, spacing_mm)
    return _lits0(data, losses.NOT_LIVER, losses.LIVER_OR_INSIDE, spacing_mm)


def _lits0(data: Path, outside: int, liver: int, spacing_mm: float) -> RealScan:
    image, spacing = read_canonical(data / "lits0/ct.nii.gz")
    couinaud, _ = read_canonical(data / "lits0/couinaud.nii.gz")
    codes = np.where(couinaud > 0, np.uint8(liver), np.uint8(outside))
    return resampled("lits0", image.astype(np.float32), codes, spacing, spacing_mm)
