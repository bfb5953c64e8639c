"""Conversion of laboratory values, for showing them. Nothing is judged after a conversion: cut-offs exist per unit."""

from __future__ import annotations

from liverplan.clinical.entries import Lab

UMOL_PER_MG_DL = 17.1
"""Bilirubin: 1 mg/dL = 17.1 umol/L (584.7 g/mol), the project's clinical reference, section 5.1."""
G_L_PER_G_DL = 10.0

_FACTORS = {("mg/dL", "umol/L"): UMOL_PER_MG_DL, ("g/dL", "g/L"): G_L_PER_G_DL}


def in_unit(lab: Lab, unit: str) -> Lab:
    """The same concentration in another unit. Raises ValueError where the two units do not measure the same."""
    if unit == lab.unit:
        return lab
    if (lab.unit, unit) in _FACTORS:
        return Lab(lab.value * _FACTORS[lab.unit, unit], unit)
    if (unit, lab.unit) in _FACTORS:
        return Lab(lab.value / _FACTORS[unit, lab.unit], unit)
    raise ValueError(f"{lab.unit} does not convert to {unit}")
