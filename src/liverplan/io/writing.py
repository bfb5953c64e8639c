"""Images and masks out, on the input's own grid and affine, so that they open on top of the image in any viewer."""

from __future__ import annotations

from pathlib import Path

from liverplan.io.folder import writing
from liverplan.io.nifti import write_nifti
from liverplan.io.slicer import write_slicer
from liverplan.volume import AnyArray, Grid, Segmentation, Volume


def write_volume(volume: Volume, path: Path) -> Path:
    """Write `volume` as NIfTI (.nii or .nii.gz). Raises OutputError, ResourceError."""
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"volumes are written as .nii or .nii.gz, got {path.name}")
    write_nifti(path, volume.grid, volume.array)
    return path


def write_segmentation(segmentation: Segmentation, folder: Path) -> list[Path]:
    """Write one NAME.nii.gz per structure (uint8, the grid's affine) and return the paths.

    `folder` is made when absent. Raises OutputError, ResourceError.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for structure, mask in segmentation.masks.items():
        path = folder / f"{structure.value}.nii.gz"
        write_nifti(path, segmentation.grid, mask)
        paths.append(path)
    return paths


def write_mask(mask: AnyArray, grid: Grid, path: Path) -> Path:
    """Write one mask (i, j, k; uint8) as NIfTI; its folder is made when absent. Raises OutputError, ResourceError."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, grid, mask)
    return path


def write_slicer_segmentation(segmentation: Segmentation, path: Path) -> Path:
    """Write all structures as one 3D Slicer segmentation (.seg.nrrd). Raises OutputError, ResourceError."""
    return write_slicer(segmentation, Path(path))
