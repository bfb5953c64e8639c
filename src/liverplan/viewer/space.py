"""The case in 3D, as the report draws it: translucent liver, lesions, vessels, the margin's shell, a specimen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.io.meshes import light_enough, read_stl, to_polydata
from liverplan.mesh import Mesh
from liverplan.quantity import Point
from liverplan.report import scene
from liverplan.report.camera import Camera, standard_camera, witness_camera
from liverplan.report.figures import CUT_RGB, SHELL_RGB, SPECIMEN_RGB, WITNESS_RGB
from liverplan.report.rendering import SHELL, Part, read_parts
from liverplan.surface import pooled_surface
from liverplan.viewer.drawing import Labels, Lines, Marks, unit
from liverplan.viewer.targets import Target
from liverplan.volume import AnyArray, FloatArray, Grid

INK, GROUND = (24, 32, 44), (255, 255, 255)
DARK_INK, DARK_GROUND = (214, 222, 231), (20, 24, 29)
"""On the page in dark: its own ground, so that the pane does not glare beside the slices."""
SIZE = (600, 450)
SPECIMEN_MESH_MM = 2.0
"""Lattice of the specimen's surface, as in the report's pictures: to look at, nothing is measured on it."""
CLOSEUP_HALF_MM = 55.0
_SHELL_OPACITY = 0.3
_SPECIMEN_OPACITY, _CUT_OPACITY = 0.55, 0.6
DRAWN_RGB = (20, 110, 60)
_POINT_MM = 1.5
SPECIMEN, CUT = "specimen", "cut"


class SpaceView:
    """The 3D scene of a case in a window of its own."""

    def __init__(self) -> None:
        self.window, self.renderer = scene.off_screen_window(SIZE)
        self._actors: dict[str, Any] = {}
        self._solid = np.zeros((0, 3))
        self._framed = np.zeros((0, 3))
        self._front = _in_front(self.window, self.renderer)
        self._witness = Lines(self._front, WITNESS_RGB, 3.0)
        self._line, self._points = Lines(self._front, DRAWN_RGB, 4.0), Lines(self._front, INK, 7.0)
        self.labels = Labels(self._front, WITNESS_RGB)
        self._marks = Marks(self._front, INK, self._letters)
        _turn_by_mouse(self.window)

    def dim(self, dark: bool) -> None:
        """The ground and the ink of a dark or of a light page; what is drawn of the case keeps its colours."""
        ink, ground = (DARK_INK, DARK_GROUND) if dark else (INK, GROUND)
        self.renderer.SetBackground(*unit(ground))
        self._marks.colour(ink)
        self._points.colour(ink)

    def open(self, folder: Path) -> None:
        """Another case: its surfaces in OUT/meshes."""
        self.clear()
        parts = read_parts(folder / "meshes")
        for part in parts:
            self._put(part.name, part.mesh, part.rgb, part.opacity)
        self._solid = _together([p for p in parts if p.opacity >= 1.0], every=4)
        self._framed = _together([p for p in parts if p.name == Structure.LIVER.value] or parts)
        self.stand("anterior")

    def clear(self) -> None:
        """Nothing shown: another case, whose surfaces were not read yet."""
        for actor in self._actors.values():
            self.renderer.RemoveActor(actor)
        self._actors = {}
        self.witnesses([])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._actors)

    def show(self, name: str, visible: bool) -> None:
        if name in self._actors:
            self._actors[name].SetVisibility(visible)

    def shell(self, mesh: Mesh) -> None:
        """The margin's shell in place of the one before."""
        self._put(SHELL, mesh, SHELL_RGB, _SHELL_OPACITY)

    def specimen(self, mask: AnyArray | None, grid: Grid, cut: Path | None) -> None:
        """What a resection takes out, and its cut surface; None for neither."""
        self._take(SPECIMEN)
        self._take(CUT)
        if mask is None or not mask.any():
            return
        mesh = light_enough(pooled_surface(mask > 0, grid, SPECIMEN_MESH_MM).mesh)
        self._put(SPECIMEN, mesh, SPECIMEN_RGB, _SPECIMEN_OPACITY)
        if cut is not None and cut.is_file():
            self._put(CUT, read_stl(cut), CUT_RGB, _CUT_OPACITY)

    def drawn(self, points_lps_mm: FloatArray, line_lps_mm: FloatArray) -> None:
        """A line that is drawn on the liver through points (N, 3)."""
        self._line.show([line_lps_mm] if len(line_lps_mm) > 1 else [])
        arm = np.eye(3) * _POINT_MM
        self._points.show([np.stack([point - a, point + a]) for point in points_lps_mm for a in arm])

    def liver_at(self, across: float, down: float) -> tuple[FloatArray, FloatArray] | None:
        """The liver's surface (LPS mm) under a place of the view, and the direction from the eye; None beside it.

        across, down: parts of the view's width and height from its upper left corner.
        """
        from vtkmodules.vtkRenderingCore import vtkCellPicker

        liver = self._actors.get(Structure.LIVER.value)
        if liver is None:
            return None
        picker, (width, height) = vtkCellPicker(), self.renderer.GetSize()
        picker.SetTolerance(0.0005)
        picker.PickFromListOn()
        picker.AddPickList(liver)
        if not picker.Pick(across * width, (1.0 - down) * height, 0.0, self.renderer):
            return None
        along = np.array(self.renderer.GetActiveCamera().GetDirectionOfProjection())
        return np.array(picker.GetPickPosition()), along

    def witnesses(self, shown: Sequence[Target]) -> None:
        """The lines of measured distances with their words."""
        lines = [t for t in shown if t.ends_lps_mm is not None]
        self._witness.show([np.array(t.ends_lps_mm) for t in lines])
        # Beyond the lesion's end of the line, where the lesion is; the other end is on what limits it.
        self.labels.show([(t.tag, t.at_lps_mm) for t in lines], [t.ends_lps_mm[1] for t in lines if t.ends_lps_mm])

    def stand(self, view: str) -> None:
        """Look from a standard side at the whole liver."""
        if len(self._framed):
            width, height = self.window.GetSize()
            scene.aim(self.renderer, standard_camera(view, self._framed, width / max(height, 1)))

    def focus(self, target: Target) -> None:
        """Look at a measured distance at its full length, from the side that hides it least."""
        if target.ends_lps_mm is None:
            camera = self._now()
            scene.aim(
                self.renderer, Camera.looking(target.at_lps_mm, camera.towards_viewer, camera.up, CLOSEUP_HALF_MM)
            )
            return
        half = max(CLOSEUP_HALF_MM, 1.2 * _length(target.ends_lps_mm))
        scene.aim(self.renderer, witness_camera(target.ends_lps_mm, half, self._solid))

    def _put(self, name: str, mesh: Mesh, rgb: tuple[int, int, int], opacity: float) -> None:
        from vtkmodules.vtkFiltersCore import vtkPolyDataNormals

        visible = self._actors[name].GetVisibility() if name in self._actors else True
        self._take(name)
        if mesh.is_empty:
            return
        normals = vtkPolyDataNormals()
        normals.SetInputData(to_polydata(mesh))
        normals.SplittingOff()
        normals.ConsistencyOff()
        # The report's own actor, so that page and pictures look alike; only where its triangles come from differs.
        actor = scene.actor_of({"file": "", "rgb": rgb, "opacity": opacity})
        actor.GetMapper().SetInputConnection(normals.GetOutputPort())
        actor.GetProperty().SetOpacity(opacity)
        actor.SetVisibility(visible)
        self.renderer.AddActor(actor)
        self._actors[name] = actor

    def _take(self, name: str) -> None:
        actor = self._actors.pop(name, None)
        if actor is not None:
            self.renderer.RemoveActor(actor)

    def _now(self) -> Camera:
        """Where the view looks from at the moment."""
        camera = self.renderer.GetActiveCamera()
        to = -np.array(camera.GetDirectionOfProjection())
        return Camera.looking(camera.GetFocalPoint(), to, camera.GetViewUp(), camera.GetParallelScale())

    def _letters(self) -> Mapping[str, str]:
        return self._now().edge_letters() if self._actors else {}


def _in_front(window: Any, renderer: Any) -> Any:
    """A layer that no surface hides, seen by the same camera: measured lines and words."""
    from vtkmodules.vtkRenderingCore import vtkRenderer

    front = vtkRenderer()
    front.SetLayer(1)
    front.InteractiveOff()
    front.SetActiveCamera(renderer.GetActiveCamera())
    window.SetNumberOfLayers(2)
    window.AddRenderer(front)
    return front


def _turn_by_mouse(window: Any) -> None:
    from vtkmodules.vtkInteractionStyle import vtkInteractorStyleTrackballCamera
    from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

    interactor = vtkGenericRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    interactor.SetInteractorStyle(vtkInteractorStyleTrackballCamera())
    interactor.EnableRenderOff()


def _together(parts: Sequence[Part], every: int = 1) -> FloatArray:
    return np.concatenate([part.mesh.vertices_lps_mm[::every] for part in parts] or [np.zeros((0, 3))])


def _length(ends: tuple[Point, Point]) -> float:
    return float(np.linalg.norm(np.array(ends[0]) - np.array(ends[1])))
