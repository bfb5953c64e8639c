"""Patients are split once, by patient, the same way for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.errors import InputError
from liverplan.training.splits import Split, kept_split, read_split, split_patients

PATIENTS = st.sets(st.text("abcxyz019", min_size=1, max_size=4), min_size=4, max_size=30)


@given(PATIENTS, st.integers(0, 99), st.floats(0.0, 0.4), st.floats(0.0, 0.3))
def test_every_patient_stands_on_one_side(patients: set[str], seed: int, validation: float, test: float) -> None:
    split = split_patients(patients, seed, validation, test)
    everybody = split.train + split.validation + split.test
    assert sorted(everybody) == sorted(patients)
    assert split.train
    assert split.validation
    assert bool(split.test) == (test > 0)


@given(PATIENTS, st.integers(0, 99))
def test_the_split_does_not_depend_on_the_order_and_moves_few_when_one_comes_in(patients: set[str], seed: int) -> None:
    split = split_patients(patients, seed, 0.25)
    assert split == split_patients(sorted(patients, reverse=True), seed, 0.25)
    more = split_patients({*patients, "new one"}, seed, 0.25)
    assert len(set(more.train) ^ set(split.train)) <= 3


def test_another_seed_is_another_split() -> None:
    names = [f"p{n}" for n in range(20)]
    assert split_patients(names, 1, 0.25) != split_patients(names, 2, 0.25)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(InputError, match="too few patients"):
        split_patients(["only one"], 1, 0.2)


def test_a_run_keeps_its_split_and_refuses_other_patients(tmp_path: Path) -> None:
    began = kept_split(tmp_path, Split(("a", "b"), ("c",)))
    assert kept_split(tmp_path, Split(("b", "c"), ("a",))) == began
    with pytest.raises(InputError, match="began with") as refused:
        kept_split(tmp_path, Split(("a", "b"), ("d",)))
    assert "new: d" in refused.value.got
    assert "gone: c" in refused.value.got


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ('{"train": ["a", "b"], "validation": ["b"]}', "a patient on two sides"),
        ('{"train": ["a"]}', "no patient to train or to validate on"),
        ("[1, 2]", "attribute"),
        ("{", "Expecting"),
    ],
)
def test_a_split_that_does_not_load_is_refused(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match="does not load") as refused:
        read_split(path)
    assert got in refused.value.got
