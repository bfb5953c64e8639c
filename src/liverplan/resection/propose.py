"""Candidate resections: wedges, segments, sections, hepatectomies and their combinations, each covering every lesion.

Every candidate is a level set on the workspace's lattice that holds the margin region { d <= target }; combining
candidates takes the lesser level. docs/margins.md shows how each is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from liverplan.distance import combined_mm, discretisation_mm
from liverplan.naming import TreeNames
from liverplan.naming.names import (
    LEFT_PORTAL,
    RIGHT_ANTERIOR,
    RIGHT_PORTAL,
    RIGHT_POSTERIOR,
    SEGMENT_2,
    SEGMENT_3,
    SEGMENT_4,
)
from liverplan.resection.approach import best_wedge
from liverplan.resection.specimen import specimen_of
from liverplan.resection.territories import covered_share, covering_names, smallest_cover, territory_level
from liverplan.resection.workspace import Float32Array, Target, Workspace
from liverplan.volume import BoolArray

SLACK_MM = 0.2
TIGHT_VOXELS, WIDE_VOXELS = 0.35, 0.5
"""Candidates are cut this much wider (mm, and voxels of the coarsest spacing) than the margin and its interval ask for:
the lattice rounds shapes, and somewhere on a cut of thousands of voxels the surface lies half a voxel inside."""
MERGED_GAP_MM = 25.0
"""Lesions this near to each other are also tried as one specimen."""
COVERED_SHARE = 0.5
"""A lesion belongs to a territory that holds this much of its margin region; otherwise it gets its own wedge."""
SAME_SHARE = 0.97
"""Specimens that agree this well (Jaccard index) are one candidate."""
MOST_CANDIDATES = 10
MOST_MIXED = 2
"""Mixtures of segments and wedges are tried for this many groups of lesions; more of them differ little."""
_SECTIONS = {
    RIGHT_ANTERIOR: (RIGHT_ANTERIOR,),
    RIGHT_POSTERIOR: (RIGHT_POSTERIOR,),
    "left lateral section": (SEGMENT_2, SEGMENT_3),
    "left medial section": (SEGMENT_4,),
}


@dataclass(frozen=True)
class Candidate:
    """A proposed resection: name (a file name as well), kind of contract section 4, voxels taken out."""

    name: str
    kind: str
    specimen: BoolArray


def target_of(work: Workspace, margin_mm: float) -> Target:
    """What candidates are cut for, so that the low end of the margin's interval still reaches `margin_mm`."""
    needed_mm = margin_mm + combined_mm(discretisation_mm(work.grid), work.error.lesion_mm) + SLACK_MM
    voxel_mm = max(work.grid.spacing_mm)
    return Target(needed_mm + WIDE_VOXELS * voxel_mm, needed_mm + TIGHT_VOXELS * voxel_mm)


def propose(work: Workspace, margin_mm: float) -> tuple[Candidate, ...]:
    """Candidates for removing all lesions with `margin_mm`, without the ones that come out the same."""
    if not work.field.lesions:
        return ()
    work.prepare()
    with ThreadPoolExecutor(max_workers=2) as pool:
        # Voxels of candidates are made while the next ones' shapes are computed.
        proposals = islice(_Proposals(work, target_of(work, margin_mm)).all(), MOST_CANDIDATES)
        waiting = [(name, kind, pool.submit(specimen_of, work, level)) for name, kind, level in proposals]
        found: list[Candidate] = []
        for name, kind, specimen in ((n, k, w.result()) for n, k, w in waiting):
            if specimen.any() and not any(_same(specimen, other.specimen) for other in found):
                found.append(Candidate(name, kind, specimen))
    return tuple(found)


def clusters(work: Workspace, gap_mm: float) -> list[list[int]]:
    """Lesions (row numbers) grouped so that groups are more than `gap_mm` apart."""
    lesions = work.field.lesions
    group = list(range(len(lesions)))
    for a in range(len(lesions)):
        for b in range(a):
            if group[a] != group[b] and _gap(work, a, b) <= gap_mm:
                group = [group[b] if g == group[a] else g for g in group]
    return [[n for n, g in enumerate(group) if g == name] for name in dict.fromkeys(group)]


def _gap(work: Workspace, a: int, b: int) -> float:
    first, second = (work.field.lesions[n].surface for n in (a, b))
    return float(np.min(first.tree.query(second.vertices_lps_mm[::4])[0]))


