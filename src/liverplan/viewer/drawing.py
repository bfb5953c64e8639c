"""VTK pieces that slices and 3D share: lines, words, the marks at a view's edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liverplan.volume import FloatArray

Colour = tuple[int, int, int]
LENGTHS_MM = (5, 10, 20, 50, 100, 200)
"""Round lengths of the scale bar."""
_BAR_SHARE = 0.3
_LEFT, _BELOW = 0.03, 0.05
_AWAY = (10, 8)
"""From a place to the words about it, pixels."""
_APART = 2.0
_TOOLS = 34
"""Height of the page's buttons over a view, pixels."""
_DOTS_PER_INCH = 72
"""Of VTK's windows, unless somebody sets another."""


def unit(rgb: Colour) -> tuple[float, float, float]:
    """A colour 0..255 as VTK has it, 0..1."""
    r, g, b = (channel / 255.0 for channel in rgb)
    return r, g, b


def polydata_of_lines(lines: Sequence[FloatArray]) -> Any:
    """Connected points (N, 2) or (N, 3) each, as vtkPolyData; lines of less than two points are left out."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    kept = [line for line in lines if len(line) > 1]
    together = np.concatenate([_solid(line) for line in kept]) if kept else np.zeros((0, 3))
    offsets = np.cumsum([0, *(len(line) for line in kept)]).astype(np.int64)
    points, cells, polydata = vtkPoints(), vtkCellArray(), vtkPolyData()
    points.SetData(numpy_to_vtk(together.astype(np.float32), deep=True))
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(np.arange(len(together), dtype=np.int64), deep=True),
    )
    polydata.SetPoints(points)
    polydata.SetLines(cells)
    return polydata


def _solid(line: FloatArray) -> FloatArray:
    return line if line.shape[1] == 3 else np.column_stack([line, np.zeros(len(line))])


class Lines:
    """Lines of one colour in a renderer, replaced as often as wanted."""

    def __init__(self, renderer: Any, rgb: Colour, width: float, opacity: float = 1.0) -> None:
        from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

        self._mapper = vtkPolyDataMapper()
        self._mapper.SetInputData(polydata_of_lines([]))
        self.actor = vtkActor()
        self.actor.SetMapper(self._mapper)
        look = self.actor.GetProperty()
        look.SetColor(*unit(rgb))
        look.SetLineWidth(width)
        look.SetOpacity(opacity)
        look.LightingOff()
        self.actor.PickableOff()
        renderer.AddActor(self.actor)

    def colour(self, rgb: Colour) -> None:
        self.actor.GetProperty().SetColor(*unit(rgb))

    def show(self, lines: Sequence[npt.ArrayLike]) -> None:
        self._mapper.SetInputData(polydata_of_lines([np.asarray(line, dtype=float) for line in lines]))


class Label:
    """Words at a place of the scene, always upright and of the same size."""

    def __init__(self, renderer: Any, rgb: Colour, height: int = 16) -> None:
        import vtkmodules.vtkRenderingFreeType  # noqa: F401  registers the letters
        from vtkmodules.vtkRenderingCore import vtkBillboardTextActor3D

        self.actor = vtkBillboardTextActor3D()
        self.actor.SetDisplayOffset(*_AWAY)
        _dress(self.actor.GetTextProperty(), (255, 255, 255), height)
        self.actor.GetTextProperty().SetBackgroundColor(*unit(rgb))
        self.actor.GetTextProperty().SetBackgroundOpacity(0.9)
        self.actor.PickableOff()
        self.actor.VisibilityOff()
        renderer.AddActor(self.actor)

    def show(self, words: str, at: Sequence[float] | None) -> None:
        self.actor.SetVisibility(bool(words) and at is not None)
        if at is not None:
            self.actor.SetInput(f" {words} ")
            x, y, z = (float(v) for v in (*at, 0.0)[:3])
            self.actor.SetPosition(x, y, z)

    def anchor(self, renderer: Any) -> tuple[float, float]:
        """Its place in the view, pixels from the lower left."""
        return _on_view(renderer, self.actor.GetPosition())

    def size(self) -> tuple[float, float]:
        """Width and height of the words, pixels."""
        from vtkmodules.vtkRenderingCore import vtkTextRenderer

        box = [0, 0, 0, 0]
        words, look = self.actor.GetInput(), self.actor.GetTextProperty()
        vtkTextRenderer.GetInstance().GetBoundingBox(look, words, box, _DOTS_PER_INCH)
        return float(box[1] - box[0] + 1), float(box[3] - box[2] + 1)

    def box(self, renderer: Any) -> Box:
        """Where the words stand in the view."""
        (x, y), (wide, high), (dx, dy) = self.anchor(renderer), self.size(), self.actor.GetDisplayOffset()
        return x + dx, x + dx + wide, y + dy, y + dy + high


Box = tuple[float, float, float, float]
"""Left, right, bottom, top in pixels."""


def _on_view(renderer: Any, place: Sequence[float]) -> tuple[float, float]:
    """Where a place of the scene is seen, pixels from the lower left."""
    renderer.SetWorldPoint(*place, 1.0)
    renderer.WorldToDisplay()
    x, y, _ = renderer.GetDisplayPoint()
    return float(x), float(y)


def arranged(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    width: float,
    leftward: Sequence[bool] = (),
    ceiling: float = math.inf,
) -> list[tuple[float, float]]:
    """Lower left corners for boxes beside their anchors: inside the view's `width`, none over another. All in pixels.

    A box stands up and right of its anchor, or up and left where `leftward` says so; over it where it would be cut off;
    and higher until it is free, or lower where that would be above the `ceiling`.
    """
    taken: list[Box] = []
    corners = []
    for number, ((x, y), (wide, high)) in enumerate(zip(anchors, sizes, strict=True)):
        left = _beside(x, wide, width, number < len(leftward) and leftward[number])
        bottom = _free(left, wide, high, min(y + _AWAY[1], ceiling - high), taken, ceiling)
        taken.append((left, left + wide, bottom, bottom + high))
        corners.append((left, bottom))
    return corners


def _beside(x: float, wide: float, width: float, leftward: bool) -> float:
    left = x - _AWAY[0] - wide if leftward else x + _AWAY[0]
    return max(min(left, width - wide), 0.0)


def _free(left: float, wide: float, high: float, bottom: float, taken: Sequence[Box], ceiling: float) -> float:
    """The lower edge nearest above `bottom`, else below it, at which a box covers none that is there."""

    def covered(at: float) -> list[Box]:
        return [b for b in taken if left < b[1] and b[0] < left + wide and at < b[3] and b[2] < at + high]

    above = below = bottom
    while found := covered(above):
        above = max(b[3] for b in found) + _APART
    if above + high <= ceiling:
        return above
    while found := covered(below):
        below = min(b[2] for b in found) - _APART - high
    return below


class Labels:
    """As many labels as are shown, arranged before every rendering."""

    def __init__(self, renderer: Any, rgb: Colour, height: int = 16) -> None:
        self._renderer, self._rgb, self._height = renderer, rgb, height
        self._labels: list[Label] = []
        self._origins: Sequence[Sequence[float]] = ()
        renderer.AddObserver("StartEvent", self._arrange)

    def show(self, told: Sequence[tuple[str, Sequence[float]]], origins: Sequence[Sequence[float]] = ()) -> None:
        """Words and their places in the scene. origins: for each a place that it stands on the far side of, so that the
        words on a lesion do not lie over its neighbour."""
        self._origins = origins
        while len(self._labels) < len(told):
            self._labels.append(Label(self._renderer, self._rgb, self._height))
        for number, label in enumerate(self._labels):
            words, at = told[number] if number < len(told) else ("", None)
            label.show(words, at)

    def boxes(self) -> list[Box]:
        """Where the words stand in the view."""
        return [label.box(self._renderer) for label in self._labels if label.actor.GetVisibility()]

    def _arrange(self, *_: Any) -> None:
        shown = [label for label in self._labels if label.actor.GetVisibility()]
        anchors = [label.anchor(self._renderer) for label in shown]
        sizes = [label.size() for label in shown]
        width, height = self._renderer.GetSize()
        leftward = [a[0] < _on_view(self._renderer, o)[0] for a, o in zip(anchors, self._origins, strict=False)]
        corners = arranged(anchors, sizes, width, leftward, height - _TOOLS)
        for label, anchor, corner in zip(shown, anchors, corners, strict=True):
            label.actor.SetDisplayOffset(round(corner[0] - anchor[0]), round(corner[1] - anchor[1]))


class Marks:
    """The patient's directions at the edges, the title, and a bar of a round length in mm; brought up to date by
    every rendering."""

    def __init__(self, renderer: Any, ink: Colour, letters: Callable[[], Mapping[str, str]]) -> None:
        self._renderer, self._letters = renderer, letters
        places = {"left": (0.02, 0.5), "right": (0.98, 0.5), "top": (0.5, 0.97), "bottom": (0.5, 0.03)}
        anchors = {"left": (0, 1), "right": (2, 1), "top": (1, 2), "bottom": (1, 0)}
        self._edges = {side: _words(renderer, ink, 20, places[side], anchors[side]) for side in places}
        self._title = _words(renderer, ink, 15, (0.02, 0.98), (0, 2))
        self._length = _words(renderer, ink, 14, (_LEFT, _BELOW + 0.015), (0, 0))
        self._bar = _bar(renderer, ink)
        renderer.AddObserver("StartEvent", self._refresh)

    def title(self, words: str) -> None:
        self._title.SetInput(words)

    def colour(self, ink: Colour) -> None:
        """Drawn with another ink, for another ground."""
        for words in (*self._edges.values(), self._title, self._length):
            words.GetTextProperty().SetColor(*unit(ink))
        self._bar.GetProperty().SetColor(*unit(ink))

    def _refresh(self, *_: Any) -> None:
        for side, letter in self._letters().items():
            self._edges[side].SetInput(letter)
        width, height = self._renderer.GetSize()
        if not width or not height:
            return
        seen_mm = 2.0 * self._renderer.GetActiveCamera().GetParallelScale() * width / height
        fitting = [mm for mm in LENGTHS_MM if mm < _BAR_SHARE * seen_mm]
        length = fitting[-1] if fitting else LENGTHS_MM[0]
        self._length.SetInput(f"{length} mm")
        tick = 0.012
        end = _LEFT + length / seen_mm
        rows = [[(_LEFT, _BELOW), (end, _BELOW)], [(_LEFT, _BELOW - tick), (_LEFT, _BELOW + tick)]]
        rows.append([(end, _BELOW - tick), (end, _BELOW + tick)])
        self._bar.GetMapper().SetInputData(polydata_of_lines([np.array(row) for row in rows]))


def _words(renderer: Any, ink: Colour, height: int, place: tuple[float, float], anchor: tuple[int, int]) -> Any:
    """Words at a place of the view (0..1). anchor: 0, 1, 2 for left, centre, right and bottom, centre, top."""
    import vtkmodules.vtkRenderingFreeType  # noqa: F401  registers the letters
    from vtkmodules.vtkRenderingCore import vtkTextActor

    actor = vtkTextActor()
    look = actor.GetTextProperty()
    _dress(look, ink, height)
    look.SetJustification(anchor[0])
    look.SetVerticalJustification(anchor[1])
    where = actor.GetPositionCoordinate()
    where.SetCoordinateSystemToNormalizedViewport()
    where.SetValue(*place)
    renderer.AddViewProp(actor)
    return actor


def _dress(look: Any, ink: Colour, height: int) -> None:
    look.SetColor(*unit(ink))
    look.SetFontSize(height)
    look.SetFontFamilyToArial()
    look.BoldOn()
    if sum(ink) > 384:
        look.ShadowOn()


def _bar(renderer: Any, ink: Colour) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor2D, vtkCoordinate, vtkPolyDataMapper2D

    place = vtkCoordinate()
    place.SetCoordinateSystemToNormalizedViewport()
    mapper = vtkPolyDataMapper2D()
    mapper.SetTransformCoordinate(place)
    mapper.SetInputData(polydata_of_lines([]))
    actor = vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*unit(ink))
    actor.GetProperty().SetLineWidth(2)
    renderer.AddViewProp(actor)
    return actor
