"""The image itself, cut through the point of smallest clearance: axial, coronal and sagittal.

Radiological convention: the patient's right on the left of the page, superior or anterior on top. Slices follow the
voxel axes nearest to the patient's; millimetres are equally long in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.measure import find_contours

from liverplan.anatomy import Structure
from liverplan.mesh import Mesh
from liverplan.report.drawing import Canvas
from liverplan.report.figures import SHELL_RGB
from liverplan.volume import AnyArray, FloatArray, Grid, Segmentation, Volume

OVERSAMPLING = 2
CT_WINDOW_HU = (0.0, 200.0)
"""Portal-phase liver window: level 100, width 200."""
OUTLINED = (
    Structure.LIVER,
    Structure.VENA_CAVA,
    Structure.LIVER_VESSELS,
    Structure.HEPATIC_VEINS,
    Structure.PORTAL_VEIN,
    Structure.LESIONS,
)
_LETTERS = {0: ("R", "L"), 1: ("A", "P"), 2: ("I", "S")}
"""Per canonical voxel axis the letters at its start and its end."""


@dataclass(frozen=True)
class Plane:
    """A slice direction: the voxel axis it is stacked along, and those that run right and down on the page."""

    name: str
    across: int
    right: int
    down: int
    flip_down: bool


PLANES = (Plane("axial", 2, 0, 1, False), Plane("coronal", 1, 0, 2, True), Plane("sagittal", 0, 1, 2, True))


@dataclass(frozen=True)
class View:
    """One slice on the page: which one, and how its index coordinates become pixels."""

    plane: Plane
    grid: Grid
    index: int
    centre_mm: tuple[float, float]
    pixels_per_mm: float
    side_px: int

    @classmethod
    def through(cls, plane: Plane, grid: Grid, point_lps_mm: Sequence[float], field_mm: float, side_px: int) -> View:
        """The square view of the slice nearest to a point, with that point in its middle."""
        at = grid.to_index(point_lps_mm)
        index = int(np.clip(round(float(at[plane.across])), 0, grid.shape[plane.across] - 1))
        spacing = grid.spacing_mm
        centre = float(at[plane.right] * spacing[plane.right]), float(at[plane.down] * spacing[plane.down])
        return cls(plane, grid, index, centre, side_px / field_mm, side_px)

    def to_pixel(self, index_points: npt.ArrayLike) -> FloatArray:
        """Index coordinates (..., 3) to pixels (..., 2), x right and y down."""
        points = np.asarray(index_points, dtype=float)
        spacing, plane = self.grid.spacing_mm, self.plane
        x = points[..., plane.right] * spacing[plane.right] - self.centre_mm[0]
        y = points[..., plane.down] * spacing[plane.down] - self.centre_mm[1]
        y = -y if plane.flip_down else y
        return np.stack([x, y], axis=-1) * self.pixels_per_mm + self.side_px / 2

    def slice_of(self, array: AnyArray) -> AnyArray:
        """The slice of a canonical (i, j, k) array, indexed (down, right) in index order."""
        place = tuple(self.index if axis == self.plane.across else slice(None) for axis in range(3))
        cut: AnyArray = array[place]
        return cut.T if self.plane.right < self.plane.down else cut

    def cosine_to_normal(self, witness_lps_mm: npt.ArrayLike) -> float:
        """How far a line leaves the slice: 0 for a line in it, 1 for one seen end-on."""
        start, end = self.grid.to_index(witness_lps_mm) * self.grid.spacing_mm
        length = float(np.linalg.norm(end - start))
        return abs(float((end - start)[self.plane.across])) / length if length > 1e-6 else 0.0

    def letters(self) -> dict[str, str]:
        left, right = _LETTERS[self.plane.right]
        first, last = _LETTERS[self.plane.down]
        top, bottom = (last, first) if self.plane.flip_down else (first, last)
        return {"left": left, "right": right, "top": top, "bottom": bottom}


def slice_canvas(view: View, volume: Volume, segmentation: Segmentation, shell: Mesh | None) -> Canvas:
    """The grey slice with the outlines of all structures and the margin's ring.

    volume and segmentation are canonical (LPS order) and lie on view.grid.
    """
    canvas = Canvas(_grey(view, volume, segmentation), OVERSAMPLING, dark=True)
    if shell is not None and not shell.is_empty:
        canvas.segments(_cut(shell, view), SHELL_RGB, 2.2)
    for structure in OUTLINED:
        if structure in segmentation.masks:
            _outline(canvas, view, segmentation, structure)
    canvas.scale_bar(view.pixels_per_mm)
    canvas.edge_letters(view.letters())
    return canvas


def window_of(volume: Volume, liver: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Grey values shown as black and white: a liver window for CT, the liver's own range for MR."""
    if volume.modality.upper() == "CT":
        return CT_WINDOW_HU
    values = volume.array[liver][::17] if liver.any() else volume.array.ravel()[::997]
    low, high = (float(v) for v in np.percentile(values, (1, 99.5)))
    return low - 0.3 * (high - low), high + 0.1 * (high - low) + 1e-6


