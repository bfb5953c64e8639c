"""Hand-built vessel trees in a liver of two ellipsoids, whose anatomy is known because it was drawn (LPS mm)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from liverplan.anatomy import Structure
from liverplan.vessels import VesselTree
from liverplan.volume import FloatArray

Drawing = Mapping[str, tuple[str | None, float, list[tuple[float, float, float]]]]
"""Branch by branch: the branch that it leaves (at its last point), radius in mm, the points after that one."""

RIGHT_PORTAL: Drawing = {
    "right": ("trunk", 5.0, [(-25, 0, 5)]),
    "anterior": ("right", 4.0, [(-45, -30, 10)]),
    "P5": ("anterior", 3.0, [(-60, -40, -22), (-80, -35, -30)]),
    "P8": ("anterior", 3.0, [(-60, -35, 45), (-75, -25, 58)]),
    "posterior": ("right", 4.0, [(-45, 30, 8)]),
    "P6": ("posterior", 3.0, [(-65, 35, -22), (-85, 30, -35)]),
    "P7": ("posterior", 3.0, [(-60, 35, 45), (-80, 35, 50)]),
}
LEFT_PORTAL: Drawing = {
    "left": ("trunk", 4.5, [(20, -10, 14)]),
    "P2": ("left", 2.5, [(45, -8, 28), (80, -15, 25)]),
    "umbilical": ("left", 4.0, [(24, -35, 15)]),
    "P3": ("umbilical", 2.5, [(50, -46, 14), (80, -42, 14)]),
    "P4": ("umbilical", 2.5, [(6, -46, 12), (-12, -42, 32)]),
}
TRUNK: Drawing = {"trunk": (None, 6.0, [(32, 20, -60), (9, 6, -18), (0, 0, 0)])}
PORTAL: Drawing = {**TRUNK, **RIGHT_PORTAL, **LEFT_PORTAL}
TRIFURCATION: Drawing = {
    **{k: v for k, v in PORTAL.items() if k != "right"},
    "anterior": ("trunk", 4.0, [(-20, -8, 5), (-45, -30, 10)]),
    "posterior": ("trunk", 4.0, [(-20, 12, 5), (-45, 30, 8)]),
}
EARLY_POSTERIOR: Drawing = {
    "stem": (None, 6.0, [(32, 20, -60), (9, 6, -18)]),
    "posterior": ("stem", 4.0, [(-20, 22, -10), (-45, 30, 8)]),
    "P6": RIGHT_PORTAL["P6"],
    "P7": RIGHT_PORTAL["P7"],
    "trunk": ("stem", 5.5, [(0, 0, 0)]),
    "anterior": ("trunk", 4.0, [(-20, -8, 5), (-45, -30, 10)]),
    "P5": RIGHT_PORTAL["P5"],
    "P8": RIGHT_PORTAL["P8"],
    **LEFT_PORTAL,
}
STACKED: Drawing = {
    **PORTAL,
    "anterior": ("right", 4.0, [(-45, 0, 40)]),
    "P5": ("anterior", 3.0, [(-60, -25, 45), (-88, -30, 25)]),
    "P8": ("anterior", 3.0, [(-60, 25, 45), (-88, 30, 25)]),
    "posterior": ("right", 4.0, [(-45, 0, -25)]),
    "P6": ("posterior", 3.0, [(-60, -25, -30), (-88, -30, -12)]),
    "P7": ("posterior", 3.0, [(-60, 25, -30), (-88, 30, -12)]),
}
"""The right portal vein parts into an upper and a lower branch: neither is anterior or posterior."""

RIGHT_HEPATIC: Drawing = {
    "RHV": (None, 5.0, [(-28, 28, 52), (-60, 15, 35)]),
    "RHV front": ("RHV", 3.0, [(-85, -5, 10), (-80, -5, -30)]),
    "RHV back": ("RHV", 3.0, [(-75, 35, 20), (-70, 35, -25)]),
}
MIDDLE_HEPATIC: Drawing = {
    "MHV": ("common", 4.0, [(-28, -15, 32)]),
    "V8": ("MHV", 2.5, [(-50, -30, 50), (-60, -35, 55)]),
    "V5": ("MHV", 2.5, [(-35, -35, -10), (-50, -40, -30)]),
}
LEFT_HEPATIC: Drawing = {
    "LHV": ("common", 4.0, [(20, -5, 38)]),
    "LHV far": ("LHV", 2.5, [(50, -25, 28), (80, -30, 22)]),
    "LHV front": ("LHV", 2.5, [(30, -40, 25), (35, -50, 15)]),
}
COMMON: Drawing = {"common": (None, 6.0, [(-15, 22, 55), (-13, 8, 50)])}
HEPATIC: Drawing = {**RIGHT_HEPATIC, **COMMON, **MIDDLE_HEPATIC, **LEFT_HEPATIC}
SEPARATE_OSTIA: Drawing = {
    **RIGHT_HEPATIC,
    "MHV": (None, 4.0, [(-18, 20, 55), (-28, -15, 32)]),
    "V8": MIDDLE_HEPATIC["V8"],
    "V5": MIDDLE_HEPATIC["V5"],
    "LHV": (None, 4.0, [(-8, 22, 55), (20, -5, 38)]),
    "LHV far": LEFT_HEPATIC["LHV far"],
    "LHV front": LEFT_HEPATIC["LHV front"],
}
INFERIOR: Drawing = {"IRHV": (None, 2.8, [(-28, 32, -15), (-60, 25, -30), (-80, 10, -40)])}


def liver(pitch_mm: float = 4.0) -> tuple[FloatArray, FloatArray]:
    """Points (N, 3) of a large right and a flat left lobe, and their volumes (N,) in mL."""
    axes = [np.arange(low, high, pitch_mm) for low, high in ((-115, 105), (-75, 75), (-65, 85))]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.zeros(len(points), dtype=bool)
    for centre, radii in (((-52, 0, 8), (55, 62, 65)), ((40, -25, 20), (60, 35, 28))):
        inside |= (((points - np.array(centre)) / np.array(radii)) ** 2).sum(axis=1) <= 1
    points = points[inside]
    return points, np.full(len(points), pitch_mm**3 / 1000.0)


def drawn(drawing: Drawing, structure: Structure = Structure.PORTAL_VEIN) -> tuple[VesselTree, dict[str, np.ndarray]]:
    """The tree with a node every millimetre, and each drawn branch's own nodes."""
    points: list[FloatArray] = []
    parent: list[int] = []
    radius: list[float] = []
    own: dict[str, list[int]] = {}
    for name, (leaves, r, course) in _in_order(drawing):
        at = own[leaves][-1] if leaves is not None else -1
        own[name] = []
        start = points[at] if leaves is not None else np.array(course[0], float)
        for end in map(np.array, course):
            steps = max(int(np.ceil(np.linalg.norm(end - start))), 1)
            for t in (np.arange(steps) + 1) / steps:
                own[name].append(len(points))
                parent.append(at)
                at = len(points)
                points.append(start + t * (end - start))
                radius.append(r)
            start = end
    branch = np.zeros(len(points), dtype=np.int64)
    for number, nodes in enumerate(own.values()):
        branch[nodes] = number
    tree = VesselTree(structure, np.array(points), np.array(radius), np.array(parent, dtype=np.int64), branch)
    return tree, {name: np.array(nodes) for name, nodes in own.items()}


def _in_order(drawing: Drawing):
    """Branches after the one that they leave."""
    done: set[str | None] = {None}
    while len(done) <= len(drawing):
        for name, branch in drawing.items():
            if name not in done and branch[0] in done:
                done.add(name)
                yield name, branch
