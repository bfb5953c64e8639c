"""cohort.html shows what the tables say; it is one file, fetches nothing, and no text of a file becomes code."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.cohort.charts import MOST_BINS, bins, histogram, shares
from liverplan.cohort.columns import TABLES
from liverplan.cohort.flow import SIDE_WIDTH, Step, flow_diagram, flow_steps
from liverplan.cohort.page import criteria_flow, failure_groups, render_page, worst_first, write_page
from liverplan.cohort.summaries import quality_gates, wide_margin_groups
from liverplan.cohort.thumbnail import shadow_picture
from liverplan.errors import UnreadableInput


def case(case_id: str, position: int, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(column.name for column in TABLES["cases"])
    return row | {"case_id": case_id, "position": position} | values


def done(case_id: str, position: int, **values: Any) -> dict[str, Any]:
    facts = {
        "status": "done",
        "verdict": "undetermined",
        "wide_margin": "undetermined",
        "margin_upper_mm": 10.0,
        "margin_upper_low_mm": 9.0,
        "margin_upper_high_mm": 11.0,
        "wide_margin_mm": 7.0,
        "flr_percent": 50.0,
        "lesions": 2,
        "liver_volume_ml": 1500.0,
        "wide_margin_reason": "a margin of up to 9.0 mm [8.1 to 9.9], limited by the liver, is not excluded",
        "limiting_kind": "vessel",
        "limiting_structure": "portal_vein",
        "protocol": "P",
        "protocol_version": "1",
        "result": f"cases/{case_id}",
    }
    return case(case_id, position, **(facts | values))


def criterion(case_id: str, name: str, outcome: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(column.name for column in TABLES["criteria"])
    return row | {"case_id": case_id, "criterion": name, "kind": "inclusion", "text": name, "outcome": outcome}


CASES = [
    done("fine", 1, verdict="meets_recorded_criteria", wide_margin="feasible"),
    done("bad", 2, verdict="does_not_meet", margin_upper_low_mm=1.0),
    done("worse", 3, verdict="does_not_meet", margin_upper_mm=None, margin_upper_low_mm=None),
    done("open", 4),
    case("later", 5, status="pending"),
    case(
        "broken",
        6,
        status="failed",
        failure_kind="refused",
        failure_stage="reading the image",
        failure_reason="<script>alert(1)</script> is no image: got text; wanted a scan",
        log="logs/broken.log",
    ),
]
OUTCOMES = {
    "fine": ("met", "met"),
    "bad": ("met", "not_met"),
    "worse": ("not_met", "met"),
    "open": ("met", "undetermined"),
}
CRITERIA = [criterion(name, f"I{n}", end) for name, ends in OUTCOMES.items() for n, end in enumerate(ends, start=1)]
QUALITY = [
    {"case_id": "bad", "check": "liver_coverage", "status": "fail", "value": "1", "message": "The liver is cut off."},
    {"case_id": "open", "check": "liver_coverage", "status": "warning", "value": "0", "message": "Nearly cut off."},
    {"case_id": "fine", "check": "liver_coverage", "status": "ok", "value": "0", "message": "All there."},
    {"case_id": "fine", "check": "modality", "status": "ok", "value": "CT", "message": "CT image."},
]
PAGE = render_page({"cases": CASES, "lesions": [], "criteria": CRITERIA, "quality": QUALITY})


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]


def read(page: str) -> Links:
    parser = Links()
    parser.feed(page)
    return parser


def test_the_worst_case_stands_first() -> None:
    order = [row["case_id"] for row in worst_first(CASES)]
    assert order == ["broken", "later", "worse", "bad", "open", "fine"]


def test_nothing_is_fetched_and_no_text_of_a_file_becomes_code() -> None:
    page = read(PAGE)
    assert "script" not in page.tags
    here = ("cases/", "logs/", "data:image/png;base64,", "#failures")
    assert all(link == "data:," or link.startswith(here) for link in page.links), page.links
    assert "&lt;script&gt;" in PAGE
    assert not re.search(r"https?://(?!www\.w3\.org)", PAGE)


def test_each_case_leads_to_its_report_or_its_log() -> None:
    links = read(PAGE).links
    for name in OUTCOMES:
        assert f"cases/{name}/report.html" in links
    assert "logs/broken.log" in links


def test_it_says_that_it_is_for_research() -> None:
    assert "Research use only. Not a medical device" in PAGE


def test_the_flow_counts_whom_each_criterion_leaves() -> None:
    flow = {row["id"]: row for row in criteria_flow(CRITERIA)}
    assert (flow["I1"]["met"], flow["I1"]["not_met"], flow["I1"]["undetermined"]) == (3, 1, 0)
    assert (flow["I1"]["left"], flow["I1"]["certain"]) == (3, 3)
    assert (flow["I2"]["left"], flow["I2"]["certain"]) == (2, 1), "undetermined is left, and never counts as met"


def test_failures_of_one_reason_are_one_line() -> None:
    failed = [
        case("a", 1, failure_kind="refused", failure_stage="reading", failure_reason="no image: got x; wanted y"),
        case("b", 2, failure_kind="refused", failure_stage="reading", failure_reason="no image: got z; wanted y"),
        case("c", 3, failure_kind="killed", failure_stage="loss field", failure_reason="SIGKILL"),
    ]
    groups = failure_groups(failed)
    assert [(g["kind"], g["what"], g["count"]) for g in groups] == [
        ("refused", "no image", 2),
        ("killed", "SIGKILL", 1),
    ]


def test_a_cohort_without_a_finished_case_has_a_page() -> None:
    page = render_page({"cases": [CASES[-1]], "lesions": [], "criteria": [], "quality": []})
    assert "Nothing to show." in page
    assert "broken" in page


def test_a_folder_of_something_else_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput):
        write_page(tmp_path)
    assert not (tmp_path / "cohort.html").exists()


VALUES = st.lists(st.floats(-1e4, 1e4, allow_nan=False), min_size=1, max_size=50)


@given(VALUES)
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    first, counts, width = bins(values)
    assert sum(counts) == len(values)
    assert len(counts) <= MOST_BINS
    tolerance = 1e-6 * max(1.0, *(abs(value) for value in values))
    assert first <= min(values) + tolerance
    assert max(values) <= first + width * len(counts) + tolerance


@given(st.lists(st.integers(0, 200), min_size=1, max_size=50))
def test_whole_numbers_have_bins_of_whole_numbers(values: list[int]) -> None:
    first, counts, width = bins(values, whole=True)
    assert sum(counts) == len(values)
    assert width == int(width) >= 1
    assert first == int(first)


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=20), st.one_of(st.none(), st.floats(1, 50)))
def test_what_is_not_assessable_is_counted_and_not_drawn(values: list[float | None], limit: float | None) -> None:
    figure = str(histogram(values, "Margin", "mm", limit))
    known = [value for value in values if value is not None]
    assert f"n = {len(known)}" in figure
    assert ("not assessable" in figure) == (len(known) < len(values))
    drawn = [int(count) for count in re.findall(r"mm: (\d+)</title>", figure)]
    assert sum(drawn) == len(known)
    for x, width in re.findall(r'<rect x="([-\d.]+)" y="[-\d.]+" width="([-\d.]+)"', figure):
        assert float(x) >= 0
        assert float(x) + float(width) <= 341


def test_parts_of_a_bar_are_its_counts() -> None:
    bar = str(shares({"met": 3, "undetermined": 0, "not_met": 1}, {"met": "Met"}))
    assert re.findall(r"width:([\d.]+)%", bar) == ["75.00", "25.00"]
    assert 'title="Met: 3"' in bar


def test_the_flow_names_who_left_where_and_ends_with_who_can_have_the_wide_margin() -> None:
    steps = flow_steps(CASES, criteria_flow(CRITERIA))
    assert [(step.text, step.count) for step in steps] == [
        ("Screened", 6),
        ("Planned", 4),
        ("Not ruled out up to I1", 3),
        ("Not ruled out up to I2", 2),
        ("Ruled out by no criterion", 2),
        ("of these: wide margin feasible", 1),
    ]
    assert steps[0].leaving == "1 failed (1 refused); 1 not planned yet"
    assert steps[1].leaving == "1 ruled out by I1: I1"
    assert steps[4].leaving == "1 meet every recorded criterion; for 1 something is missing"
    assert steps[5].leaving == "1 undetermined, 0 infeasible"


WIDE = st.sampled_from(["feasible", "infeasible", "undetermined"])
VERDICT = st.sampled_from(["meets_recorded_criteria", "does_not_meet", "undetermined"])


@given(st.lists(st.tuples(VERDICT, WIDE), max_size=20), st.integers(0, 5), st.integers(0, 5))
def test_nobody_is_lost_between_two_boxes_of_the_flow(ends: list[tuple[str, str]], failed: int, pending: int) -> None:
    cases = [done(f"d{n}", n, verdict=verdict, wide_margin=wide) for n, (verdict, wide) in enumerate(ends)]
    cases += [case(f"f{n}", n, status="failed", failure_kind="error") for n in range(failed)]
    cases += [case(f"q{n}", n, status="pending") for n in range(pending)]
    outcomes = [criterion(f"d{n}", "I1", "not_met" if v == "does_not_meet" else "met") for n, (v, _) in enumerate(ends)]
    steps = flow_steps(cases, criteria_flow(outcomes))
    leaving = [sum(int(count) for count in re.findall(r"(\d+) (?:failed \(|not planned|ruled out by)", step.leaving))
               for step in steps]  # fmt: skip
    for step, next_step, left in zip(steps[:-2], steps[1:-1], leaving, strict=False):
        assert step.count - left == next_step.count
    assert steps[-1].count == sum(verdict != "does_not_meet" and wide == "feasible" for verdict, wide in ends)


def test_long_and_foreign_words_stay_inside_the_flow() -> None:
    drawn = str(flow_diagram([Step("<b>", 3, "<i>" * 80), Step("end", 1)]))
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "…" in drawn


def test_a_long_reason_ends_in_a_word_before_the_edge_of_the_flow() -> None:
    said = "6 ruled out by I7: Preoperative assessment (based on enhanced CT or MRI image AI segmentation combined with"
    drawn = str(flow_diagram([Step("Planned", 9, said), Step("end", 3)]))
    shown = re.findall(r">([^<]+)<title>", drawn)[0]
    assert shown.endswith("…")
    assert said.startswith(shown[:-1])
    assert said[len(shown) - 1] == " "
    # DejaVu Sans, the widest of the page's fonts, takes 0.6 of its height for a letter.
    assert len(shown) * 13 * 0.6 <= SIDE_WIDTH


def test_reasons_that_differ_by_numbers_only_are_one_line_the_infeasible_first() -> None:
    rows = [
        done("a", 1),
        done("b", 2, wide_margin_reason="a margin of up to 5.5 mm [5.1 to 5.9], limited by the liver, is not excluded"),
        done("c", 3, wide_margin="infeasible", wide_margin_reason="at most 2.0 mm [1.0 to 3.0]; 7 mm asked"),
        done("d", 4, wide_margin="feasible"),
        done("e", 5, limiting_kind="remnant", limiting_structure=None),
    ]
    groups = wide_margin_groups(rows)
    assert [([row["case_id"] for row in g["cases"]], g["limited_by"]) for g in groups] == [
        (["c"], "portal vein"),
        (["a", "b"], "portal vein"),
        (["e"], "the functional remnant"),
    ]
    assert groups[1]["why"] == "a margin of up to … mm, limited by the liver, is not excluded"
    assert groups[1]["example"] == rows[0]["wide_margin_reason"]


def test_checks_that_fail_stand_first_and_name_their_cases() -> None:
    first, second = quality_gates(QUALITY)
    assert (first["check"], first["fail"], first["warning"], first["ok"]) == ("liver_coverage", 1, 1, 1)
    assert [row["case_id"] for row in first["worst"]] == ["bad", "open"]
    assert first["message"] == "The liver is cut off."
    assert (second["check"], second["ok"], second["message"]) == ("modality", 1, None)


def test_a_case_that_a_check_speaks_of_twice_is_one_case() -> None:
    said = [
        {"case_id": case, "check": "masks", "status": status, "value": "1", "message": f"{case} {n}."}
        for case, statuses in {"a": ("warning", "fail"), "b": ("warning", "warning", "ok"), "c": ("ok",)}.items()
        for n, status in enumerate(statuses)
    ]
    (gate,) = quality_gates(said)
    assert (gate["fail"], gate["warning"], gate["ok"]) == (1, 1, 1)
    assert [row["case_id"] for row in gate["worst"]] == ["a", "b"]
    assert gate["message"] == "a 1."


def test_why_a_case_failed_has_the_width_of_the_numbers_that_it_lacks() -> None:
    row = re.search(r"<tr>(?:(?!<tr>).)*logs/broken\.log(?:(?!<tr>).)*reading the image: .*?</tr>", PAGE, re.DOTALL)
    assert row is not None
    assert re.findall(r'<td colspan="(\d)">reading', row[0]) == ["6"]
    head = PAGE.rpartition("<thead>")[2].partition("</thead>")[0]
    assert len(re.findall(r"<t[dh]", row[0])) + 5 == len(re.findall(r"<th", head))


def test_the_page_is_dark_where_the_reader_s_screen_is() -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in PAGE
    assert not re.findall(r"(?:fill|background|stroke): ?#", PAGE.partition("* {")[2])


def test_the_page_answers_how_many_why_not_and_what_failed() -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", PAGE)
    text = re.sub(r"\s+", " ", text)
    assert "is feasible in 1 of 4 planned cases, infeasible in 0, undetermined in 3. 1 of 6 failed." in text
    assert "Why not the wide margin" in text
    assert "The liver is cut off." in text
    assert "reading the image" in text


def test_a_thumbnail_is_part_of_the_page(tmp_path: Path) -> None:
    page = render_page(
        {"cases": CASES, "lesions": [], "criteria": CRITERIA, "quality": QUALITY},
        {"fine": "data:image/png;base64,AAAA"},
    )
    assert page.count("<img") == 1
    assert 'loading="lazy"' not in page  # it is here already, and would be missing on paper
    assert "data:image/png;base64,AAAA" in read(page).links


def test_a_thumbnail_shows_the_right_side_at_the_left_and_the_head_at_the_top() -> None:
    liver, lesion = np.ones((4, 3), dtype=bool), np.zeros((4, 3), dtype=bool)
    lesion[3, 2] = True  # i grows to the patient's left, k to the head
    picture = shadow_picture([(liver, (200, 100, 0), 0.5), (lesion, (0, 0, 255), 1.0)])
    assert picture.shape == (3, 4, 3)
    assert tuple(picture[0, 3]) == (0, 0, 255)
    assert {tuple(pixel) for pixel in picture.reshape(-1, 3)} == {(0, 0, 255), (228, 178, 128)}
