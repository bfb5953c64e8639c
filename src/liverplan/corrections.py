"""Corrections of masks by hand: small edits that can be replayed, undone, and proven from a log.

An `Edit` says what was done, not which voxels it changed: the same edits on the same masks give the same masks, so a
log of edits and the masks before them are the whole truth. Masks are canonical uint8 arrays (i, j, k) by structure;
lesions hold one label per lesion. Places are LPS mm.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.chain import last_sha256, line_sha256
from liverplan.errors import InputError
from liverplan.volume import BoolArray, FloatArray, Grid, bounding_box

Mask: TypeAlias = npt.NDArray[np.uint8]
Masks: TypeAlias = MutableMapping[Structure, Mask]
Place: TypeAlias = tuple[float, float, float]
Where: TypeAlias = tuple[npt.NDArray[np.intp], ...]

PAINT, ERASE, REMOVE, SPLIT, MERGE, MARK = "paint", "erase", "remove", "split", "merge", "mark"
VESSELS = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS)
PAINTED = (Structure.LESIONS, Structure.LIVER, *VESSELS, Structure.VENA_CAVA)
"""Structures that a brush changes."""
_ON: Mapping[str, tuple[Structure, ...]] = {
    PAINT: PAINTED,
    ERASE: PAINTED,
    REMOVE: (Structure.LESIONS,),
    SPLIT: (Structure.LESIONS,),
    MERGE: (Structure.LESIONS,),
    MARK: VESSELS,
}
_PLACES: Mapping[str, tuple[int, int]] = {
    PAINT: (1, 5000),
    ERASE: (1, 5000),
    REMOVE: (1, 1),
    SPLIT: (2, 2),
    MERGE: (2, 2),
    MARK: (1, 1),
}
BRUSH_MM = (0.5, 40.0)
"""Least and largest radius of a brush."""
_MOST_LESIONS = 255
"""A byte per voxel."""
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True)
class Edit:
    """One correction. places: LPS mm, a brush's way or what was clicked; radius_mm and axis (0, 1, 2: the one that
    the slice is perpendicular to) of a brush, None otherwise. utc: ISO 8601."""

    what: str
    structure: Structure
    places: tuple[Place, ...]
    who: str
    utc: str
    radius_mm: float | None = None
    axis: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "structure": self.structure.value,
            "places_lps_mm": [list(place) for place in self.places],
            "radius_mm": self.radius_mm,
            "axis": self.axis,
            "who": self.who,
            "utc": self.utc,
        }

    @classmethod
    def of_json(cls, told: object) -> Edit:
        """Raises InputError for what is no edit: the text may come from a page or from a file that was changed."""
        if not isinstance(told, Mapping) or told.get("what") not in _ON:
            raise _no_edit("no kind of correction")
        what = str(told["what"])
        structure = next((s for s in _ON[what] if s.value == told.get("structure")), None)
        if structure is None:
            raise _no_edit(f"{what} of {str(told.get('structure'))[:40]}")
        places = _places(told.get("places_lps_mm"), *_PLACES[what])
        who, utc = str(told.get("who") or "")[:80], str(told.get("utc") or "")[:40]
        if what not in (PAINT, ERASE):
            return cls(what, structure, places, who, utc)
        radius, axis = told.get("radius_mm"), told.get("axis")
        if not _is_number(radius) or not BRUSH_MM[0] <= float(radius) <= BRUSH_MM[1]:
            raise _no_edit(f"a brush of {str(radius)[:20]} mm")
        if isinstance(axis, bool) or axis not in (0, 1, 2):
            raise _no_edit("a slice in no direction")
        return cls(what, structure, places, who, utc, float(radius), int(axis))


@dataclass(frozen=True)
class Patch:
    """What an edit changed in one mask: where, as `numpy.nonzero` gives it, and the values before and after."""

    structure: Structure
    where: Where
    before: Mask
    after: Mask

    def __len__(self) -> int:
        return len(self.before)


class Editor:
    """Masks under correction, with undo and redo. The masks given are copied where they are changed, never written."""

    def __init__(self, masks: Mapping[Structure, Mask], grid: Grid, edits: Iterable[Edit] = ()) -> None:
        self.grid = grid
        self.masks: dict[Structure, Mask] = dict(masks)
        self._own: set[Structure] = set()
        self._done: list[tuple[Edit, tuple[Patch, ...]]] = []
        self._undone: list[Edit] = []
        for edit in edits:
            self.do(edit)

    @property
    def edits(self) -> tuple[Edit, ...]:
        return tuple(edit for edit, _ in self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def do(self, edit: Edit) -> tuple[Patch, ...]:
        """Apply an edit. Raises InputError, and changes nothing, where there is nothing to be done."""
        patches = self._apply(edit)
        self._undone.clear()
        return patches

    def undo(self) -> tuple[Patch, ...]:
        """Take the last edit back; what it had changed, () when there is none."""
        if not self._done:
            return ()
        edit, patches = self._done.pop()
        for patch in reversed(patches):
            self.masks[patch.structure][patch.where] = patch.before
        self._undone.append(edit)
        return patches

    def redo(self) -> tuple[Patch, ...]:
        return self._apply(self._undone.pop()) if self._undone else ()

    def _apply(self, edit: Edit) -> tuple[Patch, ...]:
        patches = tuple(patch for patch in changes(self.masks, self.grid, edit) if len(patch))
        if not patches:
            raise InputError(
                "this changes nothing",
                got=f"{edit.what} of {edit.structure.title.lower()} where it is so already",
                wanted="a place that changes",
                do="Choose another place, structure or tool.",
            )
        for patch in patches:
            self._writable(patch.structure)[patch.where] = patch.after
        self._done.append((edit, patches))
        return patches

    def _writable(self, structure: Structure) -> Mask:
        if structure not in self._own:
            known = self.masks.get(structure)
            self.masks[structure] = (
                np.zeros(self.grid.shape, dtype=np.uint8, order="F") if known is None else known.copy(order="K")
            )
            self._own.add(structure)
        return self.masks[structure]


def changes(masks: Mapping[Structure, Mask], grid: Grid, edit: Edit) -> Iterator[Patch]:
    """What an edit would change. Raises InputError where it cannot be done."""
    if edit.what in (PAINT, ERASE):
        yield from _brushed(masks, grid, edit)
    elif edit.what == MARK:
        yield from _marked(masks, grid, edit)
    else:
        yield _relabelled(masks, grid, edit)


# ---- brush ------------------------------------------------------------------------------------------------------


def brush(grid: Grid, edit: Edit) -> Where:
    """Voxels of one slice whose centres lie no further than the radius from the brush's way."""
    assert edit.axis is not None
    assert edit.radius_mm is not None
    way = grid.to_index(edit.places) * np.array(grid.spacing_mm)
    spacing = np.array(grid.spacing_mm)
    low = np.clip(np.floor((way.min(axis=0) - edit.radius_mm) / spacing), 0, None).astype(int)
    high = np.minimum(np.ceil((way.max(axis=0) + edit.radius_mm) / spacing).astype(int) + 1, grid.shape)
    index = round(float(way[0, edit.axis] / spacing[edit.axis]))
    low[edit.axis], high[edit.axis] = index, index + 1
    if (high <= low).any() or not 0 <= index < grid.shape[edit.axis]:
        return tuple(np.zeros(0, dtype=np.intp) for _ in range(3))
    flat = [axis for axis in range(3) if axis != edit.axis]
    first, second = (np.arange(low[a], high[a]) * spacing[a] for a in flat)
    near = _near_way(first[:, None], second[None, :], way[:, flat], edit.radius_mm)
    found = np.nonzero(near)
    where = [np.full(len(found[0]), index, dtype=np.intp)] * 3
    for axis, places in zip(flat, found, strict=True):
        where[axis] = places + low[axis]
    return tuple(where)


