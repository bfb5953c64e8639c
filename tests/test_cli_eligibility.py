"""`liverplan eligibility`: a planned case is decided again, by another protocol or the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import liverplan
import simple_case
from liverplan.cli.main import run
from liverplan.io.clinical import read_clinical
from liverplan.io.folder import write_json_atomic
from liverplan.plan import Wishes, plan
from liverplan.protocol import load_protocol
from liverplan.record import to_record
from liverplan.report.schema import report_schema

TRIAL = (Path(liverplan.__file__).parent / "protocols" / "nct06934018.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    on = simple_case.grid((2.0, 2.0, 2.0))
    drawn = simple_case.masks(on, (simple_case.Ball((0.0, 30.0, 5.0), 8.0), simple_case.Ball((-5.0, -30.0, 0.0), 6.0)))
    return to_record(plan(simple_case.image(on, drawn), drawn, load_protocol()))


@pytest.fixture
def planned(record: dict[str, Any], tmp_path: Path) -> Path:
    """A planned case without pictures."""
    write_json_atomic(tmp_path / "report.json", record)
    return tmp_path


def protocol_file(folder: Path, old: str, new: str) -> str:
    """The trial's protocol with one change, under another name."""
    assert TRIAL.count(old) == 1
    text = TRIAL.replace(old, new).replace('id = "NCT06934018"', 'id = "MINE"')
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def report_of(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return loaded


def outcome(out: Path, criterion_id: str) -> Any:
    return next(c for c in report_of(out)["eligibility"]["criteria"] if c["id"] == criterion_id)


def test_the_same_protocol_decides_the_same(planned: Path, record: dict[str, Any]) -> None:
    assert run(["eligibility", str(planned), "--quiet"]) == 0
    assert report_of(planned) == json.loads(json.dumps(record))


def test_another_protocol_changes_report_page_and_tables(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = protocol_file(planned, "max_lesions = 5 ", "max_lesions = 1 ")
    assert run(["eligibility", str(planned), "--protocol", mine]) == 0
    printed = capsys.readouterr().out
    assert "Verdict: does not meet." in printed
    assert "not a medical device" in printed.lower()
    assert report_of(planned)["eligibility"]["protocol"] == "MINE"
    assert (outcome(planned, "I5")["outcome"], outcome(planned, "I5")["limit"]) == ("not_met", 1)
    assert "MINE" in (planned / "report.html").read_text(encoding="utf-8")
    with (planned / "tables" / "eligibility.csv").open(encoding="utf-8", newline="") as table:
        assert next(row for row in csv.DictReader(table) if row["id"] == "I5")["outcome"] == "not_met"


def test_nothing_but_the_decision_changes(planned: Path, record: dict[str, Any]) -> None:
    mine = protocol_file(planned, "max_lesions = 5 ", "max_lesions = 1 ")
    run(["eligibility", str(planned), "--protocol", mine, "--quiet"])
    after, before = report_of(planned), json.loads(json.dumps(record))
    assert {k: v for k, v in after.items() if k != "eligibility"} == {
        k: v for k, v in before.items() if k != "eligibility"
    }


def test_a_wider_margin_needs_the_case_planned_again(planned: Path) -> None:
    mine = protocol_file(planned, "wide_margin_mm = 7.0", "wide_margin_mm = 10.0")
    assert run(["eligibility", str(planned), "--protocol", mine, "--quiet"]) == 0
    remnant = outcome(planned, "I8")
    assert remnant["outcome"] == "undetermined"
    assert "measured for wide_margin_mm 7, and this protocol asks for 10: plan the case again" in remnant["evidence"]


def test_json_on_stdout_is_one_object(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eligibility", str(planned), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "NCT06934018"


def test_a_report_decided_by_a_file_asks_for_the_file(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = protocol_file(planned, "max_lesions = 5 ", "max_lesions = 4 ")
    run(["eligibility", str(planned), "--protocol", mine, "--quiet"])
    assert run(["eligibility", str(planned), "--quiet"]) == 3
    assert "Say which with --protocol." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, "no such file"),
        ("{", "Expecting property name"),
        ('{"schema_version": "1"}', "no software"),
    ],
)
def test_a_folder_that_is_no_planned_case_is_refused(
    tmp_path: Path, content: str | None, got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content, encoding="utf-8")
    assert run(["eligibility", str(tmp_path)]) == 3
    assert got in capsys.readouterr().err


def test_damaged_measures_are_refused_and_nothing_is_written(
    planned: Path, record: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = {**record, "measures": {"lesions.count": {"value": 2.0, "low": 3.0, "high": 1.0, "unit": "count"}}}
    write_json_atomic(planned / "report.json", damaged)
    before = (planned / "report.json").read_bytes()
    assert run(["eligibility", str(planned)]) == 3
    assert "'lesions.count'" in capsys.readouterr().err
    assert (planned / "report.json").read_bytes() == before


def test_a_report_without_measures_is_refused(planned: Path, record: dict[str, Any]) -> None:
    write_json_atomic(planned / "report.json", {k: v for k, v in record.items() if k != "measures"})
    assert run(["eligibility", str(planned)]) == 3


def test_a_protocol_that_does_not_exist_leaves_the_report_alone(planned: Path, record: dict[str, Any]) -> None:
    assert run(["eligibility", str(planned), "--protocol", "nothing"]) == 3
    assert report_of(planned) == json.loads(json.dumps(record))


# --- the clinical record

RECORD = """
age_years: 61
ecog: {value: 1, date: 2026-10-30, by: oncologist}
diagnosis_basis: biopsy
primary_status: resected
extrahepatic_disease: none
liver_metastases_current: {value: 2, date: 2026-11-02, by: radiologist}
prior_chemotherapy: false
bilirubin: {value: 12, unit: umol/L, date: 2026-10-30}
albumin: {value: 41, unit: g/L}
inr: 1.0
ascites: none
encephalopathy_grade: 0
height_cm: 170
weight_kg: 65
scan_date: 2026-11-01
planned_surgery_date: 2026-11-20
consent_signed: true
"""


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    file = tmp_path / "patient.yaml"
    file.write_text(RECORD, encoding="utf-8")
    return file


def test_a_clinical_record_settles_what_it_holds_and_nothing_else(planned: Path, patient: Path) -> None:
    assert run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"]) == 0
    settled = {c["id"] for c in report_of(planned)["eligibility"]["criteria"] if c["outcome"] == "met"}
    assert {"I1", "I2", "I3", "I4", "I5", "I6", "I10", "E1", "E3"} <= settled
    assert not {"I9", "I11", "E2", "E4", "E5", "E6", "E7", "E8", "E9", "E10"} & settled, "nothing was recorded for them"


def test_the_evidence_says_who_stated_a_value_and_what_the_software_had_counted(planned: Path, patient: Path) -> None:
    run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"])
    evidence = outcome(planned, "I5")["evidence"]
    assert "radiologist" in evidence
    assert "2026-11-02" in evidence
    assert "the software counted 2" in evidence


def test_deciding_again_with_a_record_gives_what_planning_with_it_gives(planned: Path, patient: Path) -> None:
    on = simple_case.grid((2.0, 2.0, 2.0))
    drawn = simple_case.masks(on, (simple_case.Ball((0.0, 30.0, 5.0), 8.0), simple_case.Ball((-5.0, -30.0, 0.0), 6.0)))
    wishes = Wishes(clinical=read_clinical(patient))
    at_once = to_record(plan(simple_case.image(on, drawn), drawn, load_protocol(), wishes=wishes))
    run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"])
    assert report_of(planned) == json.loads(json.dumps(at_once))
    assert at_once["liver"]["standardised_volume_ml"].keys() == {"feng", "vauthey", "urata"}
    assert all(r["flr_standardised_percent"] for r in at_once["resections"])


def test_the_record_stays_with_the_case_until_another_one_is_given(planned: Path, patient: Path) -> None:
    run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"])
    first = report_of(planned)
    run(["eligibility", str(planned), "--quiet"])
    assert report_of(planned) == first
    patient.write_text("age_years: 17\n", encoding="utf-8")
    run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"])
    assert outcome(planned, "I1")["outcome"] == "not_met"
    assert outcome(planned, "I2")["outcome"] == "undetermined", "the earlier record is gone"
    assert report_of(planned)["liver"]["standardised_volume_ml"] is None


def test_the_report_with_a_record_keeps_to_the_schema(planned: Path, patient: Path) -> None:
    run(["eligibility", str(planned), "--clinical", str(patient), "--quiet"])
    report = report_of(planned)
    jsonschema.Draft202012Validator(report_schema()).validate(report)
    clinical = report["clinical"]
    assert clinical["child_pugh"]["grade"] == "A"
    assert clinical["child_pugh"]["score"] == {"value": 5.0, "low": 5.0, "high": 5.0}
    assert clinical["days_to_surgery"] == {"value": 19}
    assert clinical["fields"]["ecog"] == {"value": 1, "date": "2026-10-30", "by": "oncologist", "unit": "grade"}


def test_a_broken_record_is_refused_by_field_and_the_report_stays(
    planned: Path, patient: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = report_of(planned)
    patient.write_text("age_years: 61\nbilirubin: 12\n", encoding="utf-8")
    assert run(["eligibility", str(planned), "--clinical", str(patient)]) == 3
    said = capsys.readouterr().err
    assert "bilirubin" in said
    assert "line 2" in said
    assert report_of(planned) == before


def test_the_terminal_lists_what_to_obtain(planned: Path, patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["eligibility", str(planned), "--clinical", str(patient)])
    listed = capsys.readouterr().out.split("To obtain:")[1]
    assert "good_compliance" in listed
    assert "consent_signed" not in listed
