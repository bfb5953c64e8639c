"""report.pdf: two to four pages that say what report.json says, read back by a reader that did not write them."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import example_case
import numpy as np
import pypdf
import pytest

from liverplan.errors import UnreadableInput
from liverplan.io.folder import write_json_atomic
from liverplan.report import render_report
from liverplan.report.drawing import Canvas
from liverplan.report.figures import Figure, write_index
from liverplan.report.fonts import clean, font_files
from liverplan.report.pdf import render_pdf
from liverplan.report.pdf_body import chosen
from liverplan.report.wording import BANNER

HOSTILE = '<script>alert(1)</script><para>&amp;</para> <b>"\\\x00\x07\ud83d ]]> %s {0} 手術 🏥 \u202e'
LONG = "words that go on " * 600
ONE_WORD = "w" * 5000


def pages(content: bytes) -> list[str]:
    """The text of every page, on one line, with plain spaces and minus signs."""
    found = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    return [
        re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")) for text in found
    ]


def pdf(report: dict[str, Any] | None = None, run: dict[str, Any] | None = None) -> bytes:
    return render_pdf(report or example_case.report(), run or {}, [], Path())


def words(report: dict[str, Any] | None = None, run: dict[str, Any] | None = None) -> str:
    return " ".join(pages(pdf(report, run)))


def with_pictures(folder: Path, report: dict[str, Any]) -> Path:
    """A folder with the pictures of a planned case and this report."""
    (folder / "figures").mkdir()
    figures = [Figure("view_anterior.png", "view", None, "Anterior", "From the front.", "Steps.")]
    for lesion in report["lesions"]:
        for kind in ("closeup", "slice"):
            name = f"lesion_{lesion['id']}_{kind}.png"
            figures.append(Figure(name, kind, lesion["id"], f"Lesion {lesion['id']}: {kind}", "Its line.", "Shifted."))
    for shade, figure in enumerate(figures, 100):
        Canvas(np.full((270, 320, 3), shade, dtype=np.uint8), 1).save(folder / "figures" / figure.file)
    write_index(folder, figures, "vtk")
    write_json_atomic(folder / "report.json", report)
    return folder


def undetermined() -> dict[str, Any]:
    """A case of which nothing can be said: no vessels, no curve, no plan, every criterion open."""
    unknown = {"value": None, "reason": "portal and hepatic veins are not segmented"}
    report = {**example_case.report(), "resections": [], "quality": []}
    for name in ("portal_vein", "hepatic_veins", "inferior_vena_cava"):
        report["segmentation"]["structures"][name] = {"volume_ml": None, "present": False}
    for lesion in report["lesions"]:
        lesion |= {"vessels": [], "margin_upper_mm": unknown, "wide_margin": "undetermined", "vessel_choices": []}
        lesion["limiting"] = {"kind": "none", "structure": None, "witness_lps_mm": None}
    for row in report["margin_curve"]:
        row |= {key: None for key in row if key != "margin_mm"}
    report["case"] |= {"margin_upper_mm": unknown, "limiting": None, "best_resection": None}
    report["case"] |= {"predicted_fresh_margin_mm": None}
    for criterion in report["eligibility"]["criteria"]:
        criterion |= {"outcome": "undetermined", "value": None, "limit": None, "missing": ["clinical record"]}
    return report


def crowded(lesions: int = 8, resections: int = 12) -> dict[str, Any]:
    """Many lesions, many plans that take them all out."""
    report = example_case.report()
    first, plan = report["lesions"][0], report["resections"][0]
    report["lesions"] = [{**copy.deepcopy(first), "id": n, "segments": [n % 8 + 1]} for n in range(1, lesions + 1)]
    margins = [{**plan["margin_mm"][0], "lesion_id": n, "value": 8.0 + n} for n in range(1, lesions + 1)]
    divided = [{**plan["divided_vessels"][0], "branch": f"branch {n}"} for n in range(30)]
    report["resections"] = [
        {**copy.deepcopy(plan), "name": f"segmental_{n}_and_wedges", "margin_mm": margins, "divided_vessels": divided}
        for n in range(1, resections + 1)
    ]
    report["case"]["best_resection"] = "segmental_1_and_wedges"
    return report


def hostile() -> dict[str, Any]:
    """Every text of the report is an attack or far too long."""
    attacks = iter([HOSTILE, LONG, ONE_WORD] * 4000)
    kept = {"schema_version", "kind", "wide_margin", "outcome", "verdict", "status", "meets_protocol", "set_by", "id"}
    kept |= {"confidence", "origin"}

    def spoilt(node: Any, key: str = "") -> Any:
        if isinstance(node, dict):
            return {name: spoilt(child, name) for name, child in node.items()}
        if isinstance(node, list):
            return [spoilt(child, key) for child in node]
        return next(attacks) if isinstance(node, str) and key not in kept else node

    return spoilt(example_case.report() | {"clinical": example_case.clinical()})


def test_the_first_page_answers() -> None:
    first, report = pages(pdf())[0], example_case.report()
    order = ["Undetermined", "The 7 mm limit lies inside", "Limited by the", "What no resection can exceed"]
    order += ["Planned margin", "Best plan, as measured", "Wedges", "Trial criteria: NCT06934018"]
    order += ["What is missing, and where", "Quality gates"]
    places = [first.index(word) for word in order]
    assert places == sorted(places)
    x, y, z = report["lesions"][1]["limiting"]["witness_lps_mm"][1]
    assert f"({x:.1f}, {y:.1f}, {z:.1f})" in first


@pytest.mark.parametrize("density", ["example", "crowded"])
def test_every_page_has_the_banner_and_its_number(density: str) -> None:
    found = pages(pdf(example_case.report() if density == "example" else crowded()))
    assert 2 <= len(found) <= 4
    for number, text in enumerate(found, 1):
        assert BANNER in text
        assert f"page {number} of {len(found)}" in text


def test_the_numbers_are_those_of_the_report() -> None:
    report, text = example_case.report(), words()
    for lesion in report["lesions"]:
        upper = lesion["margin_upper_mm"]
        assert f"{upper['value']:.1f} mm {upper['low']:.1f} to {upper['high']:.1f}" in text
        assert f"{lesion['longest_diameter_mm']:.1f} mm" in text
    plan = report["resections"][0]
    flr, margin = plan["flr_percent"], plan["margin_mm"][0]
    assert f"{flr['value']:.1f} % {flr['low']:.1f} to {flr['high']:.1f}" in text
    assert f"{margin['value']:.1f} mm {margin['low']:.1f} to {margin['high']:.1f}" in text
    assert f"{report['liver']['volume_ml']:.0f} mL" in text
    assert f"{plan['flr_standardised_percent']['urata']:.1f} % (urata)" in text
    for key in ("sha256",):
        assert report["input"][key] in text
        assert report["eligibility"][key] in text


def test_both_denominators_stand_beside_each_other_and_a_missing_one_says_why() -> None:
    report = example_case.report()
    report["resections"][0]["flr_standardised_percent"] = None
    first = pages(pdf(report))[0]
    assert "% of measured liver without tumour" in first
    assert "not assessable: height and weight are not recorded" in first


def test_every_criterion_has_its_outcome_and_evidence() -> None:
    text = words()
    for identifier, _, said in example_case.CRITERIA:
        assert re.search(rf"\b{identifier} (Met|Not met|Undetermined) {re.escape(said)}", text), identifier


def test_a_composite_criterion_shows_every_part_with_its_own_outcome() -> None:
    report = example_case.report()
    report["eligibility"]["criteria"][6] |= {"outcome": "not_met", "parts": example_case.parts()}
    report["eligibility"]["verdict"] = "does_not_meet"
    text = words(report)
    assert "I7a Undetermined \N{BULLET} R0 resection possible" in text
    assert "I7b Not met \N{BULLET} wide margin achievable" in text
    assert "Fails I7b: wide margin achievable" in text
    assert "The software had measured: liver metastases counted on the scan: 13" in text


def test_letters_beyond_ascii_are_drawn_and_can_be_read_back() -> None:
    report = example_case.report()
    report["case"]["reason"] = "Métastases ≥ 7 mm², Größe µ, Łódź, Ελλάδα, Привет"
    assert "Métastases ≥ 7 mm², Größe µ, Łódź, Ελλάδα, Привет" in words(report)


def test_a_letter_that_the_font_lacks_spoils_nothing() -> None:
    report = example_case.report()
    report["case"]["reason"] = "手術 🏥 before"
    assert "before" in words(report)


def test_hostile_and_endless_texts_are_text_and_are_cut() -> None:
    found = pages(pdf(hostile()))
    assert 2 <= len(found) <= 4
    assert "<script>alert(1)</script>" in found[0]
    assert "\N{HORIZONTAL ELLIPSIS}" in found[0]
    assert "Quality gates" in found[0]


def test_hostile_texts_start_no_action() -> None:
    content = pdf(hostile())
    assert not re.search(rb"/(JavaScript|JS|OpenAction|Launch|URI)\b", content)


def test_many_lesions_and_resections_fit_and_none_is_lost() -> None:
    found = pages(pdf(crowded()))
    assert len(found) <= 4
    assert "Quality gates" in found[0]
    assert all(re.search(rf"\b{n}\. Segmental {n} and wedges", " ".join(found)) for n in range(1, 13))


def test_what_does_not_fit_is_counted() -> None:
    text = words(crowded(lesions=40, resections=30))
    assert re.search(r"\d+ more lesions, with more room, in report.html and report.json", text)
    assert "18 more resections in report.html" in text or "22 more resections in report.html" in text


def test_undetermined_is_never_a_number() -> None:
    found = pages(pdf(undetermined()))
    text = " ".join(found)
    assert 2 <= len(found) <= 4
    assert "not assessable: portal and hepatic veins are not segmented" in found[0]
    assert "Functional remnant if 7 mm is taken not assessable" in found[0]
    assert "functional: not assessable" in text
    assert "absent; what depends on it is undetermined" in text
    assert "No resection was measured for this case" in text
    assert not re.search(r"(?<![\d.])0\.0 (mm|%|mL)|\bNone\b|\bnan\b", text)


def test_a_case_without_lesions_is_a_case() -> None:
    report = {**example_case.report(), "lesions": [], "margin_curve": [], "resections": []}
    report["case"] |= {"margin_upper_mm": {"value": None, "reason": "no lesion"}, "limiting": None}
    found = pages(pdf(report))
    assert "No lesion in the masks: there is no margin to assess" in found[0]
    assert 2 <= len(found) <= 4


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, example_case.report())
    paths = render_report(folder)
    assert paths[1] == folder / "report.pdf"
    first = paths[1].read_bytes()
    assert render_report(folder)[1].read_bytes() == first


def test_what_changes_in_the_report_changes_the_bytes() -> None:
    report = example_case.report()
    report["case"]["reason"] = "another reason"
    assert pdf(report) != pdf()


def test_pictures_of_the_folder_are_inside(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, example_case.report())
    reader = pypdf.PdfReader(render_report(folder)[1])
    assert sum(len(page.images) for page in reader.pages) == 5
    assert "Lesion 2: slice." in " ".join(page.extract_text() for page in reader.pages)


def test_a_picture_that_cannot_be_read_leaves_the_rest(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, example_case.report())
    (folder / "figures" / "view_anterior.png").write_bytes(b"no picture")
    reader = pypdf.PdfReader(render_pdf(example_case.report(), {}, [], folder) and render_report(folder)[1])
    assert "The picture cannot be read." in " ".join(page.extract_text() for page in reader.pages)


def test_the_tightest_lesion_is_shown_when_there_is_room_for_few() -> None:
    report = example_case.report()
    figures = [Figure(f"s{n}", "slice", n, "", "", "") for n in (1, 2)]
    assert [f.lesion_id for f in chosen(report, figures, 1)] == [2]


def test_the_text_is_in_an_embedded_font() -> None:
    page = pypdf.PdfReader(io.BytesIO(pdf())).pages[0]
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
    drawn = [font for font in fonts if font["/Subtype"] == "/TrueType"]
    assert drawn
    assert all("/FontFile2" in font["/FontDescriptor"] for font in drawn)
    assert all(path.is_file() for path in font_files())


def test_the_clinical_record_is_a_section_where_there_is_one() -> None:
    text = words(example_case.report() | {"clinical": example_case.clinical()})
    assert "Clinical record, as stated" in text
    assert "Bilirubin 0.8 mg/dL" in text
    assert "Child-Pugh 5 to 7 points, class undetermined (class A to B)" in text
    assert "Clinical record, as stated" not in words()


def test_the_methods_say_what_was_run_when_it_is_known() -> None:
    run = {"settings": {"margin_mm": 9.5, "weight_kg": 71}, "versions": {"numpy": "9.9.9", "torch": None}}
    text = words(run=run)
    assert "a margin of 9.5 mm was asked for; weight 71 kg" in text
    assert "numpy 9.9.9" in text
    assert "libraries: see run.json" in words()


@pytest.mark.parametrize("run", [{"settings": 3, "versions": "x"}, {"settings": {"margin_mm": [HOSTILE]}}])
def test_a_damaged_run_record_spoils_nothing(run: dict[str, Any]) -> None:
    assert "Methods and provenance" in words(run=run)


def test_a_report_with_a_hole_deep_inside_is_refused(tmp_path: Path) -> None:
    report = example_case.report()
    del report["resections"][0]["divided_vessels"]
    write_json_atomic(tmp_path / "report.json", report)
    with pytest.raises(UnreadableInput, match=r"report\.json"):
        render_report(tmp_path)


def test_text_is_cleaned_and_cut_with_a_mark() -> None:
    assert clean("a\x00b\n c", 20) == "a b c"
    assert clean("abcdef", 4) == "abc\N{HORIZONTAL ELLIPSIS}"
    assert clean(f"7.1{chr(0xA0)}mm", 10) == f"7.1{chr(0xA0)}mm"
