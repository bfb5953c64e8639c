"""A planned case, and the viewer's real server on it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simple_case
from liverplan.cli.main import run
from liverplan.io.writing import write_segmentation, write_volume

LESIONS = (simple_case.Ball((-22.0, 4.0, 36.0), 7.0), simple_case.Ball((12.0, 3.0, -30.0), 6.0))
PROGRAM = "import sys; from liverplan.cli.main import main; main(['view', *sys.argv[1:]])"


@dataclass(frozen=True)
class Served:
    """The viewer's server: its address, this start's key, and the case that it shows."""

    origin: str
    key: str
    case: Path

    @property
    def host(self) -> str:
        return urlsplit(self.origin).netloc


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a ball-shaped liver with two lesions; the scan lies beside it."""
    home = tmp_path_factory.mktemp("home")
    drawn = simple_case.masks(simple_case.grid((1.5, 1.5, 1.5)), LESIONS)
    write_volume(simple_case.image(drawn.grid, drawn), home / "image.nii.gz")
    write_segmentation(drawn, home / "masks")
    arguments = ["plan", str(home / "image.nii.gz"), "--segmentation", str(home / "masks"), "-o", str(home / "out")]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    return home / "out"


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """`liverplan view` as a user starts it; skipped where the extra `view` or OpenGL is missing."""
    if find_spec("trame") is None:
        pytest.skip("the extra `view` is not installed")
    from liverplan.viewer.serve import DrawingTest

    if not DrawingTest().passed():
        pytest.skip("VTK finds no OpenGL here")
    command = [sys.executable, "-c", PROGRAM, str(folder), "--no-browser", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = urlsplit(json.loads(server.stdout.readline())["url"])
        yield Served(f"http://{address.netloc}", parse_qs(address.query)["key"][0], folder)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="session")
def served(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The viewer on a copy of the planned case: its form writes into the folder."""
    home = shutil.copytree(planned.parent, tmp_path_factory.mktemp("served") / "home")
    with serving(home / planned.name) as server:
        yield server
