"""A run that is killed, or finds no room or no memory, leaves the earlier result or the new one, nothing between."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_inputs import Place, patient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverplan.cli.main import out_of_memory, run

PROGRAM = [sys.executable, "-c", "from liverplan.cli import main; main()"]
KILLS = int(os.environ.get("LIVERPLAN_KILLS", "4"))
"""How many moments are drawn; more of them with LIVERPLAN_KILLS=100."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = patient(tmp_path_factory.mktemp("patient"))
    assert run(place.plan("--quiet")) == 0
    return place


@pytest.fixture(scope="module")
def seconds(whole: Place) -> float:
    """How long the program takes on this machine now."""
    start = time.monotonic()
    subprocess.run([*PROGRAM, *whole.plan("--overwrite", "--quiet")], check=True)
    return time.monotonic() - start


def state(out: Path) -> dict[str, object]:
    """What must be there, whole: the report, the run's record, masks of the same run."""
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert {"liver.nii.gz", "lesions.nii.gz"} <= {p.name for p in (out / "segmentation").iterdir()}
    assert all((out / name).stat().st_size for name in ("report.html", "report.pdf", "meshes/scene.glb"))
    return {"margin": record["settings"]["margin_mm"], "lesions": len(report["lesions"])}


@settings(max_examples=KILLS, deadline=None, suppress_health_check=list(HealthCheck))
@given(part=st.floats(0.05, 1.05), margin=st.sampled_from((5.0, 6.0, 9.0)))
def test_a_killed_run_leaves_the_old_or_the_new_result(
    whole: Place, seconds: float, part: float, margin: float
) -> None:
    out = whole.folder / "out"
    before = state(out)
    arguments = whole.plan("--overwrite", "--quiet", "--margin", margin)
    running = subprocess.Popen([*PROGRAM, *arguments])
    time.sleep(part * seconds)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert state(out) in (before, {"margin": margin, "lesions": 1})


def limited(place: Place, limit: Callable[[], None], *more: str) -> subprocess.CompletedProcess[str]:
    arguments = place.plan("--overwrite", "--quiet", *more)
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, preexec_fn=limit)


def in_words(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in words), done.stderr


def test_a_full_disk_is_said_and_keeps_the_earlier_result(whole: Place) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    before, killed = state(whole.folder / "out"), set(whole.folder.glob(".*.partial"))
    in_words(limited(whole, small_files), 4, "the disk is full")
    assert state(whole.folder / "out") == before
    assert set(whole.folder.glob(".*.partial")) <= killed


def test_too_little_memory_is_said_and_keeps_the_earlier_result(whole: Place, tmp_path: Path) -> None:
    """1.2 GB of air in a file of a megabyte, and 1.5 GB for the program and all its libraries."""

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1500 << 20, 1500 << 20))

    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((1000, 1000, 600))
    header.set_sform(np.eye(4), code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    large = tmp_path / "large.nii.gz"
    large.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + 12 * gzip.compress(bytes(100_000_000), 1))
    before = state(whole.folder / "out")
    arguments = whole.plan("--overwrite", "--quiet", image=large)
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, preexec_fn=little_memory)
    in_words(done, 4, "out of memory")
    assert state(whole.folder / "out") == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(whole: Place, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    arguments = [str(word) for word in ("plan", whole.image, "--segmentation", whole.masks, "-o")]
    done = subprocess.run(
        [*PROGRAM, *arguments, str(tmp_path / "closed" / "out")], capture_output=True, text=True, check=False
    )
    in_words(done, 3, "cannot be written")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("ITK ERROR: Failed to allocate memory for image."),
        RuntimeError("std::bad_alloc"),
        ImportError("libvtk.so: failed to map segment from shared object"),
    ],
    ids=str,
)
def test_every_library_s_way_to_say_that_memory_ran_out_is_known(error: Exception) -> None:
    assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("a bug"))