def _near_way(x: FloatArray, y: FloatArray, way: FloatArray, radius_mm: float) -> BoolArray:
    """Where (x, y) in mm is within a radius of a polyline (N, 2); broadcast shape of x and y."""
    near = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
    for start, end in zip(way, way[1:] if len(way) > 1 else way, strict=False):
        along = end - start
        length2 = float(along @ along)
        t = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length2, 0, 1) if length2 else 0.0
        near |= (x - start[0] - t * along[0]) ** 2 + (y - start[1] - t * along[1]) ** 2 <= radius_mm**2 + 1e-9
    return near


def _brushed(masks: Mapping[Structure, Mask], grid: Grid, edit: Edit) -> Iterator[Patch]:
    where = brush(grid, edit)
    now = _values(masks, edit.structure, where)
    if edit.what == ERASE:
        yield _patch(edit.structure, where, now, np.zeros_like(now))
        return
    value = 1
    if edit.structure is Structure.LESIONS:
        value = _label_to_paint(masks, grid, edit, now)
    # What is a lesion already keeps its label: a stroke over two lesions must not merge them.
    yield _patch(edit.structure, where, now, np.where(now > 0, now, value).astype(np.uint8))
    for other in VESSELS:
        if edit.structure in VESSELS and other is not edit.structure:
            theirs = _values(masks, other, where)
            yield _patch(other, where, theirs, np.zeros_like(theirs))


