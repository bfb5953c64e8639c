"""`liverplan view` before there is a page: what it refuses, and with which words."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from liverplan.cli.main import run
from liverplan.viewer import serve


def refused(capsys, *arguments: str) -> str:
    """Exit 3 with the four lines, and no traceback."""
    assert run(["view", *arguments, "--no-browser"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for word in ("error:", "got:", "wanted:", "do:"):
        assert word in said
    return said


def test_without_the_extra_it_says_what_to_install(planned, capsys, monkeypatch):
    monkeypatch.setattr(serve, "NEEDED", ("a_package_that_nobody_has",))
    assert 'pip install "liverplan[view]"' in refused(capsys, str(planned))


def test_a_plan_that_was_never_finished_is_refused(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    pytest.importorskip("trame")
    assert "liverplan plan" in refused(capsys, str(tmp_path))


def test_another_scan_than_the_planned_one_is_refused(planned, capsys):
    pytest.importorskip("trame")
    masks = planned / "segmentation" / "liver.nii.gz"
    assert "not the scan that was planned" in refused(capsys, str(planned), "--image", str(masks))


def test_a_port_that_is_taken_is_told_without_a_traceback(planned, capsys):
    pytest.importorskip("trame")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert run(["view", str(planned), "--no-browser", "--port", str(other.getsockname()[1])]) == 4
    said = capsys.readouterr().err
    assert "--port" in said
    assert "Traceback" not in said


def test_a_machine_that_cannot_draw_is_told_so_by_a_test_that_may_crash(monkeypatch):
    monkeypatch.setattr(serve, "_TRIAL", "import os; os.abort()")
    assert not serve.DrawingTest().passed()


def test_asking_for_help_loads_neither_server_nor_vtk():
    program = (
        "import sys; from liverplan.cli.main import run; run(['view', '--help']); "
        "sys.exit('trame' in sys.modules or 'vtkmodules' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
