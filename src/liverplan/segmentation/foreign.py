"""Models that have no registry: a folder is looked at, and becomes a model with the hashes that its files have now."""

from __future__ import annotations

from pathlib import Path

from liverplan.segmentation.models import Kind, Model, Stage, file_sha256

UNKNOWN_LICENCE = "not stated; see the model's own folder"


def foreign_model(name: str) -> Model | None:
    """The tool of that name, or what the folder (or mask file) of that name holds; None for nothing known."""
    from liverplan.segmentation.backends import monai_bundle, nnunet, totalsegmentator

    if name == totalsegmentator.NAME:
        return totalsegmentator.tool_model()
    path = Path(name)
    if nnunet.is_folder(path):
        return _one(path, Kind.NNUNET, nnunet.files_of(path), "nnU-Net v2 model")
    if monai_bundle.is_bundle(path):
        return _one(path, Kind.MONAI_BUNDLE, monai_bundle.files_of(path), "MONAI bundle")
    masks = _mask_files(path)
    if masks:
        home = path if path.is_dir() else path.parent
        stage = Stage(path, {file: file_sha256(home / file) for file in masks})
        return Model(path.name, "masks", "", "any", UNKNOWN_LICENCE, (), {"all": stage}, Kind.MASKS)
    return None


def _one(path: Path, kind: Kind, files: tuple[str, ...], what: str) -> Model:
    from liverplan.segmentation.backends.labels import MAPPING_FILE

    if (path / MAPPING_FILE).is_file():
        files = (*files, MAPPING_FILE)
    stage = Stage(path, {file: file_sha256(path / file) for file in files})
    return Model(path.resolve().name, what, "", "CT or MR", UNKNOWN_LICENCE, (), {"all": stage}, kind)


def _mask_files(path: Path) -> list[str]:
    """Names of mask files, when the path holds a liver or is a single file of masks."""
    from liverplan.io.images import FILE_SUFFIXES

    if path.is_file():
        return [path.name] if path.name.lower().endswith((*FILE_SUFFIXES, ".dcm")) else []
    if not path.is_dir() or not any((path / f"liver{suffix}").is_file() for suffix in FILE_SUFFIXES):
        return []
    return sorted(f.name for f in path.iterdir() if f.name.lower().endswith(FILE_SUFFIXES))
