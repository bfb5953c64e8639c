"""scripts/fuzz itself: it must find what is there to be found, also when the process ends."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz"
PLANTED = """
import os, signal
import fuzz_targets
whole = fuzz_targets.make_targets

def planted(folder):
    targets = whole(folder)
    def read(path):
        data = path.read_bytes()
        if b"[" not in data:
            {fault}
    from dataclasses import replace
    return targets | {{"plane.json": replace(targets["plane.json"], read=read)}}

fuzz_targets.make_targets = planted
"""
FAULTS = {"raises": 'raise KeyError("planted")', "dies": "os.kill(os.getpid(), signal.SIGSEGV)"}
ENGINES = (
    "hypothesis",
    pytest.param(
        "atheris",
        marks=pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed"),
    ),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_its_file_kept(fault: str, engine: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_at_import(PLANTED.format(fault=FAULTS[fault])), encoding="utf-8")
    out = tmp_path / "found"
    command = [sys.executable, str(SCRIPT), "--minutes", "0.05", "--only", "plane.json", "--engine", engine]
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [*command, "--seed", "1", "--out", str(out)],
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    said = "KeyError" if fault == "raises" else "the process ended by (SIGSEGV|status 77)"  # 77: libFuzzer's own end
    assert re.search(f"crash: plane.json: {said}", ended.stdout), ended.stdout
    kept = [p for p in out.rglob("*.json") if p.is_file()]
    assert kept, "the file is there to look at"
    assert all(b"[" not in path.read_bytes() for path in kept)


def _at_import(planted: str) -> str:
    """Python that plants the fault once the targets are loaded."""
    return f"""
import importlib.abc, importlib.machinery, sys

class After(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "fuzz_targets":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, sys.path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            sys.modules["fuzz_targets"] = module
            exec({planted!r}, {{}})
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, After())
"""
