"""The words that a protocol file may use: what imaging measures, and what the clinical record holds.

One entry per name with its unit, its kind and how far it can be trusted. A protocol file that uses another name, or
a unit that does not fit, does not load. Names with a dot are measured on the scan; names without are recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What values a term takes."""

    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    RAW = "raw"
    """Kept for terms that are derived from it; no criterion reads it directly."""


class Bound(Enum):
    """What a measured value says about the truth that a criterion asks for."""

    EXACT = "exact"
    LOWER = "lower"
    """At least this much is possible, somebody showed how: it can prove a minimum and never refute it."""
    UPPER = "upper"
    """Nothing can do better: it can refute a minimum and never prove it."""


@dataclass(frozen=True)
class Term:
    """A name that criteria may read.

    unit: None for flags and choices. choices: the legal texts of a CHOICE. derived_from: the record's fields that it
    is computed from, each with the alternatives that serve as well. depends_on: names of protocol limits that the
    measurement was made for; under other limits the stored value is not valid.
    """

    name: str
    title: str
    kind: Kind
    unit: str | None = None
    bound: Bound = Bound.EXACT
    choices: tuple[str, ...] = ()
    derived_from: tuple[tuple[str, ...], ...] = ()
    depends_on: tuple[str, ...] = ()

    @property
    def is_measure(self) -> bool:
        """True when imaging provides it, False when the clinical record does."""
        return "." in self.name


def _number(name: str, title: str, unit: str, **more: object) -> Term:
    return Term(name, title, Kind.NUMBER, unit, **more)  # type: ignore[arg-type]


def _flags(**titles: str) -> Iterable[Term]:
    return (Term(name, title, Kind.FLAG) for name, title in titles.items())


def _choice(name: str, title: str, *choices: str) -> Term:
    return Term(name, title, Kind.CHOICE, choices=choices)


_LIMITS = ("wide_margin_mm", "flr_percent")

_MEASURES = (
    _number("lesions.count", "Liver metastases counted on the scan", "count"),
    _number(
        "margin.upper",
        "Largest margin that any resection can reach",
        "mm",
        bound=Bound.UPPER,
        depends_on=("flr_percent",),
    ),
    _number(
        "margin.planned",
        "Margin of the best measured resection plan",
        "mm",
        bound=Bound.LOWER,
        depends_on=_LIMITS,
    ),
    Term(
        "margin.vessel_limited",
        "Vessels that stay limit the margin below the wide margin",
        Kind.FLAG,
        depends_on=_LIMITS,
    ),
    _number(
        "flr.functional_at_wide_margin",
        "Largest functional remnant that any wide resection can leave",
        "percent",
        bound=Bound.UPPER,
        depends_on=("wide_margin_mm",),
    ),
    _number(
        "flr.geometric_at_wide_margin",
        "Largest remnant by volume alone that any wide resection can leave",
        "percent",
        bound=Bound.UPPER,
        depends_on=("wide_margin_mm",),
    ),
    _number(
        "flr.planned",
        "Functional remnant of the best measured resection plan",
        "percent",
        bound=Bound.LOWER,
        depends_on=_LIMITS,
    ),
    Term("reconstruction.available", "Segmentation and reconstruction of liver and vessels", Kind.FLAG),
    _number("vessels.contacts", "Lesion and vessel pairs in contact on the scan", "count"),
)

_PRIMARY = ("resected", "in_situ_planned_after", "in_situ_not_resectable", "simultaneous")
_SUSPICION = ("none", "suspected", "confirmed")

_FIELDS = (
    Term("case_id", "Case", Kind.RAW),
    _number("age_years", "Age", "years"),
    _choice("sex", "Sex", "female", "male", "other"),
    _number("height_cm", "Height", "cm"),
    _number("weight_kg", "Weight", "kg"),
    _number("ecog", "ECOG performance status", "grade"),
    _number("asa", "ASA class", "class"),
    _choice("diagnosis_basis", "Basis of the diagnosis", "biopsy", "clinical", "none"),
    _choice("primary_status", "Primary tumour", *_PRIMARY),
    _number("primary_interval_weeks", "Weeks from hepatectomy to resection of the primary", "weeks"),
    _choice("extrahepatic_disease", "Extrahepatic metastases", "none", "resected_r0", "untreated"),
    _number("liver_metastases_current", "Liver metastases by all examinations", "count"),
    _number("liver_metastases_before_chemotherapy", "Liver metastases before chemotherapy", "count"),
    *_flags(prior_chemotherapy="Prior chemotherapy"),
    Term("bilirubin", "Bilirubin", Kind.RAW),
    Term("albumin", "Albumin", Kind.RAW),
    _number("inr", "INR", "ratio"),
    _number("pt_prolongation_s", "Prolongation of the prothrombin time", "s"),
    _choice("ascites", "Ascites", "none", "mild", "moderate_or_severe"),
    _number("encephalopathy_grade", "Encephalopathy", "grade"),
    _number(
        "child_pugh_score",
        "Child-Pugh score",
        "points",
        derived_from=(
            ("bilirubin",),
            ("albumin",),
            ("inr", "pt_prolongation_s"),
            ("ascites",),
            ("encephalopathy_grade",),
        ),
    ),
    _choice("staged_hepatectomy", "Staged hepatectomy planned", "none", "pve", "alpps", "two_stage"),
    _choice("portal_vein_thrombus", "Tumour thrombus in the portal vein", *_SUSPICION),
    _choice("hepatic_vein_invasion", "Invasion of a hepatic vein", *_SUSPICION),
    *_flags(other_malignancy="Another malignancy", other_malignancy_cured="The other malignancy is cured"),
    _number("other_malignancy_years_since", "Years since the other malignancy", "years"),
    _number("expected_survival_months", "Expected survival", "months"),
    *_flags(
        surgical_contraindication="Contraindication to surgery",
        substance_abuse_or_mental_disorder="Substance abuse or mental disorder",
        immunodeficiency="Immunodeficiency",
        autoimmune_disease="Autoimmune disease",
        serious_comorbidity="Serious concomitant disease",
        unable_to_understand="Unable to understand the study",
        consent_signed="Informed consent signed",
        good_compliance="Good compliance and follow-up",
        r0_confirmed_by_surgeon="R0 resection confirmed as possible by the surgeon",
    ),
    Term("scan_date", "Date of the scan", Kind.RAW),
    Term("planned_surgery_date", "Planned date of surgery", Kind.RAW),
)

TERMS: dict[str, Term] = {term.name: term for term in (*_MEASURES, *_FIELDS)}
"""Every term by name."""

MEASURES: dict[str, Term] = {term.name: term for term in _MEASURES}
"""What imaging provides."""

FIELDS: dict[str, Term] = {term.name: term for term in _FIELDS}
"""What the clinical record provides, derived scores included."""
