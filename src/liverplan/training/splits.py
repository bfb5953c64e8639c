"""Who trains and who validates: by patient, the same for the same seed, written beside the run and kept by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from liverplan.errors import InputError
from liverplan.io.folder import write_json_atomic

SPLIT = "split.json"


@dataclass(frozen=True)
class Split:
    """Patients, in order of their names. `validation` chooses the weights; `test` is never looked at while training."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    @property
    def patients(self) -> frozenset[str]:
        return frozenset(self.train + self.validation + self.test)

    def side(self, patient: str) -> str:
        """ "train", "validation" or "test"."""
        return "train" if patient in self.train else "validation" if patient in self.validation else "test"


def split_patients(patients: Iterable[str], seed: int, validation: float, test: float = 0.0) -> Split:
    """Shares of the patients, rounded, at least one of each that is asked for. Does not depend on their order.

    A patient's place follows from a hash of the seed and the patient's id: adding patients moves few others.
    Raises InputError when no patient is left to train on.
    """
    ordered = sorted(set(patients), key=lambda p: hashlib.sha256(f"{seed}:{p}".encode()).hexdigest())
    n_validation = max(round(validation * len(ordered)), 1)
    n_test = max(round(test * len(ordered)), 1) if test > 0 else 0
    if len(ordered) - n_validation - n_test < 1:
        raise InputError(
            "there are too few patients to train on",
            got=f"{len(ordered)} patients, {n_validation} of them to validate and {n_test} to test",
            wanted="at least one patient more than those",
            do="Add patients, or ask for smaller shares under [data].",
        )
    held = ordered[: n_validation + n_test]
    return Split(
        tuple(sorted(ordered[len(held) :])), tuple(sorted(held[:n_validation])), tuple(sorted(held[n_validation:]))
    )


def kept_split(folder: Path, wanted: Split) -> Split:
    """The split that a run began with; a new run begins with `wanted` and writes it down.

    Raises InputError when the patients are not those the run began with: what validated must not train later on.
    """
    path = folder / SPLIT
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, {name: list(getattr(wanted, name)) for name in ("train", "validation", "test")})
        return wanted
    began = read_split(path)
    if began.patients != wanted.patients:
        new, gone = sorted(wanted.patients - began.patients), sorted(began.patients - wanted.patients)
        raise InputError(
            "the patients are not those that this run began with",
            got="; ".join(f"{what} {', '.join(who)}" for what, who in (("new:", new), ("gone:", gone)) if who),
            wanted=f"the patients in {path}",
            do="Choose a new folder with --out, or put the data back.",
        )
    return began


def read_split(path: Path) -> Split:
    """Read a split. Raises InputError when it does not load or a patient stands on two sides."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        train, validation, test = (tuple(str(p) for p in raw.get(name, [])) for name in ("train", "validation", "test"))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _refused(path, str(error)) from error
    split = Split(train, validation, test)
    if len(split.patients) != len(train) + len(validation) + len(test):
        raise _refused(path, "a patient on two sides")
    if not train or not validation:
        raise _refused(path, "no patient to train or to validate on")
    return split


def _refused(path: Path, got: str) -> InputError:
    return InputError(
        "the split of the patients does not load",
        got=f"{path.name}: {got}",
        wanted='{"train": [...], "validation": [...], "test": [...]} with patients, each once',
        do="Correct the file, or remove it to have it drawn again.",
    )