def _label_to_paint(masks: Mapping[Structure, Mask], grid: Grid, edit: Edit, under: Mask) -> int:
    """The lesion where the stroke began, else the one it covers most of, else a new one."""
    begun = _value_at(masks, Structure.LESIONS, grid, edit.places[0])
    if begun:
        return begun
    counted = np.bincount(under, minlength=2)[1:]
    return int(counted.argmax()) + 1 if counted.any() else _new_label(masks)


# ---- lesions ----------------------------------------------------------------------------------------------------


def _relabelled(masks: Mapping[Structure, Mask], grid: Grid, edit: Edit) -> Patch:
    labels = [_lesion_at(masks, grid, place) for place in edit.places]
    lesions = masks[Structure.LESIONS]
    where = np.nonzero(lesions == labels[-1])
    now = lesions[where]
    if edit.what == REMOVE:
        return _patch(Structure.LESIONS, where, now, np.zeros_like(now))
    if edit.what == SPLIT:
        if labels[0] != labels[1]:
            raise _not_so("these are two lesions already", "two places in one lesion")
        first, second = (grid.to_index(place) for place in edit.places)
        spacing = np.array(grid.spacing_mm)
        voxels = np.column_stack(where)
        to_first, to_second = (np.linalg.norm((voxels - c) * spacing, axis=1) for c in (first, second))
        return _patch(Structure.LESIONS, where, now, np.where(to_second < to_first, _new_label(masks), now))
    if labels[0] == labels[1]:
        raise _not_so("this is one lesion already", "places in two lesions")
    if not _touch(lesions, labels[0], labels[1]):
        raise _not_so("these lesions do not touch", "lesions that touch; paint the gap between them first")
    return _patch(Structure.LESIONS, where, now, np.full_like(now, labels[0]))


def _lesion_at(masks: Mapping[Structure, Mask], grid: Grid, place: Place) -> int:
    label = _value_at(masks, Structure.LESIONS, grid, place)
    if not label:
        raise _not_so("there is no lesion here", "a click inside a lesion's outline")
    return label


def _touch(lesions: Mask, one: int, other: int) -> bool:
    both = (lesions == one) | (lesions == other)
    box = bounding_box(both)
    near = ndimage.binary_dilation(lesions[box] == one, _TOUCHING)
    return bool((near & (lesions[box] == other)).any())


def _new_label(masks: Mapping[Structure, Mask]) -> int:
    lesions = masks.get(Structure.LESIONS)
    used = np.zeros(_MOST_LESIONS + 1, dtype=np.bool_)
    if lesions is not None:
        used[np.unique(lesions[lesions > 0])] = True
    free = np.flatnonzero(~used[1:])
    if not len(free):
        raise _not_so("there are too many lesions", f"at most {_MOST_LESIONS}")
    return int(free[0]) + 1


# ---- vessels ----------------------------------------------------------------------------------------------------


