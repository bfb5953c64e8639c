"""The clinical form: what is filled in decides like the same record on the command line, and is saved whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from liverplan.cli.main import run
from liverplan.clinical import RECORD_FIELDS
from liverplan.errors import ClinicalError, ProtocolError
from liverplan.viewer import form

FILLED = {"age_years": ("61", "years"), "sex": ("female", ""), "ecog": ("1", "grade")}
RECORD = {"age_years": 61, "sex": "female", "ecog": 1}


@pytest.fixture
def out(planned: Path, tmp_path: Path) -> Path:
    shutil.copytree(planned, tmp_path / "out")
    return tmp_path / "out"


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def filled(folder: Path, **changes: tuple) -> dict:
    """The form as the page holds it, with some fields filled in."""
    told = form.values(report(folder))
    return told | {name: {"value": value, "unit": unit} for name, (value, unit) in changes.items()}


def test_every_field_of_the_record_has_a_place_in_the_form(out):
    names = [f["name"] for group in form.form(report(out)) for f in group["fields"]]
    assert sorted(names) == sorted(RECORD_FIELDS)
    assert set(form.values(report(out))) == set(RECORD_FIELDS)


def test_a_filled_form_decides_as_the_same_record_does_on_the_command_line(out, tmp_path):
    saved = form.save(out, filled(out, **FILLED))
    other = tmp_path / "other"
    shutil.copytree(out, other)
    (tmp_path / "record.json").write_text(json.dumps(RECORD), encoding="utf-8")
    assert run(["eligibility", str(other), "--clinical", str(tmp_path / "record.json"), "--quiet"]) == 0
    assert saved["eligibility"] == report(other)["eligibility"]
    assert saved["clinical"] == report(other)["clinical"]
    outcome = {c["id"]: c["outcome"] for c in saved["eligibility"]["criteria"]}
    assert len(outcome) == 21
    assert outcome["I1"] == "met"


def test_what_was_saved_stands_in_the_files_and_comes_back_into_the_form(out):
    form.save(out, filled(out, **FILLED, bilirubin=("12", "umol/L")))
    told = form.values(report(out))
    assert told["bilirubin"] == {"value": 12.0, "unit": "umol/L"}
    assert told["age_years"]["value"] == 61.0
    assert "umol/L" in (out / "report.html").read_text(encoding="utf-8")
    assert report(out)["margin_curve"], "the imaging stays"


def test_an_emptied_field_is_blank_again(out):
    form.save(out, filled(out, **FILLED))
    form.save(out, filled(out, age_years=("", "years")))
    assert form.values(report(out))["age_years"]["value"] == form.BLANK
    assert form.values(report(out))["sex"]["value"] == "female"


def test_who_stated_a_value_stays_with_it_until_it_is_changed(out, tmp_path):
    stated = {"ecog": {"value": 1, "by": "Dr Weber", "date": "2026-05-01"}, "asa": {"value": 2, "by": "Dr Weber"}}
    (tmp_path / "record.json").write_text(json.dumps(stated), encoding="utf-8")
    assert run(["eligibility", str(out), "--clinical", str(tmp_path / "record.json"), "--quiet"]) == 0
    fields = form.save(out, filled(out, asa=("3", "class")))["clinical"]["fields"]
    assert fields["ecog"]["by"] == "Dr Weber"
    assert fields["asa"] == {"value": 3, "unit": "class"}, "nobody stated the new value"


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("age_years", {"value": "610", "unit": "years"}),
        ("age_years", {"value": "sixty", "unit": "years"}),
        ("age_years", {"value": "nan", "unit": "years"}),
        ("sex", {"value": "unicorn", "unit": ""}),
        ("bilirubin", {"value": "12", "unit": "stones"}),
        ("consent_signed", {"value": "perhaps", "unit": ""}),
        ("scan_date", {"value": "tomorrow", "unit": ""}),
        ("no_such_field", {"value": 1}),
    ],
)
def test_what_cannot_be_true_is_refused_by_name_and_nothing_is_written(out, name, entry):
    before = (out / "report.json").read_bytes()
    with pytest.raises(ClinicalError, match=name):
        form.save(out, filled(out) | {name: entry})
    assert (out / "report.json").read_bytes() == before


@pytest.mark.parametrize("given", [None, [], "text", {"age_years": 61}, {"age_years": None}, {7: {"value": 1}}])
def test_what_is_no_form_is_refused(out, given):
    with pytest.raises(ClinicalError):
        form.save(out, given)


def test_a_report_of_a_trial_of_ones_own_is_not_decided_by_another(out):
    told = report(out)
    told["eligibility"]["protocol"] = "MY-TRIAL"
    (out / "report.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ProtocolError, match="protocol of your own"):
        form.save(out, filled(out))