def _grey(view: View, volume: Volume, segmentation: Segmentation) -> npt.NDArray[np.uint8]:
    """The slice resampled to square pixels, black outside the image; (side, side, 3), oversampled."""
    low, high = window_of(volume, segmentation.mask(Structure.LIVER))
    cut = view.slice_of(volume.array).astype(np.float32)
    shown = Image.fromarray(((cut - low) / (high - low) * 255).clip(0, 255))
    side = view.side_px * OVERSAMPLING
    # Pixel to index as an affine map: what Pillow asks for. Its pixel centres are at +0.5.
    corner, step = _index_of_pixel(view)
    transform = (step[0], 0.0, corner[0] + 0.5, 0.0, step[1], corner[1] + 0.5)
    grey = shown.transform((side, side), Image.Transform.AFFINE, transform, Image.Resampling.BICUBIC, fillcolor=0)
    pixels = np.asarray(grey).clip(0, 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2)


def _index_of_pixel(view: View) -> tuple[tuple[float, float], tuple[float, float]]:
    """Index (right, down) under the left upper corner of the picture, and per oversampled pixel."""
    spacing, plane = view.grid.spacing_mm, view.plane
    half = view.side_px / 2 / view.pixels_per_mm
    way = -1.0 if plane.flip_down else 1.0
    corner = (view.centre_mm[0] - half) / spacing[plane.right], (view.centre_mm[1] - way * half) / spacing[plane.down]
    pixel_mm = 1.0 / view.pixels_per_mm / OVERSAMPLING
    return corner, (pixel_mm / spacing[plane.right], way * pixel_mm / spacing[plane.down])


def _outline(canvas: Canvas, view: View, segmentation: Segmentation, structure: Structure) -> None:
    labels = view.slice_of(segmentation.masks[structure])
    width = 1.8 if structure is Structure.LIVER else 2.4
    values = [v for v in np.unique(labels) if v] if structure is Structure.LESIONS else [None]
    for value in values:
        mask = labels > 0 if value is None else labels == value
        _draw_contours(canvas, view, mask, structure.info.rgb, width)


def outline(canvas: Canvas, view: View, array: AnyArray, rgb: tuple[int, int, int], width: float) -> None:
    """The outline of a canonical mask (i, j, k) on the view's grid, over what is drawn already."""
    _draw_contours(canvas, view, view.slice_of(array) > 0, rgb, width)


def _draw_contours(
    canvas: Canvas, view: View, mask: npt.NDArray[np.bool_], rgb: tuple[int, int, int], width: float
) -> None:
    for line in _contours(mask):
        canvas.polyline(view.to_pixel(_with_slice(line, view)), rgb, width)


def _contours(mask: npt.NDArray[np.bool_]) -> list[FloatArray]:
    """Outlines (N, 2) as (down, right) index coordinates, slightly rounded; structures of a few voxels are kept."""
    padded = np.pad(mask.astype(np.float32), 2)
    smooth = gaussian_filter(padded, 0.6)
    lines = find_contours(smooth if smooth.max() > 0.55 else padded, 0.5)
    return [line - 2 for line in lines]


def _with_slice(line: FloatArray, view: View) -> FloatArray:
    points = np.empty((len(line), 3))
    points[:, view.plane.down], points[:, view.plane.right] = line[:, 0], line[:, 1]
    points[:, view.plane.across] = view.index
    return points


def _cut(mesh: Mesh, view: View) -> FloatArray:
    """Where a surface crosses the slice: pieces of line in pixels, (N, 2, 2)."""
    corners = view.grid.to_index(mesh.corners_lps_mm)
    height = corners[..., view.plane.across] - view.index
    # A corner exactly in the plane would give a piece of one point; nobody sees the millionth of a voxel.
    height = np.where(np.abs(height) < 1e-6, 1e-6, height)
    starts, ends = (corners, height), (np.roll(corners, -1, axis=1), np.roll(height, -1, axis=1))
    crossed = np.sign(starts[1]) != np.sign(ends[1])
    (a, above), (b, below) = ((points[crossed], heights[crossed]) for points, heights in (starts, ends))
    points = a + (above / (above - below))[:, None] * (b - a)
    return view.to_pixel(points.reshape(-1, 2, 3))
