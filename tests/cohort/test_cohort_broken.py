"""Each bad input that `liverplan plan` refuses is a row with its reason in a cohort, and costs no case beside it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "hardening"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "io"))

import cohort_cases
from bad_inputs import ROWS, Place, patient

SEEN_IN_THE_TABLE = ("absent", "image-empty", "image-of-another-format", "masks-empty-folder")
"""What can be seen without opening a file is refused with its row before anything is planned (test_cohort_reading)."""
KINDS = [
    row
    for row in ROWS
    if row.id.startswith(("image-", "nrrd-", "mha-", "dicom-", "masks-")) and not row.id.endswith(SEEN_IN_THE_TABLE)
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cohort of a case of every kind, by one worker."""
    home = tmp_path_factory.mktemp("broken")
    (home / "whole").mkdir()
    whole = patient(home / "whole")
    rows = []
    for kind in KINDS:
        shutil.copytree(whole.folder, home / kind.id)
        arguments = kind.build(Place(home / kind.id, whole.drawn, whole.volume))
        masks = arguments[arguments.index("--segmentation") + 1]
        rows.append({"id": kind.id, "image": arguments[1], "segmentation": masks})
    cohort_cases.run(cohort_cases.write_table(home / "cases.csv", rows), home / "out")
    return home / "out"


def test_every_kind_is_there_once_and_ends_as_plan_ends(ran: Path) -> None:
    ends = {row["case_id"]: row["status"] for row in cohort_cases.table(ran, "cases")}
    assert ends == {kind.id: "failed" if kind.status else "done" for kind in KINDS}
    assert [case for case, _ in cohort_cases.attempts(ran)] == [kind.id for kind in KINDS]


def test_every_refusal_has_its_stage_its_reason_and_its_log(ran: Path) -> None:
    rows = {row["case_id"]: row for row in cohort_cases.table(ran, "cases")}
    for kind in (kind for kind in KINDS if kind.status):
        row = rows[kind.id]
        assert row["failure_kind"] == "refused", kind.id
        assert row["failure_stage"].startswith("reading"), kind.id
        assert re.search(kind.says, row["failure_reason"], re.DOTALL), (kind.id, row["failure_reason"])
        assert (ran / row["log"]).is_file()


def test_no_reason_names_a_folder_of_the_machine_or_a_patient(ran: Path) -> None:
    said = (ran / "tables" / "cases.csv").read_text(encoding="utf-8") + (ran / "cohort.html").read_text(
        encoding="utf-8"
    )
    assert str(ran.parent) not in said
    assert "Secret" not in said
