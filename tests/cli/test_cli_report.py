"""`liverplan report` and `liverplan schema`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from liverplan.cli.main import run
from liverplan.report.schema import report_schema

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import example_case


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    (tmp_path / "report.json").write_text(json.dumps(example_case.report()), encoding="utf-8")
    return tmp_path


def test_report_writes_the_page_and_the_tables_again(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(planned), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["report"]).is_file()
    assert Path(said["pdf"]).read_bytes().startswith(b"%PDF-")
    assert len(said["tables"]) == 10


def test_report_leaves_the_numbers_alone(planned: Path) -> None:
    before = (planned / "report.json").read_bytes()
    run(["report", str(planned), "--quiet"])
    assert (planned / "report.json").read_bytes() == before


def test_report_refuses_a_folder_that_was_never_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) == 3
    assert "report.json" in capsys.readouterr().err


def test_schema_prints_the_schema_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "report"]) == 0
    assert json.loads(capsys.readouterr().out) == report_schema()


def test_schema_of_something_else_is_wrong_usage_and_lists_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "weather"]) == 2
    assert "report" in capsys.readouterr().err
