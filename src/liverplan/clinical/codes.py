"""The codes under which FHIR resources carry the fields of the record. LOINC for measurements, SNOMED CT for the rest.

docs/clinical-record.md lists them for readers and says which were checked against published value sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
SYSTEM_NAMES = {LOINC: "LOINC", SNOMED: "SNOMED CT"}

Code: TypeAlias = tuple[str, str]
"""(system, code)."""


@dataclass(frozen=True)
class Measured:
    """What an Observation with a code means. units: UCUM unit to (the record's unit, factor). answers: coded values."""

    name: str
    units: Mapping[str, tuple[str, float]]
    answers: Mapping[Code, int] = field(default_factory=dict)
    unitless: bool = False
    """True where a number without a unit is complete."""


@dataclass(frozen=True)
class Diagnosed:
    """What a Condition with a code means for a flag. general: its refutation is the stated false."""

    name: str
    general: bool


_ECOG_LOINC = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8", "LA9627-6")
_ECOG_SNOMED = ("425389002", "422512005", "422894000", "423053003", "423237006", "423409001")
_ASA_SNOMED = ("413495001", "413496000", "413497009", "413498004", "413499007")
_ECOG: Mapping[Code, int] = {
    **{(LOINC, code): grade for grade, code in enumerate(_ECOG_LOINC)},
    **{(SNOMED, code): grade for grade, code in enumerate(_ECOG_SNOMED)},
}
_ASA: Mapping[Code, int] = {(SNOMED, code): number for number, code in enumerate(_ASA_SNOMED, start=1)}
_SCORE = {"{score}": ("grade", 1.0), "1": ("grade", 1.0)}
_RATIO = {"{INR}": ("ratio", 1.0), "1": ("ratio", 1.0), "{ratio}": ("ratio", 1.0)}

OBSERVATIONS: Mapping[Code, Measured] = MappingProxyType(
    {
        (LOINC, "8302-2"): Measured("height_cm", {"cm": ("cm", 1.0), "m": ("cm", 100.0)}),
        (LOINC, "29463-7"): Measured("weight_kg", {"kg": ("kg", 1.0), "g": ("kg", 0.001)}),
        (LOINC, "1975-2"): Measured("bilirubin", {"mg/dL": ("mg/dL", 1.0)}),
        (LOINC, "14631-6"): Measured("bilirubin", {"umol/L": ("umol/L", 1.0)}),
        (LOINC, "1751-7"): Measured("albumin", {"g/dL": ("g/dL", 1.0), "g/L": ("g/L", 1.0)}),
        (LOINC, "54347-0"): Measured("albumin", {}),
        (LOINC, "6301-6"): Measured("inr", _RATIO, unitless=True),
        (LOINC, "34714-6"): Measured("inr", _RATIO, unitless=True),
        (LOINC, "89247-1"): Measured("ecog", _SCORE, _ECOG, unitless=True),
        (LOINC, "89262-0"): Measured("ecog", {}, _ECOG),
        (SNOMED, "413347006"): Measured("asa", {}, _ASA, unitless=True),
    }
)
"""Observation.code. 1975-2 and 1751-7 are mass, 14631-6 and 54347-0 substance per volume: the unit has to agree.

Albumin by substance (54347-0) has no limits in the Child-Pugh table and is refused rather than converted.
"""

CONDITIONS: Mapping[Code, Diagnosed] = MappingProxyType(
    {
        (SNOMED, "234532001"): Diagnosed("immunodeficiency", general=True),
        (SNOMED, "86406008"): Diagnosed("immunodeficiency", general=False),
        (SNOMED, "85828009"): Diagnosed("autoimmune_disease", general=True),
        (SNOMED, "69896004"): Diagnosed("autoimmune_disease", general=False),
        (SNOMED, "55464009"): Diagnosed("autoimmune_disease", general=False),
        (SNOMED, "24700007"): Diagnosed("autoimmune_disease", general=False),
        (SNOMED, "389026000"): Diagnosed("ascites", general=True),
        (SNOMED, "13920009"): Diagnosed("encephalopathy_grade", general=True),
    }
)
"""Condition.code: immunodeficiency (HIV), autoimmune disease (rheumatoid arthritis, lupus, multiple sclerosis) ..."""

ASCITES_SEVERITY: Mapping[Code, str] = MappingProxyType(
    {
        (SNOMED, "255604002"): "mild",
        (SNOMED, "6736007"): "moderate_or_severe",
        (SNOMED, "24484000"): "moderate_or_severe",
    }
)
"""Condition.severity: mild, moderate, severe."""

CHEMOTHERAPY = frozenset({(SNOMED, "367336001"), (SNOMED, "394894008")})
"""Procedure.code: chemotherapy, preoperative chemotherapy."""
LIVER_RESECTION = frozenset({(SNOMED, "107963000"), (SNOMED, "71273005")})
"""Procedure.code: excision of liver, partial hepatectomy."""
BOWEL_RESECTION = frozenset(
    {
        (SNOMED, "23968004"),  # excision of colon
        (SNOMED, "26390003"),  # total colectomy
        (SNOMED, "359571009"),  # right hemicolectomy
        (SNOMED, "82619000"),  # left hemicolectomy
        (SNOMED, "84604002"),  # sigmoid colectomy
        (SNOMED, "87677003"),  # proctectomy
    }
)
"""Procedure.code of what may have removed the primary tumour; counts only with a reason below."""
BOWEL_CANCER = frozenset({(SNOMED, "363406005"), (SNOMED, "363351006"), (SNOMED, "363414004")})
"""Malignant tumour of colon, of rectum, of rectosigmoid junction."""


def code_name(code: Code) -> str:
    """ "LOINC 1975-2"."""
    return f"{SYSTEM_NAMES.get(code[0], code[0])} {code[1]}"
