"""Everything that is wrong with the training data, said at once and before the first step."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from liverplan.errors import InputError, ResourceError
from liverplan.training.datasets import Case, Dataset, Problem

LISTED = 40
"""So many problems are written out; the rest are counted."""


def require_sound(dataset: Dataset, more: Iterable[Problem] = ()) -> None:
    """Raise InputError with every problem of the folder and of its cases (`more`)."""
    problems = [*dataset.problems, *more]
    if not problems:
        return
    lines = [f"{p.where}: {p.what}: {p.got}; wanted {p.wanted}. {p.do}" for p in problems[:LISTED]]
    if len(problems) > LISTED:
        lines.append(f"and {len(problems) - LISTED} more")
    raise InputError(
        "the training data cannot be used as they are",
        got=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {dataset.folder}\n    "
        + "\n    ".join(lines),
        wanted="an image on the grid of its masks, with a liver, for every patient once",
        do="Put these right and run again; nothing has been trained. `liverplan train --check` looks without training.",
    )


def twins(cases: Sequence[Case], sha256: Mapping[str, str]) -> list[Problem]:
    """Cases of different patients with the very same image: one of them would validate what the other trains.

    sha256: of each case's image, by its name.
    """
    seen: dict[str, Case] = {}
    problems = []
    for case in cases:
        digest = sha256.get(case.name)
        if digest is None:
            continue
        first = seen.setdefault(digest, case)
        if first.patient != case.patient:
            problems.append(
                Problem(
                    case.name,
                    "two patients have the same image",
                    f"the image of {first.name} again",
                    "every scan once, or both scans under one patient",
                    "Remove one, or say in patients.csv that they are one person.",
                )
            )
    return problems


def same_persons(cases: Sequence[Case], ids: Mapping[str, str]) -> list[Problem]:
    """Cases of different patients whose DICOM headers hold the same Patient ID. ids: by case; "" where unknown."""
    seen: dict[str, Case] = {}
    problems = []
    for case in cases:
        if not (dicom_id := ids.get(case.name, "")):
            continue
        first = seen.setdefault(dicom_id, case)
        if first.patient != case.patient:
            problems.append(
                Problem(
                    case.name,
                    "two patients have one id",
                    f"the Patient ID of {first.name} in the DICOM headers",
                    "one person on one side of the split",
                    "Say in patients.csv that they are one person; if they are not, correct the Patient ID.",
                )
            )
    return problems


def require_room(folder: Path, wanted_bytes: float, what: str) -> None:
    """Raise ResourceError unless the disk of `folder` (which exists) has that much room."""
    free = shutil.disk_usage(folder).free
    if free < wanted_bytes:
        raise ResourceError(
            f"the disk is too full for {what}",
            got=f"{free / 1e9:.2f} GB free at {folder}",
            wanted=f"about {wanted_bytes / 1e9:.2f} GB",
            do="Free some space, or choose another place with --out and --cache; what is there already is kept.",
        )
