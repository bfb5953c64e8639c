"""Runs inside_namespace.py, where a real Orthanc is: in a network namespace without any interface but `lo`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from orthanc_server import program

_INSIDE = Path(__file__).with_name("inside_namespace.py")
_UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


def _without_network() -> bool:
    if not shutil.which("unshare") or not shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return False
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(program() is None, reason="Orthanc with its DICOMweb plugin is not installed")
@pytest.mark.skipif(not _without_network(), reason="no network namespace can be made here")
def test_against_orthanc() -> None:
    inside = f"ip link set lo up && exec {sys.executable} -m pytest -n0 -q -p no:cacheprovider {_INSIDE}"
    done = subprocess.run([*_UNSHARE, "sh", "-c", inside], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
