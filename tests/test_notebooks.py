"""The notebooks run from top to bottom on a small set, and their two forms say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = ("plan_one_patient", "retrain_and_compare", "read_a_cohort")
"""In this order: the later ones find the first one's patients."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_on_a_small_set(name: str, work: Path) -> None:
    """Coarse voxels and a handful of steps; what it prints is what it read."""
    small = {"LIVERPLAN_NOTEBOOKS": str(work), "LIVERPLAN_SMALL": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    path = NOTEBOOKS / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(path)], check=False, capture_output=True, text=True, env={**os.environ, **small}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = {
        "plan_one_patient": ("portal_vein", " mm ["),
        "retrain_and_compare": ("2 cases of 2 patients", "->", "began with", "| seed | 1 |"),
        "read_a_cohort": ("2 cases: {'done': 2}", "wide margin:"),
    }[name]
    assert all(words in done.stdout for words in expected), done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_of_a_notebook_are_the_same_and_hold_no_results(name: str) -> None:
    jupytext = pytest.importorskip("jupytext")
    script, paired = (jupytext.read(NOTEBOOKS / f"{name}{suffix}") for suffix in (".py", ".ipynb"))
    assert [(c.cell_type, c.source) for c in script.cells] == [(c.cell_type, c.source) for c in paired.cells]
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in paired.cells)


def test_every_notebook_is_tested() -> None:
    assert {p.stem for p in NOTEBOOKS.glob("*.py")} == {p.stem for p in NOTEBOOKS.glob("*.ipynb")} == set(NAMES)
