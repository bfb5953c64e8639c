"""A cohort on this machine: what it writes, what it keeps, and what it does with cases that cannot be planned."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from cohort_cases import (
    NEAR_THE_PORTAL_VEIN,
    attempts,
    folders,
    report_of,
    row_of,
    run,
    same_tables,
    table,
    told,
    touch,
    write_patient,
    write_patients,
    write_table,
)
from PIL import Image

from liverplan.cohort import Options, Request, read_cohort
from liverplan.cohort.columns import TABLES
from liverplan.cohort.run import what_is_left
from liverplan.cohort.schema import cohort_schema
from liverplan.cohort.tables import read_table
from liverplan.errors import OutputError


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p1, p2, p3 that can be planned; broken ones in between, whose files are there."""
    folder = write_patients(tmp_path_factory.mktemp("cohort") / "patients", 3)
    short = shutil.copytree(folder / "p1", folder / "short")
    (short / "image.nii.gz").write_bytes((short / "image.nii.gz").read_bytes()[:2000])
    other = shutil.copytree(folder / "p1", folder / "other_grid")
    for path in (other / "masks").iterdir():
        path.unlink()
    (other / "masks" / "lungs.nii.gz").write_bytes((folder / "p1" / "image.nii.gz").read_bytes())
    return folder


