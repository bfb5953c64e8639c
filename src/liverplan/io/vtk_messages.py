"""What VTK would print on the terminal, collected instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def vtk_messages() -> Iterator[Callable[[], str]]:
    """Collect VTK's messages; the value is a call that tells the end of them."""
    from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow, vtkStringOutputWindow

    before, collected = vtkOutputWindow.GetInstance(), vtkStringOutputWindow()
    level = vtkLogger.GetCurrentVerbosityCutoff()
    vtkOutputWindow.SetInstance(collected)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield lambda: " ".join(collected.GetOutput().split())[-200:]
    finally:
        vtkOutputWindow.SetInstance(before)
        vtkLogger.SetStderrVerbosity(level)
