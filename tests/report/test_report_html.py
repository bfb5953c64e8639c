"""report.html: one file that says everything report.json says, in words a surgeon reads, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import example_case
import numpy as np
import pytest

from liverplan.errors import UnreadableInput
from liverplan.io.folder import write_json_atomic
from liverplan.report import render_report
from liverplan.report.drawing import Canvas
from liverplan.report.figures import Figure, write_index
from liverplan.report.html import render_html
from liverplan.report.wording import BANNER, NOT_ASSESSABLE

OWN_SCRIPTS = 2
"""Of a page without surfaces and slices: the table and the script that reads it."""


def page(report: dict[str, Any] | None = None) -> str:
    return render_html(report or example_case.report(), [], {})


def plain(html: str) -> str:
    """The words of a page, without tags, with single spaces."""
    words = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]+>", " ", html, flags=re.S)
    return re.sub(
        r"\s+", " ", words.replace("&nbsp;", " ").replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
    )


def test_the_banner_and_the_answer_come_first() -> None:
    words = plain(page())
    order = [
        words.index(w) for w in (BANNER, "Undetermined", "The 7 mm limit lies inside", "Pictures", "Quality checks")
    ]
    assert order == sorted(order)


def test_every_criterion_appears_with_its_outcome_and_what_is_missing() -> None:
    words = plain(page())
    for identifier, _, text in example_case.CRITERIA:
        assert re.search(rf"\b{identifier} (Met|Not met|Undetermined) {re.escape(text)}", words), identifier
    assert "r0_confirmed_by_surgeon" in words


def test_the_trial_is_answered_before_the_pictures_with_what_to_obtain_next() -> None:
    report = example_case.report()
    for criterion, missing in zip(
        report["eligibility"]["criteria"], (["age_years"], ["lesions.count or liver_metastases_current"]), strict=False
    ):
        criterion["missing"] = missing
    words = plain(page(report))
    card = words[words.index("Protocol NCT06934018, version 1.0") : words.index("Pictures Resections Explore") + 9000]
    assert "No criterion fails, and 20 of 21 cannot be decided yet. 1 met 0 not met 20 undetermined" in card
    assert "Look up in the patient's record Age I1" in card
    assert "Liver metastases counted on the scan or Liver metastases by all examinations I2" in card
    assert words.index("What to obtain next") < words.index("Every criterion with its evidence")


def test_what_fails_is_said_first_by_part() -> None:
    report = example_case.report()
    report["eligibility"]["criteria"][6] |= {"outcome": "not_met", "parts": example_case.parts()}
    report["eligibility"]["verdict"] = "does_not_meet"
    words = plain(page(report))
    assert "I7 is not met. 19 of 21 cannot be decided yet." in words
    assert "What fails I7b wide margin achievable Too near the vena cava." in words


def test_a_composite_criterion_shows_every_part_and_what_a_statement_outranked() -> None:
    report = example_case.report()
    report["eligibility"]["criteria"][6] |= {"outcome": "not_met", "parts": example_case.parts()}
    words = plain(page(report))
    assert "I7a Undetermined R0 resection possible not recorded asked: yes" in words
    assert "I7b Not met wide margin achievable 3.2 mm [2.4 to 4.0] asked: at least 7 mm" in words
    assert "The software had measured: liver metastases counted on the scan: 13." in words


def test_a_case_that_meets_everything_asks_for_nothing() -> None:
    report = example_case.report()
    report["eligibility"]["verdict"] = "meets_recorded_criteria"
    for criterion in report["eligibility"]["criteria"]:
        criterion |= {"outcome": "met", "missing": []}
    words = plain(page(report))
    assert "Nothing is missing" in words
    assert "What to obtain next" not in words


def test_without_a_clinical_record_there_is_no_section_of_it() -> None:
    assert "Clinical record" not in plain(page())


def test_the_clinical_record_says_who_stated_what_and_what_child_pugh_can_be() -> None:
    words = plain(page(example_case.report() | {"clinical": example_case.clinical()}))
    assert "Bilirubin 0.8 mg/dL laboratory, 2026-11-02" in words
    assert "ECOG performance status 0 nobody named" in words
    assert "Primary tumour in situ planned after" in words
    assert "Child-Pugh 5 to 7 points, class undetermined (class A to B). Not recorded: Encephalopathy." in words
    assert "remark Prior chemotherapy is no, but the counts differ." in words
    assert "12 days from the scan to the planned surgery." in words


def test_an_empty_clinical_record_is_empty_and_not_normal() -> None:
    clinical = {
        "fields": {},
        "child_pugh": None,
        "remarks": [],
        "days_to_surgery": {"value": None, "reason": "no date"},
    }
    words = plain(page(example_case.report() | {"clinical": clinical}))
    assert "Nothing was recorded." in words
    assert "Days from scan to surgery: no date." in words


def test_the_word_eligible_is_never_a_verdict() -> None:
    report = example_case.report()
    report["eligibility"]["verdict"] = "meets_recorded_criteria"
    words = plain(page(report))
    assert "Meets the recorded criteria; the investigator must confirm" in words
    assert words.lower().count("eligible") == words.count("never says that a patient is eligible")


def test_lengths_have_one_decimal_and_a_unit_and_an_interval() -> None:
    words = plain(page())
    assert "7.1 mm 6.3 to 7.9" in words
    assert "7.112" not in words


def test_both_remnants_stand_at_the_top_with_their_intervals() -> None:
    words = plain(page())
    assert "What no resection can exceed" in words
    assert "Functional remnant if 7 mm is taken 90.9 % 88.6 to 92.8 %" in words
    assert "Geometric remnant if 7 mm is taken 97.5 % 96.7 to 98.3 %" in words


def test_the_two_answers_stand_side_by_side_each_with_its_question() -> None:
    words = plain(page())
    image = words.index("The image: can a margin of \N{GREATER-THAN OR EQUAL TO} 7 mm around every lesion be reached?")
    trial = words.index("The trial: does the patient meet the criteria of NCT06934018? Undetermined No criterion fails")
    assert (
        image < trial < words.index("What no resection can exceed") < words.index("The best plan, as measured: Wedges")
    )


def test_a_plan_never_meets_it_reaches() -> None:
    report = example_case.report()
    for plan in report["resections"]:
        plan["meets_protocol"] = "met"
    words = plain(page(report))
    table = words[words.index("Margin and remnant asked for") : words.index("What each resection costs")]
    assert "Reaches both" in table
    assert not re.search(r"\b[Mm]et\b", table)


def test_the_gravest_quality_checks_are_said_in_words_beside_the_answer() -> None:
    report = example_case.report()
    thick = {"check": "slice_thickness", "status": "fail", "value": 9.0, "message": "slices of 9 mm"}
    mild = {"check": "phase", "status": "warning", "value": None, "message": "no phase"}
    missing = {"check": "structure_portal_vein", "status": "warning", "value": None, "message": "no portal vein"}
    report["quality"] = [mild, missing, thick]
    words = plain(page(report))
    said = (
        "Quality: 3 of 3 checks raised something, among them: fail Slices of 9 mm. warning No portal vein. All checks"
    )
    assert said in words
    assert words.index(said) < words.index("What no resection can exceed")


def test_the_witness_coordinates_are_given_for_every_clearance() -> None:
    words, report = plain(page()), example_case.report()
    for lesion in report["lesions"]:
        for vessel in lesion["vessels"]:
            x, y, z = vessel["witness_lps_mm"][1]
            assert f"({x:.1f}, {y:.1f}, {z:.1f})".replace("-", "\N{MINUS SIGN}") in words


def test_what_could_not_be_assessed_says_why() -> None:
    report = example_case.report()
    report["lesions"][0]["vessels"][0] |= {
        "clearance_mm": {"value": None, "reason": "the portal vein is not segmented"},
        "witness_lps_mm": None,
        "contact": None,
    }
    for row in report["margin_curve"]:
        row |= {"flr_percent": None, "flr_low_percent": None, "flr_high_percent": None, "congested_ml": None}
    words = plain(page(report))
    assert f"{NOT_ASSESSABLE}: the portal vein is not segmented" in words
    assert f"Functional remnant if 7 mm is taken {NOT_ASSESSABLE}: inflow or outflow is not known" in words
    assert "functional: not assessable" in words
    assert "None" not in words


def test_a_case_without_lesions_is_a_case() -> None:
    report = {**example_case.report(), "lesions": [], "margin_curve": []}
    report["case"] |= {"margin_upper_mm": {"value": None, "reason": "no lesion"}}
    assert "No lesion in the masks" in plain(page(report))


def test_an_infeasible_case_names_what_limits_it() -> None:
    report = example_case.report()
    report["case"] |= {"wide_margin": "infeasible", "margin_upper_mm": {"value": 3.2, "low": 2.4, "high": 4.0}}
    report["case"]["limiting"] = {
        "kind": "vessel",
        "structure": "inferior_vena_cava",
        "witness_lps_mm": [[1, 2, 3], [4, 5, 6]],
    }
    assert "Limited by the inferior vena cava at (4.0, 5.0, 6.0) mm LPS" in plain(page(report))


def test_a_feasible_case_names_its_plan_and_says_that_this_is_no_eligibility() -> None:
    report = example_case.report()
    report["case"] |= {"wide_margin": "feasible", "reason": "the resection 'wedges' shows it"}
    words = plain(page(report))
    assert words.index("Feasible") < words.index("Wedges : a measured plan reaches it") < words.index("Pictures")
    assert "it is not eligibility" in words


def test_what_sets_a_margin_is_said_in_words() -> None:
    words = plain(page())
    assert "a parenchyma-limited margin" in words
    assert "set by the hepatic veins, which stays: a vessel-limited margin" in words
    assert "R1 vascular, not R1 parenchymal" in words


def test_a_lesion_that_stays_behind_hides_the_least_margin() -> None:
    report = example_case.report()
    report["resections"][0]["margin_mm"][1] = {"lesion_id": 2, "value": None, "reason": "lesion 2 is not taken out"}
    words = plain(page(report))
    assert f"Least margin over its lesions {NOT_ASSESSABLE}" in words
    assert "lesion 2 is not taken out" in words


def test_the_fresh_margin_is_marked_illustrative_and_never_certain() -> None:
    words = plain(page())
    assert words.index("Illustrative") < words.index("CUSA 4.5 mm 0.0 to 9.0 14 %")
    assert "P(every margin \N{GREATER-THAN OR EQUAL TO} 7 mm), a lower bound: > 99 %" in words


def test_branches_are_named_or_it_says_why_not() -> None:
    words = plain(page())
    assert "right portal vein 0.90" in words
    assert "Variant: trifurcation" in words
    assert "numbered, not named (6 branches): two roots" in words


def test_hostile_text_stays_text() -> None:
    attack = '<script>alert(1)</script><img src="http://evil.example/x">'
    report = example_case.report()
    report["case"]["reason"] = report["assumptions"][0] = report["input"]["phase"] = attack
    report["quality"][0]["message"] = report["eligibility"]["criteria"][0]["evidence"] = attack
    report["lesions"][0]["vessels"][0]["structure"] = attack
    report["resections"][0]["name"] = report["resections"][0]["notes"][0] = attack
    html = page(report)
    assert "alert(1)" not in "".join(re.findall(r"<script>(.*?)</script>", html, flags=re.S))
    assert html.count("<script") == OWN_SCRIPTS
    assert "<img" not in html


def test_hostile_captions_stay_text() -> None:
    attack = '"><script>alert(1)</script>'
    html = render_html(
        example_case.report(), [Figure("a.png", "view", None, attack, attack, attack)], {"a.png": b"png"}
    )
    assert html.count("<script") == OWN_SCRIPTS


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    html = written(tmp_path).read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', html)
    assert sources
    assert all((a or b).startswith(("data:", "#")) for a, b in sources)
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_the_pictures_of_the_folder_are_inside_the_page(tmp_path: Path) -> None:
    assert written(tmp_path).read_text(encoding="utf-8").count("data:image/png;base64,") == 1


def test_an_index_cannot_bring_in_files_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    page_path = written(tmp_path, "../secret.png")
    assert "c2VjcmV0" not in page_path.read_text(encoding="utf-8")


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()
    assert render_report(tmp_path)[0].read_bytes() == first


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema_version": "2"}', '{"schema_version": "1", "liver": NaN}']
)
def test_a_damaged_report_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(UnreadableInput, match=r"report\.json"):
        render_report(tmp_path)


def test_a_report_with_a_hole_deep_inside_is_refused(tmp_path: Path) -> None:
    report = example_case.report()
    del report["lesions"][0]["vessels"][0]["clearance_mm"]
    write_json_atomic(tmp_path / "report.json", report)
    with pytest.raises(UnreadableInput):
        render_report(tmp_path)


def written(folder: Path, file: str = "view_anterior.png") -> Path:
    (folder / "figures").mkdir()
    Canvas(np.full((20, 20, 3), 200, dtype=np.uint8), 2).save(folder / "figures" / "view_anterior.png")
    write_index(folder, [Figure(file, "view", None, "Anterior", "From the front.", "Steps.")], "vtk")
    write_json_atomic(folder / "report.json", example_case.report())
    return render_report(folder)[0]


def test_without_a_lesion_nothing_is_promised_about_a_margin() -> None:
    report = example_case.report()
    report |= {"lesions": [], "resections": []}
    report["case"] |= {
        "wide_margin": "undetermined",
        "margin_upper_mm": {"value": None, "reason": "there is no lesion"},
    }
    report["case"]["limiting"] = {"kind": "none", "structure": None, "witness_lps_mm": None}
    words = plain(page(report))
    assert "Functional remnant if 7 mm is taken not assessable: without a lesion there is no margin" in words
    assert "Nothing limits the margin" not in words
    assert "without a lesion there is no margin curve" in words
    assert "margin inside the liver" not in words


def test_a_plan_is_not_said_to_spare_vessels_that_nobody_segmented() -> None:
    report = example_case.report()
    report["segmentation"]["structures"]["portal_vein"]["present"] = False
    report["resections"][0]["divided_vessels"] = []
    words = plain(page(report))
    assert "0 vessels divided, as far as segmented" in words
    assert "not assessable: not segmented: portal vein" in words
    assert "none of this size" not in words
