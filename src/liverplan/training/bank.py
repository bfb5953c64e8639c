"""The label bank: everything that is slow about synthesis, done once. Folder of .npz files, git-ignored.

`locate/*.npz`: labels (uint8, tissue values of `anatomies`) at 3 mm. `segment/*.npz`: the liver and its surroundings at
1.5 mm. `vessels/*.npz`: the same with portal and hepatic trees grown in them; `NAME.none` where none would grow.
`real_veins/*.npz`: the same with the veins that readers drew. `phantoms/*.npz`: the project's own patients.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
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


def prepare(data: Path, bank: Path, seed: int = 1, jobs: int = 1) -> int:
    """Build the bank from the licensed label maps under `data`; items already there are kept. Returns their number.

    jobs: processes. The result does not depend on it.
    """
    if (bank / COMPLETE).exists():
        return len(list((bank / "segment").glob("*.npz")))
    rng = np.random.default_rng(seed)
    hosts = [anatomies.read_abdomen(data / f"labels/multiorgan/{name}.nii.gz", rng) for name in HOSTS]
    for host in hosts:
        _save_both(bank, host.name, host, None)
    paths = [p for p in sorted((data / "labels/couinaud_lits").glob("*.nii.gz")) if p.name[:8] not in HELD_OUT]
    with _workers(jobs) as pool:
        tasks = [
            pool.submit(
                _transplant_one, bank, hosts[number % 8 if number % 8 < 5 else number % 8 - 5], path, seed, number
            )
            for number, path in enumerate(paths)
        ]
        for task in tasks:
            task.result()
    (bank / COMPLETE).touch()
    return len(list((bank / "segment").glob("*.npz")))


def _workers(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _transplant_one(bank: Path, host: Abdomen, path: Path, seed: int, number: int) -> None:
    name = path.name.split(".")[0]
    if (bank / f"segment/{name}.npz").exists():
        return
    grown = anatomies.transplant(host, anatomies.read_couinaud(path)[0], np.random.default_rng([seed, number]))
    if grown is not None:
        _save_both(bank, name, *grown)


def _save_both(bank: Path, name: str, abdomen: Abdomen, segments: LabelArray | None) -> None:
    save_item(bank / f"locate/{name}.npz", labels=abdomen.labels[::2, ::2, ::2])
    box = around_liver(abdomen.labels, round(66 / abdomen.spacing_mm))
    arrays = {"labels": abdomen.labels[box]}
    if segments is not None:
        arrays["segments"] = segments[box]
    save_item(bank / f"segment/{name}.npz", **arrays)


def grow_vessels(bank: Path, wanted: int, seed: int = 2, jobs: int = 1) -> int:
    """Grow portal and hepatic trees in the first `wanted` livers, in random order, of `segment/`, into `vessels/`.

    Livers that offer no hilum or whose trees are not plausible are passed over. Returns how many have vessels.
    """
    names = sorted(path.stem for path in (bank / "segment").glob("*.npz"))
    order = np.random.default_rng(seed).permutation(len(names))[:wanted]
    with _workers(jobs) as pool:
        for task in [pool.submit(_grow_one, bank, names[number], seed, int(number)) for number in order]:
            task.result()
    return len(list((bank / "vessels").glob("*.npz")))


def _grow_one(bank: Path, name: str, seed: int, number: int) -> None:
    target = bank / f"vessels/{name}.npz"
    tried = target.with_suffix(".none")
    if target.exists() or tried.exists():
        return
    item = np.load(bank / f"segment/{name}.npz")
    rng = np.random.default_rng([seed, number])
    labels = with_vessels(item["labels"], item.get("segments", None), SPACING_MM, rng)
    target.parent.mkdir(parents=True, exist_ok=True)
    if labels is not None and _plausible(labels):
        save_item(target, labels=labels)
    else:
        tried.touch()


def add_real_veins(data: Path, bank: Path, seed: int = 3, jobs: int = 1) -> int:
    """Livers with the veins that readers drew in them, portal and hepatic not apart, into `real_veins/`.

    Only livers that also have a Couinaud map, which places them in a trunk. Returns their number.
    """
    marker = bank / "real_veins" / COMPLETE
    if marker.exists():
        return len(list(marker.parent.glob("*.npz")))
    rng = np.random.default_rng(seed)
    hosts = [anatomies.read_abdomen(data / f"labels/multiorgan/{name}.nii.gz", rng) for name in HOSTS]
    with _workers(jobs) as pool:
        tasks = [
            pool.submit(_real_veins_one, bank, hosts[number % len(hosts)], veins, couinaud, seed, number)
            for number, (veins, couinaud) in enumerate(_with_veins(data))
        ]
        for task in tasks:
            task.result()
    marker.touch()
    return len(list(marker.parent.glob("*.npz")))


def _with_veins(data: Path) -> list[tuple[Path, Path]]:
    pairs = []
    for path in sorted((data / "labels/vessel_lits").glob("LiTS-*.nii.gz")):
        couinaud = data / f"labels/couinaud_lits/LiTS-{int(path.name[5:].split('.')[0]):03d}.nii.gz"
        if couinaud.exists() and couinaud.name[:8] not in HELD_OUT:
            pairs.append((path, couinaud))
    return pairs


def _real_veins_one(bank: Path, host: Abdomen, path: Path, couinaud: Path, seed: int, number: int) -> None:
    target = bank / f"real_veins/{couinaud.name.split('.')[0]}.npz"
    if target.exists():
        return
    segments, veins = anatomies.read_couinaud(couinaud)[0], anatomies.read_veins(path, couinaud)
    grown = anatomies.transplant(host, segments, np.random.default_rng([seed, number]), veins)
    if grown is not None:
        abdomen = grown[0]
        save_item(target, labels=abdomen.labels[around_liver(abdomen.labels, round(66 / abdomen.spacing_mm))])


def _plausible(labels: LabelArray) -> bool:
    """Both trees fill a share of the liver as in real segmentations (clinical reference 3.3)."""
    liver, portal, hepatic = ((labels == v).sum() for v in (anatomies.LIVER, anatomies.PORTAL_IN, anatomies.HEPATIC))
    return bool(0.006 * liver < portal < 0.06 * liver and 0.008 * liver < hepatic < 0.06 * liver)


def around_liver(labels: LabelArray, margin: int) -> tuple[slice, slice, slice]:
    """Box of the liver grown by `margin` voxels, clipped."""
    return bounding_box(labels == anatomies.LIVER, (margin, margin, margin))
