"""The FHIR bundle says what report.json says, in resources that an independent library accepts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

import simple_case
from liverplan.cli.main import run
from liverplan.io.fhir_report import FILE, OWN_SYSTEM, diagnostic_report
from liverplan.io.statements import groups
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.volume import Segmentation

BALLS = (simple_case.Ball((-22.0, 4.0, 36.0), 7.0), simple_case.Ball((12.0, 3.0, -30.0), 6.0))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("case")
    grid = simple_case.grid((2.0, 2.0, 2.5))
    masks = simple_case.masks(grid, BALLS)
    write_volume(simple_case.image(grid, masks), home / "scan.nii.gz")
    write_segmentation(Segmentation(grid, masks.masks), home / "masks")
    (home / "patient.yaml").write_text("case_id: case-7\n")
    arguments = ["plan", home / "scan.nii.gz", "--segmentation", home / "masks", "--clinical", home / "patient.yaml"]
    assert run([str(a) for a in (*arguments, "-o", home / "out", "--no-pictures", "--quiet")]) == 0
    return home / "out"


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bundle(out: Path) -> dict[str, Any]:
    return json.loads((out / FILE).read_text(encoding="utf-8"))


def observations(bundle: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation")


def named(bundle: dict[str, Any], text: str) -> dict[str, Any]:
    (found,) = [o for o in observations(bundle) if o["code"]["text"] == text]
    return found


def test_an_independent_library_reads_it_as_r4(bundle: dict[str, Any]) -> None:
    read = Bundle.model_validate(bundle)
    kinds = [entry.resource.get_resource_type() for entry in read.entry]
    assert kinds[0] == "DiagnosticReport"
    assert set(kinds[1:]) == {"Observation"}


def test_the_report_refers_to_every_observation_once_and_to_the_case(bundle: dict[str, Any]) -> None:
    head, *rest = bundle["entry"]
    assert [r["reference"] for r in head["resource"]["result"]] == [entry["fullUrl"] for entry in rest]
    assert len({entry["fullUrl"] for entry in rest}) == len(rest) > 20
    assert head["resource"]["subject"]["display"] == "case-7"
    assert head["resource"]["status"] == "preliminary"
    assert "esearch use only" in head["resource"]["conclusion"]
    assert head["resource"]["presentedForm"][0]["url"] == "../report.pdf"


def test_margins_and_clearances_are_those_of_report_json_with_their_intervals(
    bundle: dict[str, Any], report: dict[str, Any]
) -> None:
    for lesion in report["lesions"]:
        wanted = {f"Lesion {lesion['id']}: Largest margin possible": lesion["margin_upper_mm"]}
        for vessel in lesion["vessels"]:
            title = {"portal_vein": "Portal vein", "hepatic_veins": "Hepatic veins"}.get(vessel["structure"])
            if title:
                wanted[f"Lesion {lesion['id']}: Clearance to {title.lower()}"] = vessel["clearance_mm"]
        texts = {o["code"]["text"].lower(): o for o in observations(bundle)}
        for text, value in wanted.items():
            found = texts[text.lower()]
            assert found["valueQuantity"]["value"] == value["value"]
            assert found["valueQuantity"]["code"] == "mm"
            low, high = (c["valueQuantity"]["value"] for c in found["component"])
            assert (low, high) == (value["low"], value["high"])


def test_the_liver_s_volume_has_ucum_units(bundle: dict[str, Any], report: dict[str, Any]) -> None:
    found = named(bundle, "Liver: Volume")["valueQuantity"]
    assert found["value"] == report["liver"]["volume_ml"]
    assert (found["system"], found["code"]) == ("http://unitsofmeasure.org", "mL")


def test_the_verdict_is_a_concept_with_its_reason(bundle: dict[str, Any], report: dict[str, Any]) -> None:
    found = named(bundle, "Case: Wide margin")
    (coding,) = found["valueCodeableConcept"]["coding"]
    assert coding["code"] == report["case"]["wide_margin"]
    assert coding["system"] == OWN_SYSTEM
    assert report["case"]["reason"] in found["note"][0]["text"]


def test_what_could_not_be_assessed_is_absent_with_its_reason_and_never_a_number(report: dict[str, Any]) -> None:
    blind = json.loads(json.dumps(report))
    blind["case"]["margin_upper_mm"] = {"value": None, "reason": "the portal vein is not in the masks"}
    bundle = diagnostic_report(blind)
    Bundle.model_validate(bundle)
    found = named(bundle, "Case: Largest margin possible")
    assert "valueQuantity" not in found
    assert "component" not in found
    assert found["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert found["note"][0]["text"] == "the portal vein is not in the masks"


def test_the_same_report_gives_the_same_bundle_and_deciding_again_renews_it(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    before = (copy / FILE).read_bytes()
    assert json.loads(before) == diagnostic_report(
        json.loads((copy / "report.json").read_text(encoding="utf-8")), has_pdf=True
    )
    (tmp_path / "other.yaml").write_text("case_id: case-8\n")
    assert run(["eligibility", str(copy), "--clinical", str(tmp_path / "other.yaml"), "--quiet"]) == 0
    assert (
        json.loads((copy / FILE).read_text(encoding="utf-8"))["entry"][0]["resource"]["subject"]["display"] == "case-8"
    )


def test_rendering_the_report_again_writes_the_bundle_again(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    before = (copy / FILE).read_bytes()
    (copy / FILE).unlink()
    assert run(["report", str(copy), "--quiet"]) == 0
    assert (copy / FILE).read_bytes() == before


def test_deciding_again_changes_nothing_that_the_structured_report_says(out: Path, tmp_path: Path) -> None:
    """So dicom/sr.dcm, which cannot be written without the scan, stays true when another record or protocol decides."""
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    before = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    (tmp_path / "other.yaml").write_text("case_id: case-9\nage_years: 90\nheight_cm: 170\nweight_kg: 70\n")
    assert run(["eligibility", str(copy), "--clinical", str(tmp_path / "other.yaml"), "--quiet"]) == 0
    after = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    assert after != before
    assert groups(after) == groups(before)
