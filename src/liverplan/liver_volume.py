"""Liver volume expected from body size, and a remnant measured against it and against body weight.

A remnant in percent needs a denominator. The measured one is the liver without its tumours; the standardised one is
what a healthy person of this size would have. They can disagree about a limit; `discordant` says so and a clinician
decides. The formulas are regressions on adults: Feng's explains 30 % of the variance (R^2 0.299), which leaves a
standard deviation of about 216 of 1205 mL. They differ among themselves: at 1.7 m^2 Vauthey gives 1360, Feng 1165 mL.

| name    | mL from BSA in m^2      | made on            | BSA by    | source                                     |
|---------|-------------------------|--------------------|-----------|--------------------------------------------|
| feng    | 758.259 * BSA - 124.272 | 369 Chinese adults | Mosteller | Feng 2017, doi 10.3748/wjg.v23.i27.4968    |
| vauthey | 1267.28 * BSA - 794.41  | Western adults     | Mosteller | Vauthey 2002, as in PMC6422720, table 1    |
| urata   | 706.2 * BSA + 2.4       | Japanese           | DuBois    | Urata 1995, as in PMC6422720               |

Which BSA formula each author used was not in the abstracts that could be read: check it against the papers. Up to a
body mass index of 30 Mosteller and DuBois differ by about 3 %, at 40 by 5 %; Vauthey's volume then by 1.6 times that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from liverplan.quantity import Measured, Quantity, Unknown

G_PER_ML = 1.0
"""Convention for liver tissue: 1 mL weighs about 1 g (0.99 post mortem; 1.1 in cirrhosis, PMC3921016)."""
WEIGHT_RATIO_NOTE = (
    "Truant 2007 (31 extended right hepatectomies) found more morbidity and mortality at three months where the "
    "remnant was 0.5 % of body weight or less. This is a line from the literature, not a limit of the protocol."
)
DISCORDANT = "the denominators disagree about the protocol's limit: the clinician decides"


@dataclass(frozen=True)
class BodySize:
    """Height in cm and weight in kg; None where they were not recorded.

    Whether they are plausible for an adult is checked where the clinical record is read.
    """

    height_cm: float | None
    weight_kg: float | None


def bsa_mosteller_m2(body: BodySize) -> float | Unknown:
    """Body surface area in m^2 after Mosteller 1987: sqrt(height * weight / 3600)."""
    size = _usable(body)
    return size if isinstance(size, Unknown) else math.sqrt(size[0] * size[1] / 3600.0)


def bsa_dubois_m2(body: BodySize) -> float | Unknown:
    """Body surface area in m^2 after DuBois 1916: 0.007184 * weight^0.425 * height^0.725."""
    size = _usable(body)
    return size if isinstance(size, Unknown) else float(0.007184 * size[1] ** 0.425 * size[0] ** 0.725)


@dataclass(frozen=True)
class StandardFormula:
    """A published line: mL = slope_ml_per_m2 * BSA + intercept_ml, with whom and how it was made."""

    title: str
    slope_ml_per_m2: float
    intercept_ml: float
    population: str
    bsa_title: str
    bsa_m2: Callable[[BodySize], float | Unknown]
    source: str

    def volume_ml(self, body: BodySize) -> float | Unknown:
        """The volume for a body; Unknown when its size is, or when it is too small for the formula to hold."""
        bsa_m2 = self.bsa_m2(body)
        if isinstance(bsa_m2, Unknown):
            return bsa_m2
        volume_ml = self.slope_ml_per_m2 * bsa_m2 + self.intercept_ml
        if not 0.0 < volume_ml < math.inf:
            return Unknown(
                f"{self.title} gives no liver volume for a body surface of {bsa_m2:.3g} m^2: outside its range"
            )
        return volume_ml


FORMULAS: Mapping[str, StandardFormula] = MappingProxyType(
    {
        "feng": StandardFormula(
            title="Feng 2017",
            slope_ml_per_m2=758.259,
            intercept_ml=-124.272,
            population="369 Chinese adults in Shanghai; too high above 70 years, too low for livers above 1800 mL",
            bsa_title="Mosteller",
            bsa_m2=bsa_mosteller_m2,
            source="Feng LM et al., World J Gastroenterol 2017;23:4968, doi 10.3748/wjg.v23.i27.4968",
        ),
        "vauthey": StandardFormula(
            title="Vauthey 2002",
            slope_ml_per_m2=1267.28,
            intercept_ml=-794.41,
            population="Western adults",
            bsa_title="Mosteller",
            bsa_m2=bsa_mosteller_m2,
            source="Vauthey JN et al. 2002, as quoted in PMC6422720, table 1",
        ),
        "urata": StandardFormula(
            title="Urata 1995",
            slope_ml_per_m2=706.2,
            intercept_ml=2.4,
            population="Japanese",
            bsa_title="DuBois",
            bsa_m2=bsa_dubois_m2,
            source="Urata K et al. 1995, as quoted in PMC6422720",
        ),
    }
)
"""The published formulas by the name that JSON uses; see the table above."""


@dataclass(frozen=True)
class StandardVolume:
    """The liver volume in mL that one formula expects, or why there is none."""

    formula: StandardFormula
    volume_ml: float | Unknown


def standardised_volumes_ml(body: BodySize) -> Mapping[str, StandardVolume]:
    """The liver volume that each formula expects of a body, under its name in JSON.

    `feng`: 758.259 * BSA - 124.272, Chinese adults; `vauthey`: 1267.28 * BSA - 794.41, Western adults (both with
    Mosteller's BSA); `urata`: 706.2 * BSA + 2.4, Japanese (DuBois' BSA). Sources: see FORMULAS.
    """
    return {name: StandardVolume(formula, formula.volume_ml(body)) for name, formula in FORMULAS.items()}


def standardised_flr_percent(remnant_ml: Measured, standard: StandardVolume) -> Measured:
    """The remnant (mL, without tumour) in percent of a standardised volume, which counts as exact."""
    if isinstance(remnant_ml, Unknown):
        return remnant_ml
    if isinstance(standard.volume_ml, Unknown):
        return standard.volume_ml
    return _scaled(remnant_ml, 100.0 / standard.volume_ml)


def remnant_to_weight_percent(remnant_ml: Measured, weight_kg: float | None) -> Measured:
    """The remnant's weight in percent of the body's, by the convention 1 mL ~ 1 g: 350 mL at 70 kg are 0.5 %.

    WEIGHT_RATIO_NOTE says what is known about small ratios; nothing is decided by it here.
    """
    if isinstance(remnant_ml, Unknown):
        return remnant_ml
    weight = _positive("weight_kg", weight_kg)
    if isinstance(weight, Unknown):
        return weight
    return _scaled(remnant_ml, 100.0 * G_PER_ML / (1000.0 * weight))


def discordant(flr_measured: Measured, flr_standardised: Measured, limit: float) -> bool | Unknown:
    """Whether the denominators disagree about the protocol's limit; DISCORDANT says it in words. All in percent.

    True when one value reaches the limit and the other does not. Only values are compared: whether an interval holds
    the limit is a question to each percentage by itself. Unknown when either percentage is.
    """
    reasons = [flr.reason for flr in (flr_measured, flr_standardised) if isinstance(flr, Unknown)]
    if isinstance(flr_measured, Unknown) or isinstance(flr_standardised, Unknown):
        return Unknown("; ".join(reasons))
    return (flr_measured.value >= limit) != (flr_standardised.value >= limit)


def _usable(body: BodySize) -> tuple[float, float] | Unknown:
    """Height in cm and weight in kg, or which of the two is missing or no body's."""
    height, weight = _positive("height_cm", body.height_cm), _positive("weight_kg", body.weight_kg)
    if isinstance(height, Unknown) or isinstance(weight, Unknown):
        return Unknown("; ".join(size.reason for size in (height, weight) if isinstance(size, Unknown)))
    return height, weight


def _positive(name: str, value: float | None) -> float | Unknown:
    if value is None:
        return Unknown(f"{name} is not recorded")
    if not (math.isfinite(value) and value > 0.0):
        return Unknown(f"{name} is {value:g}, which is no body's")
    return value


def _scaled(quantity: Quantity, factor: float) -> Quantity:
    return Quantity(quantity.value * factor, quantity.low * factor, quantity.high * factor)
