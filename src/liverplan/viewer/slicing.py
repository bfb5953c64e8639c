"""One slice direction as a VTK scene: the scan, outlines, cross-hair, witness line; mouse and wheel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from liverplan.quantity import Point
from liverplan.report.figures import WITNESS_RGB
from liverplan.report.slices import Plane
from liverplan.viewer import frames
from liverplan.viewer.drawing import Labels, Lines, Marks
from liverplan.viewer.outlines import Outlined
from liverplan.volume import AnyArray, FloatArray, Grid

PAPER = (255, 255, 255)
CROSS_RGB = (120, 220, 235)
REGION, SPECIMEN = "margin", "specimen"
FOCUS_HALF_MM = 65.0
"""What a jump shows at most above and below the place, as the report's slices do."""
_GAP_MM = 6.0
"""The cross-hair leaves the place itself free."""
_NEAR_VOXELS = 1.5
"""A witness line is drawn on slices that it touches or passes by less than this."""

Moved = Callable[[FloatArray], None]
Drawn = Callable[[Plane, FloatArray, str], bool]
"""What a tool makes of the left button: plane, place (index coordinates), PRESS, DRAG or RELEASE; False: no tool."""
PRESS, DRAG, RELEASE = "press", "drag", "release"
STROKE_RGB, PLANE_RGB = (255, 235, 60), (255, 80, 200)


class SliceView:
    """A slice of a case in a window of its own. Clicks and the wheel tell `moved` the new place (index coordinates)."""

    def __init__(self, plane: Plane, moved: Moved, drawn: Drawn = lambda _plane, _at, _phase: False) -> None:
        self.plane = plane
        self._moved, self._drawn = moved, drawn
        self._grid: Grid | None = None
        self._image: AnyArray | None = None
        self._at = np.zeros(3)
        self._dragging = False
        self.window, self.renderer = _window()
        self._picture, self._data = _picture(self.renderer)
        self._outlines: dict[str, Lines] = {}
        self._cross = Lines(self.renderer, CROSS_RGB, 1.0, 0.75)
        self._witness = Lines(self.renderer, WITNESS_RGB, 3.0)
        self._stroke = Lines(self.renderer, STROKE_RGB, 2.0)
        self._cut = Lines(self.renderer, PLANE_RGB, 2.5)
        self._label = Labels(self.renderer, WITNESS_RGB, 14)
        self._marks = Marks(self.renderer, PAPER, self._letters)
        self._style = _listen(self.window, self)

    @property
    def index(self) -> int:
        return round(float(self._at[self.plane.across]))

    def open(self, grid: Grid, image: AnyArray | None) -> None:
        """Another case: its canonical grid and scan (None where there is none)."""
        self._grid, self._image = grid, image
        for lines in self._outlines.values():
            lines.show([])
        self._picture.SetVisibility(image is not None)
        self.fit()

    def fit(self) -> None:
        """The whole slice in the view."""
        assert self._grid is not None
        corners = frames.to_page(self.plane, self._grid, self._grid.corners_lps_mm())
        low, high = corners.min(axis=0), corners.max(axis=0)
        self._look_at((low + high) / 2.0, float((high - low).max()) / 2.0)

    def place(self, at: FloatArray, outlines: Mapping[str, Outlined | None]) -> None:
        """Show the slice through a place (index coordinates), with outlines by name."""
        assert self._grid is not None
        self._at = np.asarray(at, dtype=float)
        self._show_image()
        for name, outlined in outlines.items():
            self.outline(name, outlined)
        self._show_cross()
        count = self._grid.shape[self.plane.across]
        self._marks.title(f"{self.plane.name} {self.index + 1} / {count}")

    def outline(self, name: str, outlined: Outlined | None) -> None:
        """Draw, replace or (None) take away one outline."""
        lines = [] if outlined is None else outlined.lines(self.plane, self.index)
        if name not in self._outlines:
            if outlined is None:
                return
            width = 2.5 if name in (REGION, SPECIMEN) else 1.6
            self._outlines[name] = Lines(self.renderer, outlined.rgb, width)
        self._outlines[name].show(lines)

    def witness(self, ends_lps_mm: tuple[Point, Point] | None, words: str) -> None:
        """Draw the line that a distance was measured along, on the slices that it touches."""
        assert self._grid is not None
        ends = None if ends_lps_mm is None else self._grid.to_index(ends_lps_mm)
        if ends_lps_mm is None or ends is None or not self._touches(ends):
            self._witness.show([])
            self._label.show([])
            return
        line = frames.to_page(self.plane, self._grid, ends_lps_mm)
        self._witness.show([line])
        self._label.show([(words, line.mean(axis=0).tolist())])

    def window_level(self, low: float, high: float) -> None:
        look = self._picture.GetProperty()
        look.SetColorWindow(high - low)
        look.SetColorLevel((low + high) / 2.0)

    def focus(self) -> None:
        """The cross-hair in the middle, no less enlarged than before."""
        scale = min(self.renderer.GetActiveCamera().GetParallelScale(), FOCUS_HALF_MM)
        self._look_at(self._on_page(), scale)

    def pressed(self) -> None:
        self._dragging = True
        self._used(PRESS)

    def dragged(self) -> None:
        if self._dragging:
            self._used(DRAG)

    def released(self) -> None:
        if self._dragging:
            self._dragging = False
            self._used(RELEASE)

    def stroke(self, lines: Sequence[FloatArray]) -> None:
        """A brush's way, as page millimetres (N, 2) each."""
        self._stroke.show(lines)

    def cut(self, ends_mm: FloatArray | None) -> None:
        """Where a plane meets the slice, as page millimetres (2, 2); None where it does not."""
        self._cut.show([] if ends_mm is None else [ends_mm])

    def _used(self, phase: str) -> None:
        """The left button at the pointer's place: for a tool, else for the cross-hair."""
        if self._grid is None:
            return
        x, y = self.window.GetInteractor().GetEventPosition()
        self.renderer.SetDisplayPoint(x, y, 0.0)
        self.renderer.DisplayToWorld()
        page = self.renderer.GetWorldPoint()[:2]
        at = frames.to_index(self.plane, self._grid, page, round(float(self._at[self.plane.across])))
        if not self._drawn(self.plane, at, phase) and phase != RELEASE:
            self._moved(at)

    def scrolled(self, steps: int) -> None:
        at = self._at.copy()
        at[self.plane.across] = self.index + steps
        self._moved(at)

    def _touches(self, ends: FloatArray) -> bool:
        across = ends[:, self.plane.across] - self.index
        return bool(across.min() <= _NEAR_VOXELS and across.max() >= -_NEAR_VOXELS)

    def _show_image(self) -> None:
        if self._image is None or self._grid is None:
            return
        from vtkmodules.util.numpy_support import numpy_to_vtk

        pixels, (x, y) = frames.pixels_of(self.plane, self._grid, self._image, self.index)
        spacing = self._grid.spacing_mm
        values = np.ascontiguousarray(pixels)
        self._data.SetDimensions(values.shape[1], values.shape[0], 1)
        self._data.SetSpacing(spacing[self.plane.right], spacing[self.plane.down], 1.0)
        self._data.SetOrigin(x, y, -1.0)
        self._data.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
        self._data.Modified()

    def _show_cross(self) -> None:
        x, y = self._on_page()
        far = 2000.0
        self._cross.show(
            [
                [(x - far, y), (x - _GAP_MM, y)],
                [(x + _GAP_MM, y), (x + far, y)],
                [(x, y - far), (x, y - _GAP_MM)],
                [(x, y + _GAP_MM), (x, y + far)],
            ]
        )

    def _on_page(self) -> FloatArray:
        assert self._grid is not None
        return frames.to_page(self.plane, self._grid, self._grid.to_world(self._at))

    def _letters(self) -> Mapping[str, str]:
        return {} if self._grid is None else frames.flat(self.plane, self._grid, 0).letters()

    def _look_at(self, page_mm: Sequence[float] | FloatArray, half_height_mm: float) -> None:
        camera = self.renderer.GetActiveCamera()
        x, y = (float(v) for v in page_mm)
        camera.ParallelProjectionOn()
        camera.SetFocalPoint(x, y, 0.0)
        camera.SetPosition(x, y, 500.0)
        camera.SetViewUp(0.0, 1.0, 0.0)
        camera.SetParallelScale(half_height_mm)
        camera.SetClippingRange(1.0, 1000.0)


