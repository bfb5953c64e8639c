"""A case as a small picture for lists: liver, vessels, lesions and what the best resection takes, seen from the front.

Drawn from the masks alone: no pixel of the scan is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure

if TYPE_CHECKING:
    from pathlib import Path

    from liverplan.plan import Plan

WIDTH = 132
"""Pixels; the height follows from the liver."""
_RESECTION_RGB = (225, 112, 60)
_LAYERS = (
    (Structure.LIVER, 0.45),
    (Structure.VENA_CAVA, 0.6),
    (Structure.HEPATIC_VEINS, 0.8),
    (Structure.PORTAL_VEIN, 0.8),
    (Structure.LESIONS, 1.0),
)
"""From back to front, with opacity; the resection lies over the liver."""
Mask = npt.NDArray[np.bool_]


def write_thumbnail(plan: Plan, path: Path) -> None:
    """Write the picture of a planned case. Raises OSError."""
    from PIL import Image

    step_i, _, step_k = plan.workspace.grid.spacing_mm
    pixels = shadow_picture(_shadows(plan))
    size = (WIDTH, max(1, round(WIDTH * pixels.shape[0] * step_k / (pixels.shape[1] * step_i))))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    picture.quantize(64).save(path, optimize=True)


def shadow_picture(layers: list[tuple[Mask, tuple[int, int, int], float]]) -> npt.NDArray[np.uint8]:
    """Shadows (i, k) in LPS, from back to front, as an RGB picture: patient's right at the left, head at the top."""
    picture = np.full((*layers[0][0].shape, 3), 255.0)
    for shadow, rgb, opacity in layers:
        picture[shadow] = (1.0 - opacity) * picture[shadow] + opacity * np.array(rgb)
    return np.ascontiguousarray(picture.transpose(1, 0, 2)[::-1].round().astype(np.uint8))


def _shadows(plan: Plan) -> list[tuple[Mask, tuple[int, int, int], float]]:
    """What each mask covers when seen along j (from the front), in the box of the workspace."""
    grid, masks = plan.workspace.grid, plan.segmentation.canonical()
    start = np.rint(masks.grid.to_index(grid.origin_lps_mm)).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, grid.shape, strict=True))
    layers: list[tuple[Mask, tuple[int, int, int], float]] = []
    for structure, opacity in _LAYERS:
        if masks.has(structure):
            layers.append((np.asarray((masks.mask(structure)[box] > 0).any(axis=1)), structure.info.rgb, opacity))
        if structure is Structure.LIVER and plan.resections:
            layers.append((np.asarray(plan.resections[0].specimen.any(axis=1), dtype=bool), _RESECTION_RGB, 0.4))
    return layers
