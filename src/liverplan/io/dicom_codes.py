"""What DICOM results call things: SNOMED CT, DICOM, IBSI and UCUM codes, and the package's own where there is none.

A code is (value, scheme, meaning). Those of the standard are in PS3.16: CID 7150 and 7159 (segments), CID 7477
(diameter), CID 225 (ranges of uncertainty). Own codes carry the scheme 99LIVERPLAN and are listed
in docs/dicom.md.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from liverplan.anatomy import Structure

Code: TypeAlias = tuple[str, str, str]

OWN_SCHEME = "99LIVERPLAN"

ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
SECONDARY_NEOPLASM: Code = ("14799000", "SCT", "Neoplasm, Secondary")
LIVER: Code = ("10200004", "SCT", "Liver")
LIVER_METASTASIS: Code = ("94381002", "SCT", "Secondary malignant neoplasm of liver")
BLOOD_VESSEL: Code = ("59820001", "SCT", "Blood Vessel")
COUINAUD: dict[int, Code] = {
    1: ("71133005", "SCT", "Couinaud hepatic segment I"),
    2: ("277956007", "SCT", "Couinaud hepatic segment II"),
    3: ("277957003", "SCT", "Couinaud hepatic segment III"),
    4: ("277958008", "SCT", "Couinaud hepatic segment IV"),
    5: ("277959000", "SCT", "Couinaud hepatic segment V"),
    6: ("277960005", "SCT", "Couinaud hepatic segment VI"),
    7: ("277961009", "SCT", "Couinaud hepatic segment VII"),
    8: ("277962002", "SCT", "Couinaud hepatic segment VIII"),
}
_LESION_TYPES = {
    "14799000",  # neoplasm, secondary
    "86049000",  # neoplasm, primary
    "108369006",  # neoplasm
    "52988006",  # lesion
    "4147007",  # mass
}

VOLUME: Code = ("118565006", "SCT", "Volume")
DIAMETER: Code = ("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
MINIMUM: Code = ("255605001", "SCT", "Minimum")
UPPER_UNCERTAINTY: Code = ("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY: Code = ("371885007", "SCT", "-, range of lower measurement uncertainty")
LOWER_END: Code = ("interval_low", OWN_SCHEME, "Lower end of the interval")
UPPER_END: Code = ("interval_high", OWN_SCHEME, "Upper end of the interval")
COMMENT: Code = ("121106", "DCM", "Comment")
REPORT: Code = ("126000", "DCM", "Imaging Measurement Report")
CT: Code = ("77477000", "SCT", "Computed tomography")
MR: Code = ("113091000", "SCT", "Magnetic resonance imaging")

MM: Code = ("mm", "UCUM", "millimeter")
ML: Code = ("mL", "UCUM", "milliliter")
PERCENT: Code = ("%", "UCUM", "percent")

MARGIN_UPPER: Code = ("margin_upper", OWN_SCHEME, "Largest margin possible")
MARGIN_PLANNED: Code = ("margin_planned", OWN_SCHEME, "Margin in the planned resection")
CAPSULE_DISTANCE: Code = ("capsule_distance", OWN_SCHEME, "Distance to the liver capsule")
NEAREST_LESION: Code = ("nearest_lesion", OWN_SCHEME, "Distance to the nearest lesion")
TUMOUR_VOLUME: Code = ("tumour_volume", OWN_SCHEME, "Volume of all lesions")
RESECTED_VOLUME: Code = ("resected_volume", OWN_SCHEME, "Resected volume")
REMNANT_VOLUME: Code = ("remnant_volume", OWN_SCHEME, "Volume of the liver that stays behind")
FLR: Code = ("flr_percent", OWN_SCHEME, "Future liver remnant, functional")
GEOMETRIC_FLR: Code = ("flr_geometric", OWN_SCHEME, "Future liver remnant, geometric")
WIDE_MARGIN: Code = ("wide_margin", OWN_SCHEME, "Wide margin")
MEETS_PROTOCOL: Code = ("meets_protocol", OWN_SCHEME, "Resection meets the protocol")
CASE: Code = ("case", OWN_SCHEME, "Planned liver case")
RESECTION: Code = ("resection", OWN_SCHEME, "Planned liver resection")


def clearance(structure: Structure) -> Code:
    """The name of the smallest distance between a lesion and a vessel. Own code: 16 characters at most."""
    short = {Structure.VENA_CAVA: "vena_cava", Structure.LIVER_VESSELS: "vessels"}.get(structure, structure.value)
    return f"cl_{short}"[:16], OWN_SCHEME, f"Clearance to {_title(structure)}"


def verdict(value: str) -> Code:
    """feasible, infeasible, undetermined, met, not_met."""
    return value[:16], OWN_SCHEME, value.replace("_", " ").capitalize()


def category_of(structure: Structure) -> Code:
    """Segmented property category (PS3.16 CID 7150)."""
    return ABNORMAL if structure is Structure.LESIONS else ANATOMY


def type_of(structure: Structure, value: int | None = None) -> Code:
    """Segmented property type, or the finding site; `value` is the number of a Couinaud segment."""
    if structure is Structure.LESIONS:
        return SECONDARY_NEOPLASM
    if structure is Structure.COUINAUD and value is not None:
        return COUINAUD[value]
    code = structure.info.snomed_ct
    return (code, "SCT", structure.title) if code else BLOOD_VESSEL


def structure_of_code(value: str, regions: frozenset[str]) -> tuple[Structure | None, int | None]:
    """The structure that a SNOMED CT code means and the number of a Couinaud segment; None when the code is not enough.

    `regions`: codes of the anatomic regions that go with it; a lesion or a vessel has to be one of the liver.
    """
    number = next((n for n, code in COUINAUD.items() if code[0] == value), None)
    if number is not None:
        return Structure.COUINAUD, number
    if value in _LESION_TYPES:
        return (Structure.LESIONS if in_the_liver(regions) else None), None
    if value == BLOOD_VESSEL[0]:
        return (Structure.LIVER_VESSELS if in_the_liver(regions) else None), None
    return next((s for s in Structure if s.info.snomed_ct == value), None), None


def in_the_liver(regions: frozenset[str]) -> bool:
    """True when one of the codes is the liver or a part of it."""
    return bool(regions & {LIVER[0], *(code[0] for code in COUINAUD.values())})


def concept(code: Code) -> Any:
    """`code` as highdicom writes it."""
    from highdicom.sr import CodedConcept

    value, scheme, meaning = code
    return CodedConcept(value, scheme, meaning)


def _title(structure: Structure) -> str:
    return structure.title[0].lower() + structure.title[1:]
