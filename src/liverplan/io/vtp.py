"""VTP files of others, read in a process of their own: VTK's XML reader ends the program on some damaged ones.

It makes room for whatever sizes a file claims, in its header or between its compressed blocks, and cannot be told not
to.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from liverplan.io.vtk_messages import vtk_messages

_LONGEST_S = 120.0
_MOST_BYTES = 4 << 30
"""Of the reading process: ten times what the largest surface that is taken needs."""
_SAID = 2
"""Exit status of the reading process for a file that VTK complains of; any other but 0 means that it ended."""


def read_vtp(path: Path) -> Any:
    """The vtkPolyData of a VTP file, as it stands there: indices are not checked.

    Raises ValueError that says in words what is wrong with the file.
    """
    from vtkmodules.vtkIOLegacy import vtkPolyDataReader

    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
        legacy = Path(folder) / "surface.vtk"
        command = [sys.executable, "-m", __name__, str(path), str(legacy)]
        try:
            read = subprocess.run(command, capture_output=True, timeout=_LONGEST_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"nothing after {_LONGEST_S:g} s") from error
        if read.returncode == _SAID:
            raise ValueError(read.stderr.decode("utf-8", "replace")[-200:])
        if read.returncode:
            raise ValueError("sizes or values at which VTK's reader breaks off")
        reader = vtkPolyDataReader()
        reader.SetFileName(str(legacy))
        reader.Update()
        return reader.GetOutput()


def _limit_memory() -> None:
    """A claim beyond it ends this process at once, and not others for lack of memory."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # systems without such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))


def main(path: str, legacy: str) -> int:
    """Write the surface to `legacy` in VTK's own older format. What VTK says goes to standard error."""
    from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    _limit_memory()
    reader, writer = vtkXMLPolyDataReader(), vtkPolyDataWriter()
    with vtk_messages() as said:
        reader.SetFileName(path)
        reader.Update()
    if said():
        sys.stderr.write(said())
        return _SAID
    writer.SetInputData(reader.GetOutput())
    writer.SetFileTypeToBinary()
    writer.SetFileName(legacy)
    return 0 if writer.Write() else _SAID


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
