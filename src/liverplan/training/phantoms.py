"""The project's own phantoms as training scans: every structure exactly labelled, whole vessel trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liverplan.anatomy import Structure
from liverplan.training.bank import save_item
from liverplan.training.real import RealScan, resampled

FIRST_SEED = 9001
"""Far from the seeds that a demo or a benchmark uses."""
SPACING_MM = 1.5
_CODES = {
    Structure.LIVER: 1,
    Structure.VENA_CAVA: 5,
    Structure.HEPATIC_VEINS: 4,
    Structure.PORTAL_VEIN: 3,
    Structure.LESIONS: 2,
}


def render_phantoms(bank: Path, wanted: int) -> int:
    """Render `wanted` phantoms into `phantoms/` of the bank; those already there are kept. Returns their number."""
    from liverplan.phantom.patient import default_grid, make_phantom

    grid = default_grid((SPACING_MM,) * 3)
    for number in range(wanted):
        path = bank / f"phantoms/{FIRST_SEED + number}.npz"
        if path.exists():
            continue
        volume, masks = make_phantom(FIRST_SEED + number, n_lesions=1 + number % 5).render(grid)
        codes = np.zeros(grid.shape, dtype=np.uint8)
        for structure, code in _CODES.items():
            codes[masks.mask(structure)] = code
        save_item(path, hounsfield=volume.array.astype(np.int16), codes=codes)
    return wanted


def read_phantoms(bank: Path, spacing_mm: float) -> list[RealScan]:
    """The bank's phantoms at `spacing_mm`; none when they were not rendered."""
    scans = []
    for path in sorted((bank / "phantoms").glob("*.npz")):
        item = np.load(path)
        image = item["hounsfield"].astype(np.float32)
        scans.append(resampled(f"phantom {path.stem}", image, item["codes"], (SPACING_MM,) * 3, spacing_mm))
    return scans
