"""A synthetic patient: shapes in a body frame, rendered onto any grid, with the truth beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.phantom.lesions import LesionRequest, place_lesions, random_requests
from liverplan.phantom.organs import LIVER_ML, liver_outline, sized
from liverplan.phantom.shapes import Blob, Shape
from liverplan.phantom.trees import Tree
from liverplan.phantom.vasculature import MURRAY_EXPONENT, Vasculature, grow_vasculature
from liverplan.volume import Grid, Segmentation, Volume

DEFAULT_SPACING_MM = (0.9, 0.9, 1.25)
FIELD_OF_VIEW_MM = (360.0, 288.0, 250.0)
CENTRE_LPS_MM = (0.0, 18.0, -2.0)
"""Where the default field of view is centred: the whole liver, lung bases above, kidneys below."""


@dataclass(frozen=True)
class Phantom:
    """Shapes of one patient (LPS mm) and what its image looks like.

    liver: the whole organ with lesions and intrahepatic vessels, the vena cava's tube taken out of it (a vein in the
    liver's bed is not liver). portal, hepatic, vena_cava: lumens. lesions: solids inside the liver, disjoint.
    """

    liver: Shape
    portal: Tree
    hepatic: Tree
    vena_cava: Tree
    lesions: tuple[Blob, ...]
    modality: str = "CT"
    seed: int = 0
    noise: float | None = None
    """Standard deviation of the image's noise (HU; for MR in percent of liver signal); None draws a usual one."""
    facts: dict[str, Any] = field(default_factory=dict)

    def tree(self, structure: Structure) -> Tree:
        """The lumen of a vessel structure. Raises KeyError for what is not a vessel."""
        return {
            Structure.PORTAL_VEIN: self.portal,
            Structure.HEPATIC_VEINS: self.hepatic,
            Structure.VENA_CAVA: self.vena_cava,
        }[structure]

    def segmentation(self, grid: Grid) -> Segmentation:
        """Masks of the shapes: voxels whose centre lies inside. A lesion has the value of its number, from 1."""
        from liverplan.phantom.rendering import render_masks

        return render_masks(self, grid)

    def render(self, grid: Grid) -> tuple[Volume, Segmentation]:
        """The image and the masks on one grid."""
        from liverplan.phantom.appearance import render_image

        segmentation = self.segmentation(grid)
        return render_image(self, grid), segmentation

    def truth(self, log2_points: int = 17) -> dict[str, Any]:
        """Every number that a plan of this patient should find; see `liverplan.phantom.truth`."""
        from liverplan.phantom.truth import truth_of

        return truth_of(self, log2_points)


DEMO_LESIONS = (
    LesionRequest(25.0, Structure.PORTAL_VEIN, 9.4, (0.9, 0.82), branch_mm=6.0),
    LesionRequest(18.0, Structure.LIVER, 1.0),
    LesionRequest(14.0, Structure.HEPATIC_VEINS, 5.4, (0.95, 0.85)),
)
"""The demo patient: one lesion beside a portal branch, one under the capsule, one beside a hepatic vein.

The distances are no whole millimetres: a row of the margin curve at exactly the margin where a branch is divided would
hang on the last digit.
"""


def make_phantom(
    seed: int = 0,
    *,
    modality: str = "CT",
    n_lesions: int | None = None,
    requests: tuple[LesionRequest, ...] | None = None,
    liver_ml: float | None = None,
    noise: float | None = None,
    murray_exponent: float = MURRAY_EXPONENT,
) -> Phantom:
    """A patient, the same for the same arguments.

    n_lesions: the first so many of the demo's lesions, then random ones; None for the demo's three.
    requests: the lesions themselves, instead. liver_ml: wanted liver volume (drawn between 1000 and 1900 when None).
    Raises ValueError when the liver has no room for the lesions.
    """
    if modality not in ("CT", "MR"):
        raise ValueError(f"modality is 'CT' or 'MR', got {modality!r}")
    rng = np.random.default_rng(seed)
    wanted_ml = float(np.clip(rng.normal(1450.0, 220.0), *LIVER_ML)) if liver_ml is None else liver_ml
    outline = sized(liver_outline(rng), wanted_ml)
    vessels = grow_vasculature(outline, rng, murray_exponent)
    if requests is None:
        requests = usual_lesions(len(DEMO_LESIONS) if n_lesions is None else n_lesions, seed)
    vessels, lesions = _placed(vessels, requests, seed)
    return Phantom(vessels.liver, vessels.portal, vessels.hepatic, vessels.vena_cava, lesions, modality, seed, noise)


def usual_lesions(count: int, seed: int) -> tuple[LesionRequest, ...]:
    """The first of the demo's lesions, then random ones."""
    extra = max(count - len(DEMO_LESIONS), 0)
    return DEMO_LESIONS[:count] + random_requests(extra, np.random.default_rng((seed, 3)))


def default_grid(
    spacing_mm: tuple[float, float, float] = DEFAULT_SPACING_MM,
    shape: tuple[int, int, int] | None = None,
    orientation: str = "LPS",
) -> Grid:
    """A grid centred on the liver, over the abdomen's field of view unless `shape` is given.

    shape and spacing belong to the voxel axes in their stored order. orientation: three letters, the directions that
    i, j and k travel in. Raises ValueError for letters that are not one of L/R, P/A and S/I each.
    """
    letters = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    axes = [letters.get(letter, (-1, 0)) for letter in orientation]
    if sorted(axis for axis, _ in axes) != [0, 1, 2]:
        raise ValueError(f"an orientation has one letter each of L/R, P/A and S/I, got {orientation!r}")
    if shape is None:
        i, j, k = (round(FIELD_OF_VIEW_MM[axis] / step) for (axis, _), step in zip(axes, spacing_mm, strict=True))
        shape = (i, j, k)
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for column, ((axis, sign), step) in enumerate(zip(axes, spacing_mm, strict=True)):
        affine[axis, column] = sign * step
    affine[:3, 3] = np.array(CENTRE_LPS_MM) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _placed(
    vessels: Vasculature, requests: tuple[LesionRequest, ...], seed: int
) -> tuple[Vasculature, tuple[Blob, ...]]:
    """Lesions placed; another draw of places when the first has no room."""
    attempts = 12
    for attempt in range(attempts):
        try:
            return place_lesions(vessels, requests, np.random.default_rng((seed, attempt)))
        except ValueError:
            if attempt == attempts - 1:
                raise
    raise AssertionError("unreachable")
