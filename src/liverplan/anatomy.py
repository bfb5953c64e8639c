"""The structures of a case: one name each, the same in code, files, JSON and reports.

What counts as liver is settled here: the liver is the whole organ with its lesions and the vessels inside it
(docs/decisions/0003-what-counts-as-liver.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class StructureInfo:
    """How a structure is written down: label value, title, SNOMED CT code (or None), colour, opacity in 3D."""

    label: int
    title: str
    snomed_ct: str | None
    rgb: tuple[int, int, int]
    opacity: float


class Structure(Enum):
    """A segmented structure; the value is the stem of its mask file and its name in JSON."""

    LIVER = "liver"
    LESIONS = "lesions"
    PORTAL_VEIN = "portal_vein"
    HEPATIC_VEINS = "hepatic_veins"
    VENA_CAVA = "inferior_vena_cava"
    LIVER_VESSELS = "liver_vessels"
    COUINAUD = "couinaud"

    @property
    def info(self) -> StructureInfo:
        return _INFO[self]

    @property
    def title(self) -> str:
        return _INFO[self].title


_INFO = {
    Structure.LIVER: StructureInfo(1, "Liver", "10200004", (205, 140, 110), 0.25),
    Structure.LESIONS: StructureInfo(2, "Lesions", "94381002", (240, 200, 40), 1.0),
    Structure.PORTAL_VEIN: StructureInfo(3, "Portal vein", "32764006", (60, 150, 230), 1.0),
    Structure.HEPATIC_VEINS: StructureInfo(4, "Hepatic veins", "8993003", (112, 76, 200), 1.0),
    Structure.VENA_CAVA: StructureInfo(5, "Inferior vena cava", "64131007", (90, 90, 140), 1.0),
    Structure.LIVER_VESSELS: StructureInfo(
        6, "Liver vessels (portal and hepatic not apart)", None, (80, 110, 200), 1.0
    ),
    Structure.COUINAUD: StructureInfo(7, "Couinaud segments", None, (160, 160, 160), 0.3),
}

VESSELS = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA, Structure.LIVER_VESSELS)
"""Structures that a lesion's clearance is measured to."""
