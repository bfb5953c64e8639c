"""Protocol files that do not load, each with the message that its author needs, and the JSON schema beside them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import liverplan
from liverplan.errors import ProtocolError
from liverplan.protocol import (
    MEASURES,
    Outcome,
    Reading,
    Verdict,
    decide,
    load_protocol,
    measures_from_json,
    measures_to_json,
    parse_protocol,
    protocol_names,
)
from liverplan.protocol.model import AllOf, AnyOf, Condition, FactCheck, NumberCheck
from liverplan.protocol.vocabulary import FIELDS, Kind
from liverplan.quantity import Quantity, Unknown

FOLDER = Path(liverplan.__file__).parent / "protocols"
BROKEN_FOLDER = Path(__file__).parent / "protocols" / "broken"
PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "second-trial.toml"

GOOD = """\
[protocol]
id = "T1"
version = "2"
title = "A trial"
source = "sec. 5"
text_date = 2026-03-01

[limits]
wide_margin_mm = 5.0
flr_percent = 25.0
max_lesions = 3

[[criterion]]
id = "I1"
kind = "inclusion"
text = "few lesions"
source = "5.1"

[[criterion.part]]
says = "few"
measure = "lesions.count"
op = "<="
limit = "limits.max_lesions"
unit = "count"
if_unknown = "Count them."

[[criterion]]
id = "I2"
kind = "inclusion"
text = "wide margin"
source = "5.2"

[[criterion.part]]
says = "wide"
at_least = "margin.planned"
at_most = "margin.upper"
op = ">="
limit = "limits.wide_margin_mm"
unit = "mm"
if_unknown = "Plan."

[[criterion]]
id = "E1"
kind = "exclusion"
text = "thrombus"
source = "5.3"

