"""Starting is cheap: `import liverplan` and `liverplan --help` load no heavy library."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

HEAVY = ("torch", "vtk", "vtkmodules", "monai", "pydicom", "nibabel", "SimpleITK", "skimage")
_PROGRAM = """
import json, sys, time
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(m for m in {heavy!r} if m in sys.modules)]))
"""


def _import(module: str) -> tuple[float, list[str]]:
    program = _PROGRAM.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, loaded = json.loads(done.stdout)
    return seconds, loaded


@pytest.mark.parametrize("module", ["liverplan", "liverplan.cli", "liverplan.cli.main"])
def test_importing_loads_no_heavy_library(module: str) -> None:
    assert _import(module)[1] == []


@pytest.mark.parametrize(
    "module", ["liverplan.io.images", "liverplan.io.segmentations", "liverplan.io.writing", "liverplan.io.dicom"]
)
def test_readers_load_their_libraries_when_they_read(module: str) -> None:
    assert _import(module)[1] == []


def test_importing_the_package_takes_less_than_half_a_second() -> None:
    assert statistics.median(_import("liverplan")[0] for _ in range(3)) < 0.5