@dataclass(frozen=True)
class _Proposals:
    """Level sets by name and kind, the likely ones first."""

    work: Workspace
    target: Target

    def all(self) -> Iterator[tuple[str, str, Float32Array]]:
        apart = clusters(self.work, 2.0 * self.target.wide_mm)
        wedges = self._wedges(apart)
        yield ("wedge" if len(apart) == 1 else "wedges"), ("wedge" if len(apart) == 1 else "combined"), _union(wedges)
        merged = clusters(self.work, MERGED_GAP_MM)
        if len(merged) < len(apart):
            yield "merged_wedges", "combined" if len(merged) > 1 else "wedge", _union(self._wedges(merged))
        if self.work.field.portal is None:
            return
        segments = [self._segmental(rows) for rows in apart]
        level = _union([s if s is not None else w for s, w in zip(segments, wedges, strict=True)])
        yield "segmental", "segmental", level
        names = self.work.portal_names
        if names is None or not names.named:
            return
        yield from self._sectional(names, apart, wedges)
        yield from self._hepatectomies(names, apart, wedges)
        if 1 < len(apart) <= MOST_MIXED:
            yield from self._mixed(apart, wedges, segments)

    def _wedges(self, groups: list[list[int]]) -> list[Float32Array]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            return list(pool.map(lambda rows: best_wedge(self.work, rows, self.target), groups))

    def _segmental(self, rows: list[int]) -> Float32Array | None:
        taken = smallest_cover(self.work, rows, self.target.wide_mm)
        return None if taken is None else territory_level(self.work, taken, rows, self.target)

    def _sectional(
        self, names: TreeNames, apart: list[list[int]], wedges: list[Float32Array]
    ) -> Iterator[tuple[str, str, Float32Array]]:
        sections = {title: parts for title, parts in _SECTIONS.items() if all(names.has(p) for p in parts)}
        branches = [part for parts in sections.values() for part in parts]
        rows = list(range(len(self.work.field.lesions)))
        needed = set(covering_names(self.work, names, branches, rows, self.target.wide_mm))
        chosen = [title for title, parts in sections.items() if needed & set(parts)]
        if chosen:
            taken = self._taken(names, [part for title in chosen for part in sections[title]])
            level, kind = self._with_wedges(taken, apart, wedges, "segmental")
            yield "sectional", kind, level

    def _hepatectomies(
        self, names: TreeNames, apart: list[list[int]], wedges: list[Float32Array]
    ) -> Iterator[tuple[str, str, Float32Array]]:
        right = [RIGHT_PORTAL] if names.has(RIGHT_PORTAL) else [RIGHT_ANTERIOR, RIGHT_POSTERIOR]
        plans = {
            "right_hepatectomy": right,
            "left_hepatectomy": [LEFT_PORTAL],
            "extended_right_hepatectomy": [*right, SEGMENT_4],
            "extended_left_hepatectomy": [LEFT_PORTAL, RIGHT_ANTERIOR],
        }
        for name, branches in plans.items():
            if not all(names.has(b) for b in branches):
                continue
            taken = self._taken(names, branches)
            if not any(covered_share(self.work, taken, row, self.target.wide_mm) > COVERED_SHARE for row in self._rows):
                continue
            level, kind = self._with_wedges(taken, apart, wedges, "hepatectomy")
            yield name if kind == "hepatectomy" else f"{name}_and_wedge", kind, level

    def _mixed(
        self, apart: list[list[int]], wedges: list[Float32Array], segments: list[Float32Array | None]
    ) -> Iterator[tuple[str, str, Float32Array]]:
        """One group of lesions by its segments, the others by wedges."""
        for number, segment in enumerate(segments):
            if segment is not None:
                ids = "_".join(str(self.work.field.lesions[row].id) for row in apart[number])
                others = [w for n, w in enumerate(wedges) if n != number]
                yield f"segmental_{ids}_and_wedges", "combined", _union([segment, *others])

    @property
    def _rows(self) -> range:
        return range(len(self.work.field.lesions))

    def _taken(self, names: TreeNames, branches: list[str]) -> BoolArray:
        taken = np.zeros(len(names.tree.parent), dtype=np.bool_)
        for branch in branches:
            taken[names.subtree(branch)] = True
        return taken

    def _with_wedges(
        self, taken: BoolArray, apart: list[list[int]], wedges: list[Float32Array], kind: str
    ) -> tuple[Float32Array, str]:
        """The territory with the margin regions that mostly lie in it, and a wedge for every other group."""
        shares = [min(covered_share(self.work, taken, row, self.target.wide_mm) for row in rows) for rows in apart]
        inside = [row for rows, share in zip(apart, shares, strict=True) if share > COVERED_SHARE for row in rows]
        outside = [w for w, share in zip(wedges, shares, strict=True) if share <= COVERED_SHARE]
        level = territory_level(self.work, taken, inside, self.target)
        return _union([level, *outside]), kind if not outside else "combined"


def _union(levels: list[Float32Array]) -> Float32Array:
    return np.asarray(np.minimum.reduce(levels), dtype=np.float32)


def _same(first: BoolArray, second: BoolArray) -> bool:
    a, b = (mask[::2, ::2, ::2] for mask in (first, second))
    return int((a & b).sum()) >= SAME_SHARE * int((a | b).sum())