[[criterion.part]]
says = "none"
any = [
  { field = "portal_vein_thrombus", op="==", limit = "none", open = ["suspected"],open_because = "-",if_unknown = "?" },
  { field = "ecog", op = "<", limit = 1, unit = "grade", if_unknown = "?" },
]
"""

BROKEN = {
    "a typo in a measure": (
        'measure = "lesions.count"', 'measure = "lesions.cuont"',
        "line 21, criterion I1, part 1, measure: got 'lesions.cuont'; wanted lesions.count (did you mean this?)",
    ),
    "a field used as a measure": (
        'measure = "lesions.count"', 'measure = "age_years"',
        "line 21, criterion I1, part 1, measure: got 'age_years'; wanted one of lesions.count, margin.upper",
    ),
    "a unit that does not fit": (
        'unit = "count"', 'unit = "mm"',
        "line 24, criterion I1, part 1, unit: got 'mm'; wanted 'count', the unit of lesions.count",
    ),
    "a limit of another unit": (
        'limit = "limits.max_lesions"', 'limit = "limits.flr_percent"',
        "line 24, criterion I1, part 1, unit: got 'count'; wanted 'percent', the unit of limits.flr_percent",
    ),
    "a limit that does not exist": (
        'limit = "limits.max_lesions"', 'limit = "limits.max_lesion"',
        "line 23, criterion I1, part 1, limit: got 'limits.max_lesion'; wanted a number or limits.max_lesions (did you",
    ),
    "a duplicate id": (
        'id = "I2"', 'id = "I1"',
        "line 28, criterion I1, id: got 'I1'; wanted an id that no other criterion has",
    ),
    "an id of another form": ('id = "I2"', 'id = "wide"', "line 28, id: got 'wide'; wanted I or E and a number"),
    "an unknown key in a part": (
        'if_unknown = "Count them."', 'if_unknown = "Count them."\nlimitt = 3',
        "line 26, criterion I1, part 1, limitt: got an unknown key; wanted limit (did you mean this?), or one of",
    ),
    "an unknown key in a criterion": (
        'source = "5.1"', 'source = "5.1"\nsection = 3',
        "line 18, criterion I1, section: got an unknown key; wanted mention (did you mean this?), or one of id, kind",
    ),
    "an unknown key at the top": ("[protocol]", "extra = 1\n[protocol]", "line 1, extra: got an unknown key"),
    "an unknown key among the limits": (
        "max_lesions = 3", "max_lesions = 3\nnarrow_margin_mm = 1",
        "line 12, [limits], narrow_margin_mm: got an unknown",
    ),
    "an unknown operator": (
        'op = "<="', 'op = "=<"',
        "line 22, criterion I1, part 1, op: got '=<'; wanted one of >=, >, <=, <.",
    ),
    "an upper bound under a maximum": (
        'at_most = "margin.upper"\nop = ">="', 'at_most = "margin.upper"\nop = "<="',
        "line 37, criterion I2, part 1, op: got '<='; wanted one of >=, >.",
    ),
    "an upper bound alone": (
        'at_least = "margin.planned"\nat_most = "margin.upper"', 'measure = "margin.upper"',
        "line 35, criterion I2, part 1, measure: got 'margin.upper', which is an upper bound; wanted at_least with",
    ),
    "an upper bound that should prove": (
        'at_least = "margin.planned"', 'at_least = "margin.upper"',
        "line 35, criterion I2, part 1, at_least: got 'margin.upper', which is an upper bound; wanted a lower",
    ),
    "a flag as a bound": (
        'at_least = "margin.planned"', 'at_least = "margin.vessel_limited"',
        "line 35, criterion I2, part 1, at_least: got 'margin.vessel_limited', which is a flag; wanted",
    ),
    "no upper bound": (
        'at_most = "margin.upper"\n', "", "criterion I2, part 1, at_most: got nothing; wanted a list",
    ),
    "a choice that the field does not have": (
        'limit = "none", open', 'limit = "absent", open',
        "line 51, criterion E1, part 1, limit: got 'absent'; wanted one of 'none', 'suspected', 'confirmed', the",
    ),
    "a number where a fact is asked": (
        'limit = "none", open', "limit = 1, open", "criterion E1, part 1, limit: got 1; wanted one of 'none'",
    ),
    "a raw field": (
        'field = "ecog"', 'field = "bilirubin"', "line 52, criterion E1, part 1, field: got 'bilirubin'; wanted one of",
    ),
    "open values without a reason": (
        'open_because = "-",', "", "criterion E1, part 1, open_because: got nothing; wanted a text",
    ),
    "nothing that is read": (
        'measure = "lesions.count"\n', "",
        "criterion I1, part 1, measure / field / at_least / all / any: got none of them; wanted exactly one of them",
    ),
    "a kind that does not exist": (
        'kind = "exclusion"', 'kind = "exclude"',
        "line 44, criterion E1, kind: got 'exclude'; wanted exclusion (did you mean this?), or one of",
    ),
    "a missing text": ('text = "few lesions"\n', "", "criterion I1, text: got nothing; wanted a text"),
    "an empty text": (
        'text = "few lesions"', 'text = " "',
        "line 16, criterion I1, text: got ' '; wanted a text that is not"),
    "a remnant above everything": (
        "flr_percent = 25.0", "flr_percent = 250",
        "line 10, [limits], flr_percent: got 250; wanted a percentage between",
    ),
    "a limit that is not a number": (
        "wide_margin_mm = 5.0", 'wide_margin_mm = "5"', "line 9, [limits], wide_margin_mm: got '5'; wanted a number",
    ),
    "an infinite limit": (
        "wide_margin_mm = 5.0", "wide_margin_mm = inf", "line 9, [limits], wide_margin_mm: got inf; wanted a number",
    ),
    "half a lesion": ("max_lesions = 3", "max_lesions = 2.5", "line 11, [limits], max_lesions: got 2.5; wanted a"),
    "a date in quotes": (
        "text_date = 2026-03-01", 'text_date = "2026-03-01"',
        "line 6, [protocol], text_date: got '2026-03-01'; wanted a",
    ),
    "not TOML": ('id = "T1"', "id = T1", "is not TOML: got Invalid value (at line 2, column 6)"),
}  # fmt: skip


PART = "criterion I1, part 1"
MEASURE_NAMES = f"one of {', '.join(MEASURES)}"
FIELD_NAMES = f"one of {', '.join(name for name, term in FIELDS.items() if term.kind is not Kind.RAW)}"

# file in protocols/broken: place, got, wanted
BROKEN_FILES = {
    "unit-of-a-measure": (f"line 26, {PART}, unit", "'mm'", "'count', the unit of lesions.count"),
    "unit-of-a-limit": (f"line 26, {PART}, unit", "'count'", "'percent', the unit of limits.flr_percent"),
    "unknown-measure": (
        f"line 23, {PART}, measure", "'lesions.cuont'", f"lesions.count (did you mean this?), or {MEASURE_NAMES}",
    ),
    "unknown-field": (f"line 27, {PART}, field", "'number_of_lesions'", FIELD_NAMES),
    "unknown-key": (
        f"line 28, {PART}, outranked", "an unknown key",
        "outranked_by (did you mean this?), or one of caveat, if_unknown, limit, measure, mention, op, outranked_by, "
        "says, unit",
    ),
    "duplicate-id": ("line 30, criterion I1, id", "'I1'", "an id that no other criterion has"),
    "id-of-the-other-kind": (
        "line 17, criterion I1, kind", "'exclusion'", "inclusion, which the id I1 stands for",
    ),
    "wrong-operator": (f"line 24, {PART}, op", "'=<'", "one of >=, >, <=, <"),
    "operator-of-a-fact": (f"line 24, {PART}, op", "'=='", "one of >=, >, <=, <"),
    "operator-of-a-bound": (f"line 25, {PART}, op", "'<='", "one of >=, >"),
    "statement-of-another-kind": (
        f"line 28, {PART}, outranked_by", "'consent_signed', which is a flag",
        "a recorded number in 'count', as lesions.count is",
    ),
    "statement-in-another-unit": (
        f"line 28, {PART}, outranked_by", "'age_years', which is a number in 'years'",
        "a recorded number in 'count', as lesions.count is",
    ),
    "statement-that-is-measured": (f"line 28, {PART}, outranked_by", "'vessels.contacts'", FIELD_NAMES),
    "statement-beside-a-field": (
        f"line 28, {PART}, outranked_by",
        "'liver_metastases_before_chemotherapy' beside field = 'liver_metastases_current'",
        "outranked_by only beside measure or at_least: what is recorded is a statement already",
    ),
    "mention-of-a-field": (f"line 28, {PART}, mention", "'age_years'", MEASURE_NAMES),
    "two-subjects": (
        f"line 28, {PART}, measure / field / at_least / all / any", "measure and field", "exactly one of them",
    ),
    "two-values": (
        f"line 25, {PART}, limit", "['none', 'resected_r0']", 'one value with op = "=="; several go with op = "in"',
    ),
    "no-criteria": ("line 1, criterion", "nothing", "one or more tables [[criterion]]"),
    "criterion-without-parts": ("line 15, criterion I1, part", "nothing", "one or more tables [[criterion.part]]"),
    "part-of-nothing": (f"line 23, {PART}, all", "[]", "a list of conditions { ... }"),
    "no-if-unknown": (f"line 21, {PART}, if_unknown", "nothing", "a text"),
}  # fmt: skip


def test_the_good_file_loads() -> None:
    protocol = parse_protocol(GOOD.encode(), "mine.toml")
    assert (protocol.id, protocol.version, protocol.text_date) == ("T1", "2", "2026-03-01")
    assert [c.id for c in protocol.criteria] == ["I1", "I2", "E1"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_refused_with_place_got_and_wanted(name: str) -> None:
    old, new, message = BROKEN[name]
    assert GOOD.count(old) == 1, "the replacement must hit one place"
    with pytest.raises(ProtocolError) as refused:
        parse_protocol(GOOD.replace(old, new).encode(), "mine.toml")
    assert "mine.toml" in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_refused_with_line_place_got_and_wanted(name: str) -> None:
    place, got, wanted = BROKEN_FILES[name]
    with pytest.raises(ProtocolError) as refused:
        load_protocol(BROKEN_FOLDER / f"{name}.toml")
    assert refused.value.what == f"the protocol file {name}.toml does not load: {place}"
    assert (refused.value.got, refused.value.wanted) == (got, wanted)


def test_a_key_given_twice_is_refused_with_its_line() -> None:
    with pytest.raises(ProtocolError, match=r"limit-given-twice\.toml is not TOML: got .*at line 28"):
        load_protocol(BROKEN_FOLDER / "limit-given-twice.toml")


def test_every_broken_file_has_its_line_in_the_table() -> None:
    assert {file.stem for file in BROKEN_FOLDER.glob("*.toml")} == {*BROKEN_FILES, "limit-given-twice"}


def test_a_file_that_is_not_text_is_refused() -> None:
    with pytest.raises(ProtocolError, match="is not TOML"):
        parse_protocol(b"\xff\xfe", "mine.toml")


def test_a_missing_table_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"criterion: got nothing; wanted one or more tables \[\[criterion\]\]"):
        parse_protocol(GOOD.split("[[criterion]]")[0].encode(), "mine.toml")


def test_a_protocol_is_found_by_name_whatever_its_case_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")
    assert load_protocol("NCT06934018").id == "NCT06934018"
    assert load_protocol(tmp_path / "mine.toml").id == "T1"


def test_a_name_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ProtocolError, match=r"got 'nct1' \(No such file.*wanted one of nct06934018, or a TOML file"):
        load_protocol("nct1")


def test_shipped_files_are_named_after_the_trial() -> None:
    assert [load_protocol(name).id.lower() for name in protocol_names()] == list(protocol_names())


# --- another trial is another file

SECOND = load_protocol(EXAMPLE)
IMAGING = {
    "lesions.count": Quantity.exactly(2),
    "margin.upper": Quantity(14.0, 13.5, 14.5),
    "margin.planned": Quantity(11.0, 10.4, 11.6),
    "margin.vessel_limited": False,
    "flr.functional_at_wide_margin": Quantity(62.0, 60.0, 64.0),
    "flr.planned": Quantity(51.0, 49.0, 53.0),
    "reconstruction.available": True,
}
RECORD = {"asa": 2, "prior_chemotherapy": False, "hepatic_vein_invasion": "none"}


def second(measures: Mapping[str, Any], record: Mapping[str, Any] = RECORD) -> dict[str, str]:
    return {r.criterion.id: r.outcome.value for r in decide(SECOND, measures, record).criteria}


def test_the_second_trial_has_its_own_limits() -> None:
    assert (SECOND.limits.wide_margin_mm, SECOND.limits.flr_percent, SECOND.limits.max_lesions) == (10.0, 40.0, 3)
    assert "no such trial exists" in SECOND.source


def test_measures_planned_for_the_second_trial_meet_it() -> None:
    stored = measures_to_json(IMAGING, SECOND.limits)
    assert decide(SECOND, measures_from_json(stored, SECOND.limits), RECORD).verdict is Verdict.MEETS


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"lesions.count": Quantity.exactly(4)}, "I1"),
        ({"lesions.count": Quantity.exactly(0)}, "I1"),
        ({"margin.planned": Unknown("none"), "margin.upper": Quantity(9.0, 8.5, 9.9)}, "I2"),
        ({"flr.planned": Unknown("none"), "flr.functional_at_wide_margin": Quantity(38.0, 37.0, 39.0)}, "I3"),
    ],
)
def test_what_the_first_trial_allows_the_second_refuses(change: dict[str, Any], failing: str) -> None:
    assert [name for name, outcome in second(IMAGING | change).items() if outcome == "not_met"] == [failing]


def test_the_second_trial_leaves_blanks_open() -> None:
    assert set(second({}, {}).values()) == {"undetermined"}


def test_a_reader_outranks_the_software_in_the_second_trial_too() -> None:
    stated = {**RECORD, "liver_metastases_current": Reading(Quantity.exactly(3), "by radiologist")}
    assert second({**IMAGING, "lesions.count": Quantity.exactly(8)}, stated)["I1"] == "met"


def test_measures_made_for_the_first_trial_are_undetermined_in_the_second_with_the_reason() -> None:
    stored = measures_to_json(IMAGING, load_protocol().limits)
    results = {r.criterion.id: r for r in decide(SECOND, measures_from_json(stored, SECOND.limits), RECORD).criteria}
    for criterion, limit in (("I2", "flr_percent 30, and this protocol asks for 40"), ("I3", "wide_margin_mm 7, and")):
        assert results[criterion].outcome is Outcome.UNDETERMINED
        assert f"measured for {limit}" in results[criterion].evidence
        assert "plan the case again" in results[criterion].evidence
    assert results["I1"].outcome is Outcome.MET


# --- docs/protocol.md


def test_the_page_about_protocols_lists_every_criterion_with_what_decides_it() -> None:
    rows = {
        cells[0]: line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
    }
    for criterion in load_protocol().criteria:
        text = " ".join(line for name, line in rows.items() if re.fullmatch(rf"{criterion.id}[a-d]?", name))
        for check in (check for part in criterion.parts for check in checks_of(part.condition)):
            for name in [term.name for term in check.terms] + ([check.outranked_by] if check.outranked_by else []):
                assert f"`{name}`" in text, f"{criterion.id} {name}"
            if isinstance(check, NumberCheck):
                assert f"{check.limit:g}" in text, criterion.id


def test_the_example_on_the_page_loads() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert parse_protocol(example.encode(), "page.toml").id == SECOND.id


def checks_of(condition: Condition) -> Iterator[NumberCheck | FactCheck]:
    if isinstance(condition, (AllOf, AnyOf)):
        for inner in condition.conditions:
            yield from checks_of(inner)
    else:
        yield condition


# --- the schema for people who write protocol files


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    return loaded


def as_json(text: str) -> Any:
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def test_shipped_protocols_and_the_good_file_follow_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    for text in [GOOD, *(file.read_text(encoding="utf-8") for file in (*FOLDER.glob("*.toml"), EXAMPLE))]:
        jsonschema.validate(as_json(text), schema())


def test_the_schema_knows_the_vocabulary() -> None:
    defs = schema()["$defs"]
    for key, vocabulary in (("measure", MEASURES), ("field", FIELDS)):
        kind = {"measure": "measured", "field": "recorded"}[key]
        listed = {*defs[f"{kind}_number"]["properties"][key]["enum"], *defs[f"{kind}_fact"]["properties"][key]["enum"]}
        readable = {t.name for t in vocabulary.values() if t.kind is not Kind.RAW and t.bound.value == "exact"}
        assert listed == readable


@pytest.mark.parametrize(
    "name", ["a typo in a measure", "an unknown key in a part", "an unknown operator", "an upper bound alone"]
)
def test_the_schema_refuses_what_the_loader_refuses(name: str) -> None:
    old, new, _ = BROKEN[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json(GOOD.replace(old, new)), schema())


@pytest.mark.parametrize(
    "name",
    [
        *("unknown-measure", "unknown-field", "unknown-key", "wrong-operator", "operator-of-a-bound", "two-subjects"),
        *("statement-of-another-kind", "statement-in-another-unit", "statement-that-is-measured"),
        *("statement-beside-a-field", "mention-of-a-field", "no-criteria", "criterion-without-parts"),
        *("part-of-nothing", "no-if-unknown"),
    ],
)
def test_the_schema_refuses_the_broken_files_that_it_can_see(name: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json((BROKEN_FOLDER / f"{name}.toml").read_text(encoding="utf-8")), schema())


def test_the_schema_offers_statements_of_the_kind_of_the_measure() -> None:
    for kind, number in (("measured_number", True), ("bounded_number", True), ("measured_fact", False)):
        for name in schema()["$defs"][kind]["properties"]["outranked_by"]["enum"]:
            term = FIELDS[name]
            assert term.unit in {measure.unit for measure in MEASURES.values()} if number else term.kind is Kind.FLAG
