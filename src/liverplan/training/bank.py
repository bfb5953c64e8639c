"""The label bank: everything that is slow about synthesis, done once. Folder of .npz files, git-ignored.

`locate/*.npz`: labels (uint8, tissue values of `anatomies`) at 3 mm. `segment/*.npz`: the liver and its surroundings at
1.5 mm, with portal and hepatic trees rasterised where `trees` is true.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from liverplan.training import anatomies
from liverplan.training.anatomies import Abdomen, LabelArray
from liverplan.training.vessels import with_vessels
from liverplan.volume import bounding_box

SPACING_MM = 1.5
COMPLETE = "complete"
"""Marks a bank whose anatomies are all there; not every liver fits a trunk."""
HELD_OUT = ("LiTS-000",)
"""Couinaud map of lits0, which validates."""
HOSTS = ("ts_s0327", "ts_s0328", "ts_s0004", "ts_s0001", "ts_s0006")


def save_item(path: Path, **arrays: LabelArray) -> None:
    """Write one bank item whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    part.replace(path)


def prepare(data: Path, bank: Path, seed: int = 1) -> int:
    """Build the bank from the licensed label maps under `data`; items already there are kept. Returns their number."""
    if (bank / COMPLETE).exists():
        return len(list((bank / "segment").glob("*.npz")))
    rng = np.random.default_rng(seed)
    hosts = [anatomies.read_abdomen(data / f"labels/multiorgan/{name}.nii.gz", rng) for name in HOSTS]
    for host in hosts:
        _save_both(bank, host.name, host, None)
    paths = [p for p in sorted((data / "labels/couinaud_lits").glob("*.nii.gz")) if p.name[:8] not in HELD_OUT]
    for number, path in enumerate(paths):
        name = path.name.split(".")[0]
        if (bank / f"segment/{name}.npz").exists():
            continue
        host = hosts[number % 8 if number % 8 < 5 else number % 8 - 5]
        grown = anatomies.transplant(host, anatomies.read_couinaud(path)[0], np.random.default_rng([seed, number]))
        if grown is not None:
            _save_both(bank, name, *grown)
    (bank / COMPLETE).touch()
    return len(list((bank / "segment").glob("*.npz")))


def _save_both(bank: Path, name: str, abdomen: Abdomen, segments: LabelArray | None) -> None:
    save_item(bank / f"locate/{name}.npz", labels=abdomen.labels[::2, ::2, ::2])
    box = around_liver(abdomen.labels, round(66 / abdomen.spacing_mm))
    arrays = {"labels": abdomen.labels[box]}
    if segments is not None:
        arrays["segments"] = segments[box]
    save_item(bank / f"segment/{name}.npz", **arrays)


def grow_vessels(bank: Path, wanted: int, seed: int = 2) -> int:
    """Grow portal and hepatic trees in up to `wanted` livers of `segment/`, into `vessels/`. Returns their number."""
    names = sorted(path.stem for path in (bank / "segment").glob("*.npz"))
    if len(list((bank / "vessels").glob("*.npz"))) >= wanted:
        return wanted
    order = np.random.default_rng(seed).permutation(len(names))
    for number in order:
        done = len(list((bank / "vessels").glob("*.npz")))
        target = bank / f"vessels/{names[number]}.npz"
        if done >= wanted or target.exists():
            continue
        item = np.load(bank / f"segment/{names[number]}.npz")
        segments = item.get("segments", None)
        labels = with_vessels(item["labels"], segments, SPACING_MM, np.random.default_rng([seed, int(number)]))
        if labels is not None and _plausible(labels):
            save_item(target, labels=labels)
    return len(list((bank / "vessels").glob("*.npz")))


def _plausible(labels: LabelArray) -> bool:
    """Both trees fill a share of the liver as in real segmentations (clinical reference 3.3)."""
    liver, portal, hepatic = ((labels == v).sum() for v in (anatomies.LIVER, anatomies.PORTAL_IN, anatomies.HEPATIC))
    return bool(0.006 * liver < portal < 0.06 * liver and 0.008 * liver < hepatic < 0.06 * liver)


def around_liver(labels: LabelArray, margin: int) -> tuple[slice, slice, slice]:
    """Box of the liver grown by `margin` voxels, clipped."""
    return bounding_box(labels == anatomies.LIVER, (margin, margin, margin))
