"""What one series holds: strangers and copies left out, several volumes told apart, one of them made a stack.

A scanner may put echoes, phases, reconstructions or a localizer under one series UID. What is left out is said; what
cannot be told apart is refused.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from liverplan.io.dicom_geometry import Lattice, Slice, series_lattice

_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class Part:
    """One volume of a series. name: what sets it apart from the others of the series; "" when it is the only one.

    notes: what was left out of the series, for the reader.
    """

    name: str
    slices: tuple[Slice, ...]
    notes: tuple[str, ...]

    def lattice(self) -> Lattice:
        """Raises GeometryError when the slices are not one regular lattice."""
        return series_lattice(self.slices)


def parts_of(slices: Sequence[Slice]) -> tuple[Part, ...]:
    """The volumes of one series, without localizers, secondary captures, images without a place, and copies.

    A series of nothing but such images stays as it is, for the caller to refuse.
    """
    kept = [s for s in slices if s.is_slice]
    if not kept:
        return (Part("", tuple(slices), ()),)
    notes = _said_of_strangers([s for s in slices if not s.is_slice], len(slices))
    kept, n_copies = _without_copies(kept)
    if n_copies:
        notes = (*notes, f"{n_copies} of {len(slices)} images were copies of others, pixel by pixel: left out.")
    return tuple(Part(name, tuple(own), notes) for name, own in _told_apart(kept).items())


def _said_of_strangers(strangers: Sequence[Slice], n_all: int) -> tuple[str, ...]:
    if not strangers:
        return ()
    kinds = " and ".join(sorted({s.stranger_kind or "" for s in strangers}))
    return (f"{len(strangers)} of {n_all} images of the series are {kinds}: left out.",)


def _place(one: Slice) -> Hashable:
    return tuple(round(v / _SAME_PLACE_MM) for v in one.position_lps_mm), tuple(round(v, 3) for v in one.orientation)


def _by_place(slices: Iterable[Slice]) -> Mapping[Hashable, list[Slice]]:
    places: dict[Hashable, list[Slice]] = defaultdict(list)
    for one in slices:
        places[_place(one)].append(one)
    return places


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """One slice of each set of copies, when all that share a place are copies; else everything, for `_told_apart`.

    Two phases may agree in a slice of air, so that a single pair says nothing.
    """
    shared = [same for same in _by_place(slices).values() if len(same) > 1]
    if not shared or any(len({_content(s) for s in same}) > 1 for same in shared):
        return list(slices), 0
    left_out = {id(s) for same in shared for s in same[1:]}
    return [s for s in slices if id(s) not in left_out], len(left_out)


def _content(one: Slice) -> Hashable:
    """What the pixels of a slice are, without decoding them."""
    with one.path.open("rb") as file:
        file.seek(one.pixels_at)
        return hashlib.file_digest(file, "sha256").digest(), one.frame, one.slope, one.intercept


def _told_apart(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    """The slices by what sets those at one place apart, in the header's words; one entry when nothing does."""
    most = max(len(same) for same in _by_place(slices).values())
    if most == 1:
        return {"": list(slices)}
    names = [name for name, _ in slices[0].traits]
    for n_traits in (1, 2):
        for chosen in itertools.combinations(range(len(names)), n_traits):
            groups: dict[str, list[Slice]] = defaultdict(list)
            for one in slices:
                groups[", ".join(f"{names[t]} {one.traits[t][1] or 'not said'}" for t in chosen)].append(one)
            if len(groups) == most and all(_one_per_place(own) for own in groups.values()):
                return dict(sorted(groups.items(), key=lambda item: _natural(item[0])))
    return {"": list(slices)}


def _one_per_place(slices: Sequence[Slice]) -> bool:
    return len(slices) > 1 and max(len(same) for same in _by_place(slices).values()) == 1


def _natural(text: str) -> list[tuple[int, float, str]]:
    """A key that puts 2 before 10."""
    return [(0, _number(word), "") if _number(word) == _number(word) else (1, 0.0, word) for word in text.split()]


def _number(word: str) -> float:
    try:
        return float(word.rstrip(","))
    except ValueError:
        return float("nan")