@pytest.fixture(scope="module")
def ran(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ran") / "out"
    summary, _ = run(patients, out, workers=2)
    assert (summary.total, summary.done, summary.failed, summary.kept) == (5, 3, 2, 0)
    return out


@pytest.fixture
def copied(ran: Path, patients: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Patients and a finished cohort that a test may change."""
    return shutil.copytree(patients, tmp_path / "patients"), shutil.copytree(ran, tmp_path / "out")


def test_each_case_is_a_folder_as_plan_writes_it(ran: Path) -> None:
    assert {path.name for path in (ran / "cases").iterdir()} == {"p1", "p2", "p3"}
    for path in (ran / "cases").iterdir():
        assert (path / "report.html").is_file()
        assert (path / "segmentation" / "lesions.nii.gz").is_file()
        with Image.open(path / "thumbnail.png") as picture:
            assert picture.width == 132
        assert (path / "thumbnail.png").stat().st_size < 8000
    assert not (ran / ".work").exists()


def test_the_tables_say_what_the_reports_say(ran: Path) -> None:
    rows = {row["case_id"]: row for row in table(ran, "cases")}
    for case_id in ("p1", "p2", "p3"):
        report, row = report_of(ran, case_id), rows[case_id]
        assert float(row["margin_upper_mm"]) == report["case"]["margin_upper_mm"]["value"]
        assert float(row["flr_percent"]) == report["margin_curve"][7]["flr_percent"]
        assert row["verdict"] == report["eligibility"]["verdict"]
        assert int(row["lesions"]) == len(report["lesions"]) == 1
        assert row["result"] == f"cases/{case_id}"
    assert len(table(ran, "criteria")) == 3 * 21
    outcomes = {(r["case_id"], r["criterion"]): r["outcome"] for r in table(ran, "criteria")}
    assert outcomes["p2", "I1"] == report_of(ran, "p2")["eligibility"]["criteria"][0]["outcome"]


def test_a_case_that_cannot_be_planned_is_a_row_with_stage_reason_and_log(ran: Path) -> None:
    rows = {row["case_id"]: row for row in table(ran, "cases")}
    assert [row["status"] for row in table(ran, "cases")] == ["failed", "done", "done", "done", "failed"]
    assert rows["short"]["failure_kind"] == "refused"
    assert rows["short"]["failure_stage"] == "reading the image"
    assert rows["other_grid"]["failure_stage"] == "reading the masks"
    assert "lungs" in rows["other_grid"]["failure_reason"]
    for name in ("short", "other_grid"):
        log = (ran / rows[name]["log"]).read_text(encoding="utf-8")
        assert rows[name]["failure_stage"] in log
        assert "Traceback" in log, "for whoever looks for the cause"
        assert rows[name]["result"] == rows[name]["verdict"] == ""


def test_tables_name_no_folder_of_this_machine(ran: Path, patients: Path) -> None:
    for path in [*(ran / "tables").glob("*.csv"), ran / "cohort.html", ran / "run.json"]:
        assert str(patients.parent) not in path.read_text(encoding="utf-8"), path.name


def test_what_was_refused_is_not_tried_twice_in_a_run(ran: Path) -> None:
    assert sorted(attempts(ran)) == [
        ("other_grid", "refused"),
        ("p1", "done"),
        ("p2", "done"),
        ("p3", "done"),
        ("short", "refused"),
    ]


def test_rows_fit_the_schema_of_their_table(ran: Path) -> None:
    definitions = cohort_schema()["$defs"]
    for name, columns in TABLES.items():
        rows = list(read_table(ran / "tables" / f"{name}.csv", columns))
        assert rows, name
        for row in rows:
            jsonschema.validate(row, definitions[name])


def test_parquet_and_csv_say_the_same(ran: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, columns in TABLES.items():
        read = parquet.read_table(ran / "tables" / f"{name}.parquet")
        assert read.to_pylist() == list(read_table(ran / "tables" / f"{name}.csv", columns))
        assert read.schema.metadata[b"liverplan_cohort_version"] == b"1"


def test_two_runs_give_the_same_tables_in_any_number_of_workers(ran: Path, patients: Path, tmp_path: Path) -> None:
    run(patients, tmp_path / "out", workers=1)
    assert same_tables(ran, tmp_path / "out")


def test_the_run_is_pinned_by_versions_and_hashes(ran: Path) -> None:
    record = json.loads((ran / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert record["counts"] == {"cases": 5, "done": 3, "failed": 2, "kept": 0}
    assert record["versions"]["numpy"]
    assert len(record["hashes"]["protocol_sha256"]) == 64
    assert record["settings"]["workers"] == 2


def test_a_second_run_plans_nothing_and_writes_nothing(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.rglob("*") if path.is_file()}
    summary, events = run(patients, out)
    assert (summary.done, summary.failed, summary.kept) == (3, 2, 5)
    assert told(events, "case") == []
    state = ("cohort.sqlite", "cohort.sqlite-wal")
    after = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.rglob("*") if path.is_file()}
    assert {p: v for p, v in after.items() if p.name not in state} == {
        p: v for p, v in before.items() if p.name not in state
    }


def test_files_that_were_touched_are_known_by_their_content(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    before = folders(out)
    touch(patients / "p1" / "image.nii.gz")
    touch(patients / "short" / "image.nii.gz")
    _, events = run(patients, out)
    assert told(events, "kept") == ["p1"]
    assert told(events, "failed") == ["short"], "no result of it to take over"
    assert folders(out) == before
    assert told(run(patients, out)[1], "case") == [], "and the new times are known from then on"


def test_a_changed_mask_plans_its_case_again_and_no_other(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    before = folders(out)
    lesions = patients / "p2" / "masks" / "lesions.nii.gz"
    shutil.copy(patients / "p1" / "masks" / "lesions.nii.gz", lesions)
    _, events = run(patients, out)
    assert told(events, "done") == told(events, "case") == ["p2"]
    after = folders(out)
    assert {name for name in after if after[name] != before[name]} == {"p2"}
    rows = {row["case_id"]: row for row in table(out, "cases")}
    assert rows["p2"]["margin_upper_mm"] == rows["p1"]["margin_upper_mm"]


def test_a_case_that_was_mended_is_planned(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    shutil.copy(patients / "p1" / "image.nii.gz", patients / "short" / "image.nii.gz")
    _, events = run(patients, out)
    assert told(events, "case") == told(events, "done") == ["short"]
    assert {row["case_id"]: row["status"] for row in table(out, "cases")}["short"] == "done"


def test_a_result_of_other_inputs_does_not_stay_under_the_name_of_a_case_that_fails(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    shutil.copy(patients / "short" / "image.nii.gz", patients / "p3" / "image.nii.gz")
    summary, _ = run(patients, out)
    assert (summary.done, summary.failed) == (2, 3)
    assert not (out / "cases" / "p3").exists()
    assert (out / "superseded" / "p3" / "report.json").is_file()


def test_another_protocol_plans_every_case_again(copied: tuple[Path, Path], tmp_path: Path) -> None:
    patients, out = copied
    text = files("liverplan").joinpath("protocols/nct06934018.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)
    (tmp_path / "mine.toml").write_text(f"{text}\n# another file\n")
    _, events = run(patients, out, protocol=str(tmp_path / "mine.toml"))
    assert sorted(filter(None, told(events, "done"))) == ["p1", "p2", "p3"]


def test_a_lost_state_loses_no_result(copied: tuple[Path, Path], ran: Path) -> None:
    patients, out = copied
    before = folders(out)
    for path in out.glob("cohort.sqlite*"):
        path.unlink()
    _, events = run(patients, out)
    assert sorted(filter(None, told(events, "kept"))) == ["p1", "p2", "p3"]
    assert told(events, "done") == []
    assert folders(out) == before
    assert same_tables(out, ran)


def test_a_lost_folder_is_planned_again(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    shutil.rmtree(out / "cases" / "p1")
    assert told(run(patients, out)[1], "done") == ["p1"]


def test_without_resume_every_case_is_planned_again(copied: tuple[Path, Path], ran: Path) -> None:
    patients, out = copied
    before = folders(out)
    summary, events = run(patients, out, resume=False)
    assert summary.kept == 0
    assert len(told(events, "case")) == 5
    assert all(before[name] != inode for name, inode in folders(out).items())
    assert same_tables(out, ran)


def test_what_was_refused_is_tried_again_when_asked(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    assert sorted(filter(None, told(run(patients, out, retry_failed=True)[1], "case"))) == ["other_grid", "short"]


def test_a_limit_takes_the_first_cases_and_the_rest_later(patients: Path, tmp_path: Path) -> None:
    good = [row_of(patients / name) for name in ("p1", "p2", "p3")]
    source = write_table(tmp_path / "t.csv", good)
    assert run(source, tmp_path / "out", limit=1)[0].total == 1
    _, events = run(source, tmp_path / "out")
    assert sorted(filter(None, told(events, "done"))) == ["p2", "p3"]
    assert [row["position"] for row in table(tmp_path / "out", "cases")] == ["1", "2", "3"]


def test_a_clinical_record_goes_with_its_case(patients: Path, tmp_path: Path) -> None:
    rows = [row_of(patients / "p1", ecog=1, height_cm=180, weight_kg=80), row_of(patients / "p2")]
    source = write_table(tmp_path / "t.csv", rows)
    run(source, tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "cases" / "p1" / "clinical.json").read_text(encoding="utf-8"))
    assert (stated["ecog"], stated["height_cm"]) == (1, 180)
    assert report_of(tmp_path / "out", "p1")["liver"]["standardised_volume_ml"], "from height and weight"
    assert report_of(tmp_path / "out", "p2")["liver"]["standardised_volume_ml"] is None
    assert not (tmp_path / "out" / "cases" / "p2" / "clinical.json").exists()
    rows[0]["ecog"] = 2
    write_table(source, rows)
    assert told(run(source, tmp_path / "out")[1], "done") == ["p1"], "another record is another case"


def test_the_record_decides_criteria(patients: Path, tmp_path: Path) -> None:
    source = write_table(tmp_path / "t.csv", [row_of(patients / "p1", age_years=63)])
    run(source, tmp_path / "out")
    outcomes = {row["criterion"]: row["outcome"] for row in table(tmp_path / "out", "criteria")}
    assert outcomes["I1"] == "met"


def test_a_look_ahead_writes_nothing(patients: Path, tmp_path: Path, copied: tuple[Path, Path]) -> None:
    request, options = Request(device="cpu", pictures=False), Options()
    todo = what_is_left(read_cohort(patients), tmp_path / "new", request, options)
    assert len(todo.tasks) == 5
    assert not (tmp_path / "new").exists()
    inputs, out = copied
    write_patient(inputs / "p9", NEAR_THE_PORTAL_VEIN)
    todo = what_is_left(read_cohort(inputs), out, request, options)
    assert [task.case.id for task in todo.tasks] == ["p9"]
    assert not (out / "cases" / "p9").exists()


def test_a_folder_of_something_else_is_left_alone(patients: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError):
        run(patients, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_runs_do_not_share_a_folder(copied: tuple[Path, Path]) -> None:
    patients, out = copied
    seen = []

    def another(event: object) -> None:
        if not seen:
            seen.append(event)
            with pytest.raises(OutputError, match="another run"):
                run(patients, out)

    run(patients, out, listener=another)
    assert seen


def test_a_place_that_cannot_be_written_is_no_fault_of_the_input(patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").touch()
    (out / "cases").write_text("a file in the way", encoding="utf-8")
    source = write_table(tmp_path / "t.csv", [row_of(patients / "p1")])
    summary, _ = run(source, out, retry=1)
    assert summary.failures == {"resources": 1}
    assert table(out, "cases")[0]["failure_stage"] == "publishing"
    assert attempts(out) == [("p1", "resources"), ("p1", "resources")]
    (out / "cases").unlink()
    assert told(run(source, out)[1], "done") == ["p1"], "it is tried again by the next run"


def test_numbers_of_csv_come_back_as_they_were(ran: Path) -> None:
    with (ran / "tables" / "cases.csv").open(newline="") as file:
        raw = {row["case_id"]: row["liver_volume_ml"] for row in csv.DictReader(file)}
    assert float(raw["p1"]) == report_of(ran, "p1")["liver"]["volume_ml"]


def test_a_case_that_takes_too_long_is_a_row_and_the_next_run_tries_it_again(patients: Path, tmp_path: Path) -> None:
    source, out = write_table(tmp_path / "one.csv", [row_of(patients / "p1")]), tmp_path / "out"
    summary, _ = run(source, out, case_timeout_s=0.05)
    assert summary.failures == {"timeout": 1}
    row = table(out, "cases")[0]
    assert row["failure_reason"] == "the case took longer than 0.05 s"
    assert "most recent call first" in (out / row["log"]).read_text(encoding="utf-8"), "where it was"
    assert attempts(out) == [("p1", "timeout")], "the same limit would be over again"
    summary, _ = run(source, out, case_timeout_s=600.0)
    assert (summary.done, summary.failed) == (1, 0)
    assert attempts(out)[1:] == [("p1", "done")]
