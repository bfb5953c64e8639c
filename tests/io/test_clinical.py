"""Clinical records from files: every broken file of tests/clinical/broken is refused by name."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path

import pytest

from liverplan.clinical import ClinicalRecord, parse_record, template_text
from liverplan.errors import ClinicalError
from liverplan.io.clinical import MAX_BYTES, read_clinical

BROKEN = Path(__file__).parents[1] / "clinical" / "broken"
EXPECTED = tomllib.loads((BROKEN / "expected.toml").read_text(encoding="utf-8"))
YAML = """\
case_id: "LP-007"
ecog: 1            # by the surgeon
prior_chemotherapy: no
bilirubin: {value: 0.7, unit: mg/dL, date: 2026-05-01}
albumin:
  value: 41
  unit: g/L
  by: Dr Weber
inr: ~
ascites: unknown
scan_date: 2026-05-04
"""
MEANS = {
    "case_id": "LP-007",
    "ecog": 1,
    "prior_chemotherapy": False,
    "bilirubin": {"value": 0.7, "unit": "mg/dL", "date": "2026-05-01"},
    "albumin": {"value": 41, "unit": "g/L", "by": "Dr Weber"},
    "inr": None,
    "ascites": "unknown",
    "scan_date": "2026-05-04",
}


def written(folder: Path, content: str | bytes, name: str = "record.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_there_is_an_expectation_for_every_broken_file() -> None:
    assert set(EXPECTED) == {path.name for path in BROKEN.iterdir()} - {"expected.toml"}
    assert len(EXPECTED) >= 50


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_record_is_refused_by_name(name: str) -> None:
    with pytest.raises(ClinicalError) as refusal:
        read_clinical(BROKEN / name)
    wanted = EXPECTED[name]
    assert refusal.value.what.startswith(f"the clinical record {name}")
    assert refusal.value.what.endswith(wanted["place"])
    assert refusal.value.got.startswith(wanted["got"])
    assert refusal.value.wanted.startswith(wanted["wanted"])
    assert refusal.value.do
    assert refusal.value.exit_status == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("record.yaml", YAML),
        ("record.yml", "\ufeff" + YAML),
        ("record.yaml", YAML.replace("\n", "\r\n")),
        ("record.json", json.dumps(MEANS)),
        ("record.yaml", json.dumps(MEANS)),
        ("record.yaml", "--- # a document\n" + YAML + "...\n"),
    ],
    ids=["yaml", "byte order mark", "Windows lines", "json", "json named yaml", "document marks"],
)
def test_the_same_record_in_any_form(tmp_path: Path, name: str, content: str) -> None:
    assert read_clinical(written(tmp_path, content, name)) == parse_record(MEANS)


ANYWHERE = ["", "\n", "{}", "null", "\ufeff"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("record.json", content) for content in ANYWHERE),
        *(("record.yaml", content) for content in [*ANYWHERE, "# nothing yet\n", "---\n", "~\n"]),
    ],
)
def test_a_file_that_says_nothing_is_an_empty_record(tmp_path: Path, name: str, content: str) -> None:
    assert read_clinical(written(tmp_path, content, name)) == ClinicalRecord()


def test_the_template_loads_as_an_empty_record(tmp_path: Path) -> None:
    assert read_clinical(written(tmp_path, template_text())) == ClinicalRecord()


def test_a_flow_mapping_that_is_no_json_is_still_yaml(tmp_path: Path) -> None:
    assert read_clinical(written(tmp_path, "{ecog: 1}")) == parse_record({"ecog": 1})


def test_text_in_quotes_stays_text(tmp_path: Path) -> None:
    assert read_clinical(written(tmp_path, "case_id: '007'\n")).text("case_id") == "007"


def test_a_file_of_one_megabyte_is_refused_and_one_byte_less_is_read(tmp_path: Path) -> None:
    head = "ecog: 1\n#"
    assert read_clinical(written(tmp_path, head + "x" * (MAX_BYTES - len(head) - 1))).number("ecog") == 1
    for name in ("record.yaml", "record.json"):
        big = (
            head + "x" * (MAX_BYTES - len(head)) if name.endswith("yaml") else json.dumps({"case_id": "x" * MAX_BYTES})
        )
        with pytest.raises(ClinicalError, match="wanted less than 1 MB"):
            read_clinical(written(tmp_path, big, name))


@pytest.mark.parametrize("content", ["[" * 100_000, "{" * 100_000, "a: " * 50_000, "- " * 100_000, "? " * 100_000])
def test_nesting_without_end_is_refused_at_once(tmp_path: Path, content: str) -> None:
    started = time.perf_counter()
    for name in ("record.yaml", "record.json"):
        with pytest.raises(ClinicalError):
            read_clinical(written(tmp_path, content, name))
    assert time.perf_counter() - started < 5.0


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClinicalError, match="No such file"):
        read_clinical(tmp_path / "record.yaml")
    with pytest.raises(ClinicalError, match="directory"):
        read_clinical(tmp_path)


def test_a_record_written_as_json_reads_back(tmp_path: Path) -> None:
    record = parse_record(MEANS)
    assert read_clinical(written(tmp_path, json.dumps(record.to_json()), "again.json")) == record
