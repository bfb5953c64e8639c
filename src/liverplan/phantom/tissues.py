"""What each tissue looks like: portal-venous CT in HU, portal-phase fat-suppressed T1 MR in percent of liver signal.

CT values are those of the project's clinical reference, section 4.1 (mean and spread between patients; stated there as
not sourced from a table). MR ratios follow section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CT = {
    "air": (-1000.0, 0.0),
    "skin": (10.0, 8.0),
    "fat": (-103.0, 5.0),
    "inner_fat": (-98.0, 5.0),
    "muscle": (62.0, 5.0),
    "lung": (-840.0, 25.0),
    "marrow": (190.0, 35.0),
    "cortex": (520.0, 80.0),
    "disc": (85.0, 10.0),
    "canal": (28.0, 5.0),
    "heart": (140.0, 12.0),
    "stomach_wall": (82.0, 8.0),
    "stomach": (18.0, 8.0),
    "gas": (-950.0, 0.0),
    "bowel_wall": (88.0, 8.0),
    "bowel": (22.0, 10.0),
    "pancreas": (98.0, 10.0),
    "spleen": (125.0, 11.0),
    "kidney": (185.0, 15.0),
    "renal_sinus": (-40.0, 20.0),
    "gall_bladder": (8.0, 4.0),
    "aorta": (155.0, 14.0),
    "vena_cava": (135.0, 14.0),
    "liver": (110.0, 9.0),
    "portal": (168.0, 14.0),
    "hepatic": (157.0, 14.0),
    "lesion_rim": (88.0, 8.0),
    "lesion_core": (52.0, 9.0),
}
MR = {
    "air": (1.0, 0.0),
    "skin": (55.0, 5.0),
    "fat": (32.0, 5.0),
    "inner_fat": (30.0, 5.0),
    "muscle": (55.0, 5.0),
    "lung": (8.0, 2.0),
    "marrow": (42.0, 6.0),
    "cortex": (14.0, 3.0),
    "disc": (45.0, 5.0),
    "canal": (25.0, 4.0),
    "heart": (135.0, 12.0),
    "stomach_wall": (85.0, 8.0),
    "stomach": (28.0, 6.0),
    "gas": (1.0, 0.0),
    "bowel_wall": (85.0, 8.0),
    "bowel": (40.0, 10.0),
    "pancreas": (115.0, 8.0),
    "spleen": (105.0, 10.0),
    "kidney": (160.0, 12.0),
    "renal_sinus": (40.0, 8.0),
    "gall_bladder": (40.0, 12.0),
    "aorta": (175.0, 12.0),
    "vena_cava": (160.0, 12.0),
    "liver": (100.0, 5.0),
    "portal": (178.0, 10.0),
    "hepatic": (172.0, 10.0),
    "lesion_rim": (88.0, 6.0),
    "lesion_core": (55.0, 7.0),
}


@dataclass(frozen=True)
class Look:
    """One patient's tissue values and texture strengths, in the image's unit."""

    value: dict[str, float]
    texture: float
    noise: float


def draw_look(modality: str, noise: float | None, rng: np.random.Generator) -> Look:
    """A patient's values: enhanced tissues vary together (one contrast dose), the rest on their own."""
    table = CT if modality == "CT" else MR
    together = float(rng.normal())
    enhanced = {"heart", "spleen", "kidney", "aorta", "vena_cava", "liver", "portal", "hepatic", "pancreas"}
    value = {}
    for name, (mean, spread) in table.items():
        own = float(rng.normal())
        shift = 0.8 * together + 0.6 * own if name in enhanced else own
        value[name] = mean + spread * float(np.clip(shift, -2.0, 2.0))
    if modality == "CT":
        return Look(value, 5.0, float(rng.uniform(10.0, 15.0)) if noise is None else noise)
    return Look(value, 3.5, float(rng.uniform(3.0, 5.0)) if noise is None else noise)
