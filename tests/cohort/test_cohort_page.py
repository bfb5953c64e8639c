"""cohort.html shows what the tables say; it is one file, fetches nothing, and no text of a file becomes code."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.cohort.charts import MOST_BINS, bins, histogram, shares
from liverplan.cohort.columns import TABLES
from liverplan.cohort.page import criteria_flow, failure_groups, render_page, worst_first, write_page
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
PAGE = render_page({"cases": CASES, "lesions": [], "criteria": CRITERIA})


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
    assert all(link == "data:," or link.startswith(("cases/", "logs/")) for link in page.links), page.links
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
    page = render_page({"cases": [CASES[-1]], "lesions": [], "criteria": []})
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
