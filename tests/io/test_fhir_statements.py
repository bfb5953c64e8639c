"""What FHIR Conditions, Procedures and Consents state, and what they leave open."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_resources import (
    CLINICAL,
    SNOMED,
    bundle,
    concept,
    condition,
    consent,
    observation,
    patient,
    procedure,
    refusal,
)

from liverplan.io.fhir import read_bundle


def test_a_condition_that_is_not_listed_is_never_no() -> None:
    record = read_bundle(bundle(patient(), observation("8302-2", 172, "cm")))
    assert {entry.name for entry in record.entries} == {"sex", "height_cm", "age_years"}


@pytest.mark.parametrize(("verification", "value"), [("confirmed", True), (None, True), ("refuted", False)])
@pytest.mark.parametrize(("code", "field"), [("234532001", "immunodeficiency"), ("85828009", "autoimmune_disease")])
def test_a_condition_is_true_and_a_refuted_one_false(
    code: str, field: str, verification: str | None, value: bool
) -> None:
    assert read_bundle(bundle(condition(code, verification))).flag(field) is value


@pytest.mark.parametrize("verification", ["unconfirmed", "provisional", "differential", "entered-in-error"])
def test_a_condition_in_doubt_stays_unknown(verification: str) -> None:
    record = read_bundle(bundle(condition("85828009", verification)))
    assert record.entries == ()
    assert "1 resource not used: 1 Condition" in record.remarks


def test_one_refuted_autoimmune_disease_does_not_rule_out_the_others() -> None:
    assert read_bundle(bundle(condition("69896004", "refuted"))).flag("autoimmune_disease") is None
    assert read_bundle(bundle(condition("69896004"))).flag("autoimmune_disease") is True


def test_a_diagnosis_and_its_refutation_without_dates_are_refused() -> None:
    assert "False and True" in refusal(condition("85828009"), condition("85828009", "refuted")).got
    later = condition("85828009", "refuted", recordedDate="2026-05-01")
    record = read_bundle(bundle(condition("85828009", recordedDate="2020-05-01"), later))
    assert record.flag("autoimmune_disease") is False


@pytest.mark.parametrize(
    ("severity", "value"),
    [("255604002", "mild"), ("6736007", "moderate_or_severe"), ("24484000", "moderate_or_severe")],
)
def test_ascites_by_its_severity(severity: str, value: str) -> None:
    active = {"clinicalStatus": concept(CLINICAL, "active"), "severity": concept(SNOMED, severity)}
    assert read_bundle(bundle(condition("389026000", **active))).text("ascites") == value


def test_ascites_without_severity_or_in_the_past_stays_unknown() -> None:
    past = {"clinicalStatus": concept(CLINICAL, "resolved"), "severity": concept(SNOMED, "255604002")}
    for resource in (condition("389026000"), condition("389026000", **past), condition("13920009")):
        record = read_bundle(bundle(resource))
        assert record.entries == ()
        assert any("does not settle it" in remark for remark in record.remarks)


def test_refuted_ascites_and_encephalopathy_are_none() -> None:
    record = read_bundle(bundle(condition("389026000", "refuted"), condition("13920009", "refuted")))
    assert record.text("ascites") == "none"
    assert record.number("encephalopathy_grade") == 0


# ------------------------------------------------------------------------------------------------ procedures, consents


@pytest.mark.parametrize("status", ["not-done", "preparation", "entered-in-error", "unknown"])
def test_chemotherapy_that_was_not_given_is_not_no_chemotherapy(status: str) -> None:
    assert read_bundle(bundle(procedure("367336001", status))).flag("prior_chemotherapy") is None


def test_a_bowel_resection_counts_as_that_of_the_primary_only_with_its_reason() -> None:
    resection = procedure("359571009", "completed")
    plain = read_bundle(bundle(resection))
    assert plain.text("primary_status") is None
    assert any("does not say that it was for the colorectal cancer" in remark for remark in plain.remarks)
    coded_reason = resection | {"reasonCode": [concept(SNOMED, "363406005")]}
    assert read_bundle(bundle(coded_reason)).text("primary_status") == "resected"
    cited = resection | {"reasonReference": [{"reference": "Condition/c1"}]}
    cancer = condition("363351006", id="c1")
    assert read_bundle(bundle(cited, cancer)).text("primary_status") == "resected"
    assert read_bundle(bundle(cited, condition("307496006", id="c1"))).text("primary_status") is None


@pytest.mark.parametrize(("status", "value"), [("active", True), ("rejected", False), ("inactive", False)])
def test_a_consent_counts_for_the_study_that_it_names(status: str, value: bool) -> None:
    record = read_bundle(bundle(consent(status)))
    assert record.flag("consent_signed") is value
    assert "consent_signed comes from a Consent to NCT06934018: check that this is the study" in record.remarks


@pytest.mark.parametrize(
    "resource", [consent(study=""), consent("draft"), consent("proposed"), consent("entered-in-error")]
)
def test_a_consent_in_general_or_in_preparation_settles_nothing(resource: dict[str, Any]) -> None:
    assert read_bundle(bundle(resource)).entries == ()


def test_consents_to_two_studies_settle_nothing() -> None:
    record = read_bundle(bundle(consent(), consent("rejected", study="NCT00000001")))
    assert record.entries == ()
    assert "consent_signed: a Consent is one of several, to NCT00000001, NCT06934018" in record.remarks
