"""Words in the views: inside the picture and not over each other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.viewer.drawing import Labels, arranged

WIDTH, HEIGHT = 400, 300
at = st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT))
size = st.tuples(st.floats(5, 180), st.floats(5, 30))


def over(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


@given(st.lists(st.tuples(at, size), max_size=8))
def test_no_label_covers_another_and_none_is_cut_off_at_the_side(told: list) -> None:
    corners = arranged([a for a, _ in told], [s for _, s in told], WIDTH)
    boxes = [(x, x + w, y, y + h) for (x, y), (_, (w, h)) in zip(corners, told, strict=True)]
    assert not any(over(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(box[0] >= 0 and box[1] <= WIDTH + 1e-6 for box in boxes)


def test_a_label_alone_stands_beside_its_place() -> None:
    assert arranged([(50.0, 60.0)], [(80.0, 20.0)], WIDTH) == [(60.0, 68.0)]
    assert arranged([(390.0, 60.0)], [(80.0, 20.0)], WIDTH) == [(320.0, 68.0)], "over it where it would be cut off"


@given(st.lists(st.tuples(at, size, st.booleans()), max_size=6))
def test_no_label_stands_under_the_pages_buttons(told: list) -> None:
    ceiling = HEIGHT - 34.0
    sizes = [s for _, s, _ in told]
    corners = arranged([a for a, _, _ in told], sizes, WIDTH, [left for _, _, left in told], ceiling)
    boxes = [(x, x + w, y, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    assert all(box[3] <= ceiling + 1e-6 for box in boxes)
    assert all(box[0] >= 0 and box[1] <= WIDTH + 1e-6 for box in boxes)
    assert not any(over(a, b) for a, b in itertools.combinations(boxes, 2))


def test_two_lesions_that_face_each_other_have_their_words_on_their_own_sides() -> None:
    """Both limited by what lies between them: the words of the left one go left, so that none lies on the other."""
    corners = arranged([(190.0, 100.0), (210.0, 100.0)], [(80.0, 20.0)] * 2, WIDTH, [True, False])
    assert corners == [(100.0, 108.0), (220.0, 108.0)]
    assert arranged([(50.0, 60.0)], [(80.0, 20.0)], WIDTH, [True]) == [(0.0, 68.0)], "over it where left is cut off"


def test_labels_of_places_close_together_are_read_apart_once_they_are_drawn() -> None:
    pytest.importorskip("vtkmodules")
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    from liverplan.viewer.serve import DrawingTest

    if not DrawingTest().passed():
        pytest.skip("nothing to draw with here")
    window, renderer = vtkRenderWindow(), vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetSize(WIDTH, HEIGHT)
    window.AddRenderer(renderer)
    renderer.GetActiveCamera().ParallelProjectionOn()
    renderer.GetActiveCamera().SetParallelScale(100)
    labels = Labels(renderer, (200, 0, 100))
    labels.show([("lesion 1: at most 8.4 mm", (0, 0, 0)), ("lesion 2: 9 mm", (2, 3, 0)), ("lesion 3", (120, 0, 0))])
    window.Render()
    window.Render()
    boxes = labels.boxes()
    assert len(boxes) == 3
    assert not any(over(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(box[0] >= 0 and box[1] <= WIDTH for box in boxes)
    labels.show([("lesion 1", (0, 0, 0))])
    window.Render()
    assert len(labels.boxes()) == 1
