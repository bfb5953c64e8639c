"""Surfaces to pictures with VTK, in a process of its own: `python -m liverplan.report.scene JOB.json`.

Graphics drivers can abort a process, and a machine without a display may have no OpenGL at all. Neither may cost a
surgeon the report: `liverplan.report.pictures` starts this module, and draws by itself when it fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.report.camera import Camera

OVERSAMPLING = 2
"""Pictures are drawn this many times larger; the caller scales them down, which smooths every edge."""
RIM = """//VTK::Light::Impl
  float facing = abs(normalVCVSOutput.z);
  fragOutput0.a = clamp(opacityUniform * (0.35 + 2.4 * pow(1.0 - facing, 2.2)), 0.0, 0.85);
"""
"""Translucent surfaces are clearest where they face the viewer, so that the inside is seen and the outline stays."""


def draw(parts: Sequence[Mapping[str, Any]], cameras: Sequence[Camera], size: tuple[int, int]) -> Any:
    """Pictures (views, height, width, 3) uint8, `OVERSAMPLING` times `size` = (width, height).

    parts: {"file": STL path, "rgb": 0..255, "opacity": 0..1 or one value per camera}.
    """
    window, renderer = off_screen_window((size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    actors = [actor_of(part) for part in parts]
    for actor in actors:
        renderer.AddActor(actor)
    pictures = []
    for number, camera in enumerate(cameras):
        for part, actor in zip(parts, actors, strict=True):
            _show(actor, _of_view(part["opacity"], number))
        aim(renderer, camera)
        window.Render()
        pictures.append(_pixels(window))
    window.Finalize()
    return np.stack(pictures)


def main(arguments: Sequence[str]) -> int:
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    cameras = [Camera(**camera) for camera in job["cameras"]]
    np.save(job["result"], draw(job["parts"], cameras, (job["size"][0], job["size"][1])), allow_pickle=False)
    return 0


def off_screen_window(size: tuple[int, int]) -> tuple[Any, Any]:
    """A render window without a display, and its renderer."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  registers the OpenGL implementation
    from vtkmodules.vtkRenderingCore import vtkLightKit, vtkRenderer, vtkRenderWindow

    renderer = vtkRenderer()
    renderer.SetBackground(1.0, 1.0, 1.0)
    # Order-independent blending: what depth peeling shows here, in half the time on a software renderer.
    renderer.UseDepthPeelingOff()
    renderer.SetUseOIT(True)
    window = vtkRenderWindow()
    window.OffScreenRenderingOn()
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(1)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    lights = vtkLightKit()
    lights.SetKeyLightIntensity(0.95)
    lights.SetKeyToFillRatio(2.2)
    lights.AddLightsToRenderer(renderer)
    return window, renderer


def actor_of(part: Mapping[str, Any]) -> Any:
    """The surface of a part: `file` (STL, LPS mm; none for an empty actor), `rgb` 0 to 255, `opacity`."""
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkIOGeometry import vtkSTLReader
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    reader = vtkSTLReader()
    reader.SetFileName(part["file"])
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(reader.GetOutputPort())
    normals.SplittingOff()
    normals.ConsistencyOff()
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(normals.GetOutputPort())
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor(*(channel / 255.0 for channel in part["rgb"]))
    look.SetAmbient(0.18)
    look.SetDiffuse(0.85)
    look.SetSpecular(0.25)
    look.SetSpecularPower(30)
    if min(np.atleast_1d(part["opacity"])) < 1.0:
        actor.GetShaderProperty().AddFragmentShaderReplacement("//VTK::Light::Impl", True, RIM, False)
        actor.ForceTranslucentOn()
    return actor


def _show(actor: Any, opacity: float) -> None:
    actor.SetVisibility(opacity > 0)
    actor.GetProperty().SetOpacity(opacity)


def aim(renderer: Any, view: Camera) -> None:
    """Point a renderer's camera as `view` says."""
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*view.focus_lps_mm)
    camera.SetPosition(*(np.array(view.focus_lps_mm) + 500.0 * np.array(view.towards_viewer)))
    camera.SetViewUp(*view.up)
    camera.SetParallelScale(view.half_height_mm)
    renderer.ResetCameraClippingRange()


def _pixels(window: Any) -> Any:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.SetInputBufferTypeToRGB()
    grab.Update()
    width, height, _ = grab.GetOutput().GetDimensions()
    return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()


def _of_view(opacity: float | Sequence[float], number: int) -> float:
    return float(opacity if isinstance(opacity, int | float) else opacity[number])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
