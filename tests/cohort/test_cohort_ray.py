"""A real Ray cluster on the loopback of this machine: the same tables, and an actor that is killed is replaced."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohort_cases import attempts, run, same_tables, table, told, write_patients
from killing import Killer

from liverplan.errors import InputError, ResourceError

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_patients(tmp_path_factory.mktemp("cohort") / "patients", 3)
    short = folder / "p3" / "image.nii.gz"
    short.write_bytes(short.read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster with two cores and one logical GPU."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def test_ray_gives_the_same_tables_as_processes_of_this_machine(cluster: None, patients: Path, tmp_path: Path) -> None:
    summary, _ = run(patients, tmp_path / "ray", engine="ray", workers=2, gpus_per_case=0.5)
    assert (summary.done, summary.failed, summary.failures) == (2, 1, {"refused": 1})
    run(patients, tmp_path / "local")
    assert same_tables(tmp_path / "ray", tmp_path / "local")
    assert {row["failure_stage"] for row in table(tmp_path / "ray", "cases")} == {"", "reading the image"}
    _, again = run(patients, tmp_path / "ray")
    assert told(again, "case") == [], "one engine goes on where another has stopped"


def test_an_actor_that_is_killed_is_replaced_and_holds_no_gpu(cluster: None, patients: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary, events = run(patients, out, Killer(out, "p1", 1), engine="ray", workers=1, gpus_per_case=1.0)
    assert (summary.done, summary.failed) == (2, 1)
    assert told(events, "again") == ["p1"]
    assert [end for case_id, end in attempts(out) if case_id == "p1"] == ["killed", "done"]


def test_a_case_that_fits_no_node_is_refused_at_once(cluster: None, patients: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot hold a case"):
        run(patients, tmp_path / "out", engine="ray", gpus_per_case=2.0)


def test_no_more_cases_run_than_gpus_have_room_for(cluster: None, patients: Path) -> None:
    from liverplan.cohort.engine_ray import RayEngine
    from liverplan.cohort.request import Options

    for share, slots in ((1.0, 1), (0.5, 2), (0.0, 2)):
        engine = RayEngine(Options(engine="ray", gpus_per_case=share), 10)
        assert engine.slots == slots
        engine.close()


def test_a_cluster_that_is_not_there_is_refused(patients: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from liverplan.cli.main import run; "
        f"sys.exit(run(['cohort', {str(patients)!r}, '-o', {str(tmp_path / 'out')!r}, '--engine', 'ray', "
        "'--address', '127.0.0.1:1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == InputError.exit_status
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_its_own_engine_loads_ray() -> None:
    program = (
        "import sys, liverplan.cohort, liverplan.cohort.run, liverplan.cohort.engine_local, liverplan.cli.cohort; "
        "sys.exit('ray' in sys.modules or 'pyarrow' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