def _window() -> tuple[Any, Any]:
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  registers the OpenGL implementation
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

    renderer, window = vtkRenderer(), vtkRenderWindow()
    renderer.SetBackground(0.0, 0.0, 0.0)
    window.OffScreenRenderingOn()
    # Four samples a pixel cost six times as much without a graphics card.
    window.SetMultiSamples(0)
    window.SetSize(500, 400)
    window.AddRenderer(renderer)
    return window, renderer


def _picture(renderer: Any) -> tuple[Any, Any]:
    """The scan's slice: its actor, and the data that it shows."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkRenderingCore import vtkImageSlice, vtkImageSliceMapper

    data, mapper, actor = vtkImageData(), vtkImageSliceMapper(), vtkImageSlice()
    data.SetDimensions(1, 1, 1)
    data.GetPointData().SetScalars(numpy_to_vtk(np.zeros(1, dtype=np.int16), deep=True))
    mapper.SetInputData(data)
    actor.SetMapper(mapper)
    actor.GetProperty().SetInterpolationTypeToLinear()
    renderer.AddViewProp(actor)
    return actor, data


def _listen(window: Any, view: SliceView) -> Any:
    """Left: cross-hair. Shift and left, or middle: pan. Right: zoom. Wheel: slices; with control: zoom."""
    from vtkmodules.vtkInteractionStyle import vtkInteractorStyleImage
    from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

    interactor, style = vtkGenericRenderWindowInteractor(), vtkInteractorStyleImage()
    interactor.SetRenderWindow(window)
    interactor.SetInteractorStyle(style)
    # Renders are asked for by the page, once per change.
    interactor.EnableRenderOff()

    def press(*_: Any) -> None:
        style.OnMiddleButtonDown() if interactor.GetShiftKey() else view.pressed()

    def move(*_: Any) -> None:
        view.dragged()
        style.OnMouseMove()

    def release(*_: Any) -> None:
        view.released()
        style.OnMiddleButtonUp()

    def wheel(steps: int, zoom: Callable[[], None]) -> Callable[..., None]:
        return lambda *_: zoom() if interactor.GetControlKey() else view.scrolled(steps)

    style.AddObserver("LeftButtonPressEvent", press)
    style.AddObserver("MouseMoveEvent", move)
    style.AddObserver("LeftButtonReleaseEvent", release)
    style.AddObserver("MouseWheelForwardEvent", wheel(1, style.OnMouseWheelForward))
    style.AddObserver("MouseWheelBackwardEvent", wheel(-1, style.OnMouseWheelBackward))
    return style
