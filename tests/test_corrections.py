"""Corrections of masks: closed-form brushes, lesions split and merged, undo, and a log that cannot be changed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.anatomy import Structure
from liverplan.chain import first_broken, last_sha256
from liverplan.corrections import Edit, Editor, log_lines, mask_sha256
from liverplan.errors import InputError
from liverplan.volume import Grid

GRID = Grid.from_spacing((40, 36, 20), (1.0, 1.0, 2.0), (-10.0, 5.0, 3.0))


def at(i: float, j: float, k: float) -> tuple[float, float, float]:
    x, y, z = GRID.to_world((i, j, k))
    return float(x), float(y), float(z)


def edit(what: str, *places, structure=Structure.LESIONS, radius_mm=None, axis=None) -> Edit:
    return Edit(what, structure, places, "Dr A", "2026-01-02T03:04:05Z", radius_mm, axis)


def dab(what: str, *places, structure=Structure.LESIONS, radius_mm=5.0, axis=2) -> Edit:
    return edit(what, *places, structure=structure, radius_mm=radius_mm, axis=axis)


def empty() -> np.ndarray:
    return np.zeros(GRID.shape, dtype=np.uint8)


def two_lesions() -> np.ndarray:
    """Blocks side by side that touch at i = 10."""
    lesions = empty()
    lesions[4:10, 5:9, 5:9] = 1
    lesions[10:14, 5:9, 5:9] = 2
    return lesions


def test_a_dab_is_a_disc_in_one_slice():
    editor = Editor({Structure.LESIONS: empty()}, GRID)
    editor.do(dab("paint", at(20, 18, 7), radius_mm=8.0))
    painted = editor.masks[Structure.LESIONS]
    assert np.count_nonzero(painted) == np.count_nonzero(painted[:, :, 7])
    assert np.count_nonzero(painted) == pytest.approx(math.pi * 64, rel=0.03)


def test_a_stroke_is_a_capsule_whose_gaps_are_filled():
    editor = Editor({Structure.LESIONS: empty()}, GRID)
    editor.do(dab("paint", at(10.3, 18.5, 7), at(30.3, 18.5, 7), radius_mm=4.2))
    area = math.pi * 4.2**2 + 20 * 8.4
    assert np.count_nonzero(editor.masks[Structure.LESIONS]) == pytest.approx(area, rel=0.06)


def test_a_brush_is_round_in_millimetres_also_where_voxels_are_not():
    editor = Editor({Structure.LIVER: empty()}, GRID)
    editor.do(dab("paint", at(20, 18, 9), structure=Structure.LIVER, radius_mm=6.0, axis=0))
    i, j, k = np.nonzero(editor.masks[Structure.LIVER])
    assert set(i) == {20}
    assert np.ptp(j) * 1.0 == pytest.approx(12.0)
    assert np.ptp(k) * 2.0 == pytest.approx(12.0)


def test_what_was_given_is_never_written_to():
    lesions = two_lesions()
    lesions.flags.writeable = False
    Editor({Structure.LESIONS: lesions}, GRID).do(edit("remove", at(5, 6, 6)))
    assert np.count_nonzero(lesions) == 10 * 4 * 4


def test_painting_beside_lesions_makes_a_new_one_and_inside_one_enlarges_it():
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    editor.do(dab("paint", at(30, 30, 6), radius_mm=2.0))
    editor.do(dab("paint", at(12, 6, 6), radius_mm=3.0))
    lesions = editor.masks[Structure.LESIONS]
    assert lesions[30, 30, 6] == 3
    assert lesions[14, 6, 6] == 2
    assert lesions[9, 6, 6] == 1, "a stroke does not merge lesions"


def test_a_false_lesion_goes_and_the_others_stay():
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    editor.do(edit("remove", at(5, 6, 6)))
    assert np.unique(editor.masks[Structure.LESIONS]).tolist() == [0, 2]


def test_a_lesion_is_split_where_both_places_are_equally_far():
    lesions = empty()
    lesions[4:14, 5:9, 5:9] = 1
    editor = Editor({Structure.LESIONS: lesions}, GRID)
    editor.do(edit("split", at(4, 6, 6), at(13, 6, 6)))
    found = editor.masks[Structure.LESIONS]
    assert set(np.unique(found[4:9, 5:9, 5:9])) == {1}
    assert set(np.unique(found[9:14, 5:9, 5:9])) == {2}


def test_merging_makes_one_of_lesions_that_touch_and_refuses_those_that_do_not():
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    editor.do(edit("merge", at(5, 6, 6), at(12, 6, 6)))
    assert np.unique(editor.masks[Structure.LESIONS]).tolist() == [0, 1]
    apart = two_lesions()
    apart[9] = 0
    with pytest.raises(InputError, match="do not touch"):
        Editor({Structure.LESIONS: apart}, GRID).do(edit("merge", at(5, 6, 6), at(12, 6, 6)))


def test_a_vessel_piece_changes_its_tree_as_a_whole_and_no_other_piece_does():
    portal = empty()
    portal[3:9, 4, 4] = 1
    portal[20:25, 4, 4] = 1
    editor = Editor({Structure.PORTAL_VEIN: portal}, GRID)
    editor.do(edit("mark", at(5, 4, 4), structure=Structure.HEPATIC_VEINS))
    assert np.count_nonzero(editor.masks[Structure.HEPATIC_VEINS]) == 6
    assert np.flatnonzero(editor.masks[Structure.PORTAL_VEIN][:, 4, 4]).tolist() == [20, 21, 22, 23, 24]


def test_a_painted_vessel_belongs_to_one_tree_only():
    hepatic = empty()
    hepatic[:, 18, 7] = 1
    editor = Editor({Structure.HEPATIC_VEINS: hepatic}, GRID)
    editor.do(dab("paint", at(20, 18, 7), structure=Structure.PORTAL_VEIN, radius_mm=3.0))
    both = editor.masks[Structure.HEPATIC_VEINS] & editor.masks[Structure.PORTAL_VEIN]
    assert not both.any()
    assert np.count_nonzero(editor.masks[Structure.HEPATIC_VEINS]) == 40 - 7


@pytest.mark.parametrize("what", ["remove", "mark"])
def test_a_click_beside_everything_is_refused_and_changes_nothing(what):
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    structure = Structure.PORTAL_VEIN if what == "mark" else Structure.LESIONS
    with pytest.raises(InputError, match="there is no"):
        editor.do(edit(what, at(35, 30, 15), structure=structure))
    assert editor.edits == ()


strokes = st.builds(
    lambda what, i, j, k, r, axis: dab(what, at(i, j, k), radius_mm=r, axis=axis),
    st.sampled_from(["paint", "erase"]),
    st.integers(-3, 42),
    st.integers(-3, 40),
    st.integers(0, 19),
    st.floats(0.5, 12.0),
    st.integers(0, 2),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(strokes, min_size=1, max_size=6))
def test_undo_gives_every_earlier_mask_again_and_redo_every_later_one(wanted):
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    states = [two_lesions()]
    for stroke in wanted:
        try:
            editor.do(stroke)
        except InputError:
            continue
        states.append(editor.masks[Structure.LESIONS].copy())
    for state in reversed(states[:-1]):
        editor.undo()
        assert (editor.masks[Structure.LESIONS] == state).all()
    assert editor.undo() == ()
    for state in states[1:]:
        editor.redo()
        assert (editor.masks[Structure.LESIONS] == state).all()
    again = Editor({Structure.LESIONS: two_lesions()}, GRID, editor.edits)
    assert (again.masks[Structure.LESIONS] == states[-1]).all(), "replaying the edits gives the same mask"


def test_the_log_says_who_when_what_and_proves_itself():
    edits = [dab("paint", at(30, 30, 6), radius_mm=2.0), edit("remove", at(5, 6, 6))]
    editor = Editor({Structure.LESIONS: two_lesions()}, GRID)
    log = list(log_lines(editor, edits))
    told = [json.loads(line) for line in log]
    assert [t["what"] for t in told] == ["paint", "remove"]
    assert told[1]["who"] == "Dr A"
    assert told[1]["voxels_changed"] == 6 * 4 * 4
    hashes = [t["masks"]["lesions"] for t in told]
    assert hashes[0]["before_sha256"] == mask_sha256(two_lesions(), GRID)
    assert hashes[0]["after_sha256"] == hashes[1]["before_sha256"]
    assert hashes[1]["after_sha256"] == mask_sha256(editor.masks[Structure.LESIONS], GRID)
    assert first_broken(log) is None
    assert first_broken([log[0].replace("Dr A", "Dr B"), log[1]]) == 2
    assert first_broken(log[1:]) == 1
    assert last_sha256(log) != last_sha256(log[:1])


def test_an_edit_survives_json_and_what_is_none_is_refused():
    stroke = dab("erase", at(1, 2, 3), at(4, 5, 3))
    assert Edit.of_json(json.loads(json.dumps(stroke.to_json()))) == stroke
    good = stroke.to_json()
    for slip in (
        {"what": "rm -rf"},
        {"structure": "../../etc"},
        {"radius_mm": 1e9},
        {"radius_mm": float("nan")},
        {"axis": 3},
        {"places_lps_mm": []},
        {"places_lps_mm": [[0, 0, float("inf")]]},
        {"places_lps_mm": [["0", 0, 0]]},
    ):
        with pytest.raises(InputError):
            Edit.of_json(good | slip)
