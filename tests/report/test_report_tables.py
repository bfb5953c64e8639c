"""tables/*.csv: units in the column names, full precision, empty where nothing was assessed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import example_case
import pytest

from liverplan.errors import UnreadableInput
from liverplan.report.tables import write_tables


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(folder: Path, report: dict[str, Any] | None = None) -> Path:
    write_tables(folder, report or example_case.report())
    return folder


def test_all_ten_tables_are_written(tmp_path: Path) -> None:
    names = {path.name for path in write_tables(tmp_path, example_case.report())}
    tables = ("lesions", "clearances", "margin_curve", "eligibility", "eligibility_parts", "structures", "quality")
    tables += ("resections", "divided_vessels", "vessel_choices")
    assert names == {f"{name}.csv" for name in tables}


def test_every_length_volume_and_share_carries_its_unit(tmp_path: Path) -> None:
    written(tmp_path)
    columns = {c for name in ("lesions", "clearances", "margin_curve", "structures") for c in read(tmp_path, name)[0]}
    without_unit = {"lesion_id", "segments", "structure", "reason", "contact", "present", "wide_margin"}
    without_unit |= {"limiting_kind", "limiting_structure", "margin_upper_reason"}
    assert all(column.endswith(("_mm", "_ml", "_percent")) for column in columns - without_unit)


def test_a_clearance_row_holds_the_interval_and_both_ends(tmp_path: Path) -> None:
    row = read(written(tmp_path), "clearances")[0]
    vessel = example_case.report()["lesions"][0]["vessels"][0]
    assert float(row["clearance_low_mm"]) == vessel["clearance_mm"]["low"]
    assert float(row["vessel_z_lps_mm"]) == vessel["witness_lps_mm"][1][2]
    assert row["contact"] == "false"


def test_the_curve_has_a_row_for_every_margin(tmp_path: Path) -> None:
    rows = read(written(tmp_path), "margin_curve")
    assert [float(row["margin_mm"]) for row in rows] == list(range(31))


def test_unknown_is_an_empty_cell_with_its_reason(tmp_path: Path) -> None:
    report = example_case.report()
    report["lesions"][0]["vessels"][0] |= {"clearance_mm": {"value": None, "reason": "absent"}, "witness_lps_mm": None}
    row = read(written(tmp_path, report), "clearances")[0]
    assert (row["clearance_mm"], row["reason"], row["lesion_x_lps_mm"]) == ("", "absent", "")


def test_text_cannot_become_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    report = example_case.report()
    report["quality"][0]["message"] = '=HYPERLINK("http://evil.example")'
    assert read(written(tmp_path, report), "quality")[0]["message"].startswith("'=")


def test_a_case_without_lesions_gives_tables_with_headers_only(tmp_path: Path) -> None:
    written(tmp_path, {**example_case.report(), "lesions": [], "margin_curve": []})
    assert read(tmp_path, "lesions") == []
    assert (tmp_path / "tables" / "margin_curve.csv").read_text().startswith("margin_mm,")


def test_a_resection_has_a_row_per_lesion_that_says_what_sets_its_margin(tmp_path: Path) -> None:
    rows = read(written(tmp_path), "resections")
    assert [(r["lesion_id"], r["margin_mm"], r["margin_set_by"], r["margin_structure"]) for r in rows] == [
        ("1", "8.0", "parenchyma", ""),
        ("2", "9.1", "vessel", "hepatic_veins"),
    ]
    assert {r["flr_over_urata_percent"] for r in rows} == {"84.5"}
    assert {r["flr_to_weight_percent"] for r in rows} == {""}


def test_every_divided_vessel_and_every_choice_has_a_row(tmp_path: Path) -> None:
    written(tmp_path)
    (vessel,) = read(tmp_path, "divided_vessels")
    assert (vessel["resection"], vessel["branch"], vessel["territory_ml"]) == ("wedges", "segment 8", "48.3")
    choices = read(tmp_path, "vessel_choices")
    assert [(c["lesion_id"], c["if_kept_margin_mm"]) for c in choices] == [("1", "3.3"), ("2", "3.3")]


def test_every_part_of_a_criterion_has_a_row(tmp_path: Path) -> None:
    report = example_case.report()
    report["eligibility"]["criteria"][6]["parts"] = example_case.parts()
    rows = read(written(tmp_path, report), "eligibility_parts")
    assert [(r["criterion"], r["part"], r["outcome"]) for r in rows] == [
        ("I7", "I7a", "undetermined"),
        ("I7", "I7b", "not_met"),
        ("I7", "I7c", "met"),
    ]
    assert (rows[1]["value"], rows[2]["outranked"]) == ("3.2", "lesions.count 13.0")


@pytest.mark.parametrize("key", ["capsule_distance_mm", "vessels", "wide_margin"])
def test_a_lesion_that_lacks_something_is_refused_and_no_table_is_written(tmp_path: Path, key: str) -> None:
    report = example_case.report()
    del report["lesions"][0][key]
    with pytest.raises(UnreadableInput, match="not a report of liverplan"):
        write_tables(tmp_path, report)
    assert not list(tmp_path.rglob("*.csv"))
