"""Cases at the network's spacing, prepared once: a folder per case, named by the content of its files and sealed.

    CACHE/NAME-KEY/image.npy    HU (i, j, k) float32, canonical (L, P, S), isotropic; for "segment" the liver's box
                   labels.npy   uint8 on the same grid: 1 liver, 2 lesion, 3 portal, 4 hepatic, 5 cava, 6 either vein
                   seal.json    the sha256 of both, and which structures were labelled

KEY is a hash of the source files' bytes and of everything the result depends on, so a changed mask is prepared again. A
folder appears whole or not at all; one that does not match its seal (a disk that failed, a copy cut short) is rebuilt.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, InputError, LiverplanError
from liverplan.io.folder import output_folder, write_bytes_atomic, write_json_atomic, writing
from liverplan.io.images import read_image
from liverplan.segmentation.models import file_sha256
from liverplan.segmentation.resampling import IsotropicImage, Spacing, to_isotropic
from liverplan.training.anatomies import LabelArray
from liverplan.training.checks import require_room, require_sound, same_persons, twins
from liverplan.training.datasets import Case, Dataset, NamedLabelMap, Problem
from liverplan.volume import AnyArray, Segmentation, Volume, bounding_box

FORMAT = 1
"""To be raised when the same files would be prepared differently."""
SEAL = "seal.json"
FILES = ("image.npy", "labels.npy")
EITHER_VESSEL = 6
_VALUES = {
    Structure.LIVER: 1,
    Structure.LIVER_VESSELS: EITHER_VESSEL,
    Structure.VENA_CAVA: 5,
    Structure.HEPATIC_VEINS: 4,
    Structure.PORTAL_VEIN: 3,
    Structure.LESIONS: 2,
}
"""Label values; where masks overlap, the later one counts."""
AROUND_MM = 45.0
"""Kept around the liver for the second network: more than it sees when it runs, so that patches may turn."""
AIR_BELOW_HU = -300.0
"""A CT of a person has air around or in it; the networks see Hounsfield units."""
_LEFT_OVER_S = 6 * 3600


@dataclass(frozen=True)
class Target:
    """What cases are prepared for."""

    stage: str
    spacing_mm: float


@dataclass(frozen=True)
class PreparedCase:
    """A case in the cache. labelled: structures that somebody looked for in this scan, found or not."""

    name: str
    patient: str
    folder: Path
    labelled: frozenset[Structure]
    image_sha256: str

    def image(self) -> npt.NDArray[np.float32]:
        """HU (i, j, k), mapped from the file."""
        image: npt.NDArray[np.float32] = np.load(self.folder / FILES[0], mmap_mode="r")
        return image

    def labels(self) -> LabelArray:
        """Label values (i, j, k)."""
        labels: LabelArray = np.load(self.folder / FILES[1])
        return labels


@dataclass(frozen=True)
class _Outcome:
    """What came of one case; plain, because it comes from another process."""

    case: Case
    prepared: PreparedCase | None = None
    problem: Problem | None = None
    image_sha256: str = ""
    person: str = ""
    rebuilt: bool = False
    built: bool = False


def prepare(
    dataset: Dataset, target: Target, cache: Path, say: Callable[[str], None], jobs: int = 1
) -> list[PreparedCase]:
    """Check and prepare every case; those already in the cache are verified and kept. In order of their names.

    Raises InputError that lists every problem of the folder and of its cases at once, ResourceError on a full disk.
    """
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    outcomes = []
    for n, outcome in enumerate(_outcomes(dataset.cases, target, cache, jobs), start=1):
        outcomes.append(outcome)
        if outcome.rebuilt:
            say(f"{outcome.case.name}: the prepared files did not match their hashes and were made again")
        if outcome.built and n == 1:
            require_room(cache, 1.2 * _size(outcome) * (len(dataset.cases) - 1), "the prepared cases")
    problems = [o.problem for o in outcomes if o.problem]
    problems += twins(dataset.cases, {o.case.name: o.image_sha256 for o in outcomes if o.image_sha256})
    problems += same_persons(dataset.cases, {o.case.name: o.person for o in outcomes})
    require_sound(dataset, problems)
    built = sum(o.built for o in outcomes)
    say(f"{len(outcomes)} cases, {built} prepared now and {len(outcomes) - built} from the cache")
    return [o.prepared for o in outcomes if o.prepared]


def _outcomes(cases: Sequence[Case], target: Target, cache: Path, jobs: int) -> Iterator[_Outcome]:
    if jobs <= 1 or len(cases) < 3:
        yield from (_attempt(case, target, cache) for case in cases)
        return
    # The first alone: its size says whether the others have room.
    yield _attempt(cases[0], target, cache)
    with ProcessPoolExecutor(min(jobs, len(cases) - 1), multiprocessing.get_context("spawn")) as pool:
        for task in [pool.submit(_attempt, case, target, cache) for case in cases[1:]]:
            yield task.result()


def _attempt(case: Case, target: Target, cache: Path) -> _Outcome:
    """Prepare one case, or say what is wrong with it. Raises only what concerns the cache itself."""
    try:
        image_sha256 = content_sha256(case.image)
        folder = cache / f"{case.name}-{_key(case, target, image_sha256)[:20]}"
        found, damaged = _from_cache(case, folder), folder.exists()
        if found is not None:
            return _Outcome(case, found, image_sha256=image_sha256, person=_person(folder))
        image, segmentation = read_case(case)
    except InputError as error:
        return _Outcome(case, problem=Problem.of(case.name, error))
    shutil.rmtree(folder, ignore_errors=True)
    _build(case, image, segmentation, target, folder, image_sha256)
    prepared = _from_cache(case, folder)
    if prepared is None:
        raise OSError(f"{folder} does not hold what was just written to it")
    return _Outcome(case, prepared, None, image_sha256, _person(folder), damaged, True)


def read_case(case: Case) -> tuple[Volume, Segmentation]:
    """Image and masks on its grid. Raises InputError for anything that cannot be trained on."""
    volume = read_image(case.image)
    if volume.modality == "MR" or float(volume.array.min()) > AIR_BELOW_HU:
        raise GeometryMismatch(
            "the image is not in Hounsfield units",
            got=f"{volume.modality} with values from {float(volume.array.min()):g}",
            wanted=f"a CT with air below {AIR_BELOW_HU:g} HU",
            do="Export the CT with its rescale slope and intercept; these networks do not learn from MR.",
        )
    return volume, case.masks.read(volume.grid)


def content_sha256(path: Path) -> str:
    """Of a file, or of all files of a folder with their names. Raises InputError when one cannot be read."""
    try:
        if path.is_file():
            return file_sha256(path)
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        lines = [f"{p.relative_to(path)}:{file_sha256(p)}" for p in files]
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read", got=str(error), wanted="a file you may read", do="Check its permissions."
        ) from error
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _key(case: Case, target: Target, image_sha256: str) -> str:
    masks = [(path.name, content_sha256(path)) for path in case.masks.files()]
    names = case.masks.names if isinstance(case.masks, NamedLabelMap) else ()
    parts = [FORMAT, target.stage, target.spacing_mm, AROUND_MM, image_sha256, type(case.masks).__name__, masks, names]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _build(
    case: Case, volume: Volume, segmentation: Segmentation, target: Target, folder: Path, image_sha256: str
) -> None:
    image, labels = isotropic(volume, segmentation, target)
    labelled = [s for s in _VALUES if s in segmentation.masks]
    with output_folder(folder) as work:
        arrays: tuple[AnyArray, ...] = (image, labels)
        for name, array in zip(FILES, arrays, strict=True):
            content = io.BytesIO()  # numpy's own writing hides that the disk is full
            np.save(content, array)
            write_bytes_atomic(work / name, content.getvalue())
        seal = {
            "format": FORMAT,
            "labelled": [s.value for s in labelled],
            "notes": list(segmentation.notes),
            "image_sha256": image_sha256,
            "person": _hashed_patient_id(case.image),
            "sha256": {name: file_sha256(work / name) for name in FILES},
        }
        write_json_atomic(work / SEAL, seal)


def isotropic(volume: Volume, segmentation: Segmentation, target: Target) -> tuple[npt.NDArray[np.float32], LabelArray]:
    """HU and label values on one canonical isotropic grid, the image as the networks see it when they run."""
    upright, masks = volume.canonical(), segmentation.canonical()
    labels = np.zeros(upright.grid.shape, dtype=np.uint8)
    for structure, value in _VALUES.items():
        if structure in masks.masks and (structure is Structure.LIVER or target.stage == "segment"):
            labels[masks.mask(structure)] = value
    spacing = upright.grid.spacing_mm
    image = to_isotropic(upright.array, spacing, target.spacing_mm)
    small = _nearest(labels, spacing, image)
    if target.stage != "segment":
        return image.array, small
    n = int(np.ceil(AROUND_MM / target.spacing_mm))
    box = bounding_box(_nearest(masks.mask(Structure.LIVER).view(np.uint8), spacing, image), (n, n, n))
    return np.ascontiguousarray(image.array[box]), np.ascontiguousarray(small[box])


def _nearest(labels: LabelArray, spacing: Spacing, onto: IsotropicImage) -> LabelArray:
    """The label of the voxel whose centre is nearest."""
    index = [
        np.clip(np.rint((onto.origin_mm[a] + np.arange(n) * onto.spacing_mm) / spacing[a]), 0, labels.shape[a] - 1)
        for a, n in enumerate(onto.array.shape)
    ]
    return np.ascontiguousarray(labels[np.ix_(*[i.astype(np.intp) for i in index])])


def _from_cache(case: Case, folder: Path) -> PreparedCase | None:
    """The case as prepared earlier; None when it is not there or not what was sealed."""
    try:
        seal: dict[str, Any] = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        if any(file_sha256(folder / name) != seal["sha256"][name] for name in FILES):
            return None
        labelled = frozenset(Structure(name) for name in seal["labelled"])
        return PreparedCase(case.name, case.patient, folder, labelled, str(seal["image_sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _person(folder: Path) -> str:
    return str(json.loads((folder / SEAL).read_text(encoding="utf-8")).get("person", ""))


def _hashed_patient_id(image: Path) -> str:
    """A hash of a DICOM series' Patient ID, enough to see that two are one; "" for files and where there is none."""
    if image.is_file():
        return ""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    for path in sorted(p for p in image.rglob("*") if p.is_file()):
        try:
            patient_id = str(dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID") or "")
        except (InvalidDicomError, OSError, LiverplanError):
            continue
        return hashlib.sha256(patient_id.encode()).hexdigest() if patient_id.strip() else ""
    return ""


def _size(outcome: _Outcome) -> int:
    assert outcome.prepared is not None  # it was built
    return sum((outcome.prepared.folder / name).stat().st_size for name in FILES)


def _sweep(cache: Path) -> None:
    """Remove what a killed run left half-written, long enough ago not to be another run's."""
    for path in cache.glob(".*.partial"):
        if time.time() - path.stat().st_mtime > _LEFT_OVER_S:
            shutil.rmtree(path, ignore_errors=True)
