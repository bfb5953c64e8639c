"""A phantom as a case on disk: image, masks, truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liverplan import __version__
from liverplan.io.folder import MARKER, output_folder, write_json_atomic
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.phantom.patient import Phantom
from liverplan.volume import Grid

Report = Callable[[float, str], None]


def write_phantom(
    phantom: Phantom,
    folder: Path,
    grid: Grid,
    *,
    overwrite: bool = False,
    image: bool = True,
    progress: Report = lambda fraction, stage: None,
) -> dict[str, Any]:
    """Write image.nii.gz, masks/*.nii.gz, truth.json and run.json into `folder`, whole or not at all; return the truth.

    image: False leaves the image out (masks alone suffice to plan). Raises OutputError, ResourceError.
    """
    from liverplan.phantom.appearance import render_image

    with output_folder(Path(folder), overwrite=overwrite) as work:
        progress(0.1, "masks")
        write_segmentation(phantom.segmentation(grid), work / "masks")
        if image:
            progress(0.25, "image")
            write_volume(render_image(phantom, grid), work / "image.nii.gz")
        progress(0.8, "truth")
        truth = {**phantom.truth(), "grid": _grid_facts(grid)}
        write_json_atomic(work / "truth.json", truth)
        write_json_atomic(work / MARKER, _run(phantom, truth))
    return truth


def _grid_facts(grid: Grid) -> dict[str, Any]:
    return {
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "orientation": grid.orientation,
        "origin_lps_mm": list(grid.origin_lps_mm),
    }


def _run(phantom: Phantom, truth: dict[str, Any]) -> dict[str, Any]:
    """What made this folder; its presence lets `--overwrite` replace it."""
    digest = hashlib.sha256(json.dumps(truth, sort_keys=True).encode()).hexdigest()
    return {
        "command": "phantom",
        "software": {"name": "liverplan", "version": __version__},
        "research_use_only": True,
        "seed": phantom.seed,
        "modality": phantom.modality,
        "truth_sha256": digest,
    }