def _marked(masks: Mapping[Structure, Mask], grid: Grid, edit: Edit) -> Iterator[Patch]:
    """The connected piece of vessel that was clicked becomes part of the edit's tree."""
    sources = [s for s in (*VESSELS, Structure.LIVER_VESSELS) if s is not edit.structure]
    source = next((s for s in sources if _value_at(masks, s, grid, edit.places[0])), None)
    if source is None:
        raise _not_so("there is no other vessel here", "a click inside a vessel of the other tree")
    box = bounding_box(masks[source])
    pieces, _ = ndimage.label(masks[source][box], _TOUCHING)
    start = np.array([s.start for s in box])
    piece = pieces[tuple(_voxel(grid, edit.places[0]) - start)]
    where = tuple(axis + s for axis, s in zip(np.nonzero(pieces == piece), start, strict=True))
    now = _values(masks, edit.structure, where)
    yield _patch(edit.structure, where, now, np.ones_like(now))
    if source in VESSELS:
        theirs = masks[source][where]
        yield _patch(source, where, theirs, np.zeros_like(theirs))


# ---- the log ----------------------------------------------------------------------------------------------------


def log_lines(editor: Editor, edits: Iterable[Edit], log: Sequence[str] = ()) -> Iterator[str]:
    """Do edits one after the other and tell each as a line of the log that follows the lines of `log`.

    A line: the edit, the number of voxels changed, each changed mask's sha256 before and after, and the sha256 of the
    line before it. Raises InputError where an edit cannot be done.
    """
    previous = last_sha256(log)
    hashes: dict[Structure, str] = {}
    for number, edit in enumerate(edits, start=len(log) + 1):
        touched = {patch.structure for patch in changes(editor.masks, editor.grid, edit) if len(patch)}
        changed = sorted(touched, key=lambda s: s.value)
        old = {s: hashes.get(s) or mask_sha256(editor.masks.get(s), editor.grid) for s in changed}
        patches = editor.do(edit)
        hashes |= {s: mask_sha256(editor.masks[s], editor.grid) for s in changed}
        line = json.dumps(
            {
                "number": number,
                **edit.to_json(),
                "voxels_changed": sum(len(patch) for patch in patches),
                "masks": {s.value: {"before_sha256": old[s], "after_sha256": hashes[s]} for s in changed},
                "previous_sha256": previous,
            },
            ensure_ascii=False,
            allow_nan=False,
        )
        previous = line_sha256(line)
        yield line


def mask_sha256(mask: Mask | None, grid: Grid) -> str:
    """Of the bytes (C order) of a canonical mask; an absent one counts as empty."""
    whole = np.zeros(grid.shape, dtype=np.uint8) if mask is None else np.ascontiguousarray(mask)
    return hashlib.sha256(whole.tobytes()).hexdigest()


# ---- small things -----------------------------------------------------------------------------------------------


def _patch(structure: Structure, where: Where, before: Mask, after: npt.NDArray[Any]) -> Patch:
    """Only the voxels that change."""
    differs = before != after
    return Patch(structure, tuple(axis[differs] for axis in where), before[differs], after[differs].astype(np.uint8))


def _values(masks: Mapping[Structure, Mask], structure: Structure, where: Where) -> Mask:
    mask = masks.get(structure)
    return np.zeros(len(where[0]), dtype=np.uint8) if mask is None else np.asarray(mask[where])


def _value_at(masks: Mapping[Structure, Mask], structure: Structure, grid: Grid, place: Place) -> int:
    mask, voxel = masks.get(structure), _voxel(grid, place)
    if mask is None or (voxel < 0).any() or (voxel >= mask.shape).any():
        return 0
    return int(mask[tuple(voxel)])


def _voxel(grid: Grid, place: Place) -> npt.NDArray[np.int_]:
    return np.asarray(np.rint(grid.to_index(place)).astype(int))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _places(told: object, least: int, most: int) -> tuple[Place, ...]:
    if not isinstance(told, list | tuple) or not least <= len(told) <= most:
        raise _no_edit("a wrong number of places")
    for place in told:
        if not isinstance(place, list | tuple) or len(place) != 3 or not all(map(_is_number, place)):
            raise _no_edit("a place that is not three numbers")
        if max(abs(float(v)) for v in place) > 1e5:
            raise _no_edit("a place outside every scan")
    return tuple((float(x), float(y), float(z)) for x, y, z in told)


def _no_edit(got: str) -> InputError:
    return InputError(
        "this is no correction of a mask", got=got, wanted=f"one of {', '.join(_ON)}", do="Load the page again."
    )


def _not_so(what: str, wanted: str) -> InputError:
    return InputError(what, got="this click", wanted=wanted, do="Move to the right slice, then click again.")
