"""`liverplan cohort` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from cohort_cases import row_of, table, write_patients, write_table

from liverplan.cli.main import run
from liverplan.cohort.reading import COLUMNS
from liverplan.cohort.schema import cohort_schema


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_patients(folder / "patients", 2)
    short = folder / "patients" / "p2" / "image.nii.gz"
    short.write_bytes(short.read_bytes()[:2000])
    rows = [row_of(folder / "patients" / name, age_years=63) for name in ("p1", "p2")]
    return write_table(folder / "cases.csv", rows)


@pytest.fixture(scope="module")
def out(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "out"
    assert run(["cohort", str(source), "-o", str(folder), "--no-pictures", "--quiet"]) == 0
    return folder


def test_a_failed_case_is_no_failed_command(out: Path) -> None:
    assert [row["status"] for row in table(out, "cases")] == ["done", "failed"]
    assert (out / "cohort.html").is_file()


def test_json_is_one_object_on_stdout_and_lines_of_progress_beside_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["cohort", str(source), "-o", str(tmp_path / "out"), "--no-pictures", "--workers", "1", "--json"]
    assert run(arguments) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["total"], result["done"], result["failed"], result["kept"]) == (2, 1, 1, 0)
    assert result["failures"] == {"refused": 1}
    lines = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    assert [line["what"] for line in lines] == ["started", "case", "done", "case", "failed", "tables", "finished"]
    assert lines[-1]["done"] == 1
    assert lines[2]["cases_per_hour"] > 0
    assert lines[2]["eta_s"] > 0


def test_the_report_is_written_again_from_the_tables(out: Path) -> None:
    before = (out / "cohort.html").read_bytes()
    (out / "cohort.html").unlink()
    assert run(["cohort", "report", str(out), "--quiet"]) == 0
    assert (out / "cohort.html").read_bytes() == before


def test_a_report_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cohort", "report", str(tmp_path)]) == 3
    assert "is not the folder of a cohort" in capsys.readouterr().err


def test_bad_rows_are_listed_and_nothing_is_planned(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = source.parent / "patients"
    rows = [row_of(home / "p1"), row_of(home / "p1", ecog=7), row_of(home / "p3")]
    path = write_table(tmp_path / "t.csv", rows)
    assert run(["cohort", str(path), "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    for words in (
        "error:",
        "2 of 3 rows",
        "row 3 (p1): the id",
        "row 3 (p1): the clinical",
        "row 4 (p3): the image",
        "do:",
    ):
        assert words in said, words
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_be_planned(
    source: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cohort", str(source), "-o", str(tmp_path / "new"), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("estimate")["workers"] >= 1
    assert said == {"cases": 2, "kept": 0, "to_plan": ["p1", "p2"]}
    assert not (tmp_path / "new").exists()
    assert run(["cohort", str(source), "-o", str(out), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["kept"], said["to_plan"]) == (2, 2, [])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cases.csv"],
        ["cases.csv", "-o", "out", "--engine", "slurm"],
        ["cases.csv", "-o", "out", "--address", "auto"],
        ["cases.csv", "-o", "out", "--workers", "0"],
    ],
)
def test_wrong_usage_is_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cohort", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_output_inside_the_folder_of_cases_is_wrong_usage(source: Path) -> None:
    home = source.parent / "patients"
    assert run(["cohort", str(home), "-o", str(home / "out")]) == 2
    assert not (home / "out").exists()


def test_an_unknown_protocol_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    assert run(["cohort", str(source), "-o", str(tmp_path / "out"), "--protocol", "nct00000000"]) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["cohort", "--help"], ["cohort", "report", "--help"]])
def test_help_has_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert "Example" in capsys.readouterr().out


def test_the_shipped_schema_is_the_one_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "cohort"]) == 0
    shipped = json.loads(capsys.readouterr().out)
    assert shipped == cohort_schema()
    jsonschema.Draft202012Validator.check_schema(shipped)
    assert set(shipped["properties"]) == set(COLUMNS)


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"id": "p1", "image": "a.nii.gz"}, True),
        ({"id": "p1", "image": "dicom", "masks": "m", "ecog": "1", "albumin": 41, "albumin_unit": "g/L"}, True),
        ({"id": "p1", "image": "dicom", "sex": "", "prior_chemotherapy": "Yes", "margin_mm": "7.5"}, True),
        ({"id": "../p1", "image": "a.nii.gz"}, False),
        ({"id": "p1"}, False),
        ({"id": "p1", "image": "a", "masks": "m", "segmentation": "m"}, False),
        ({"id": "p1", "image": "a", "sex": "unclear"}, False),
        ({"id": "p1", "image": "a", "margin_mm": 90}, False),
        ({"id": "p1", "image": "a", "name": "x"}, False),
    ],
)
def test_the_schema_takes_what_the_reader_takes(row: dict[str, object], fits: bool) -> None:
    assert jsonschema.Draft202012Validator(cohort_schema()).is_valid(row) == fits
