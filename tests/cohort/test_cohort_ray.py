"""A real Ray cluster on the loopback of this machine: the same tables, and an actor that is killed is replaced."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohort_cases import attempts, run, same_tables, table, told, write_patients
from killing import Killer, wait_for

from liverplan.errors import ResourceError

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

    for share, networks, slots in ((1.0, True, 1), (0.5, True, 2), (0.0, False, 2), (None, True, 2)):
        engine = RayEngine(Options(engine="ray", gpus_per_case=share), 10, networks)
        assert engine.slots == slots
        engine.close()


def command(source: Path, out: Path, address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it beside a cluster."""
    options = ["-o", str(out), "--no-pictures", "--engine", "ray", "--workers", "2", "--address", address]
    program = "import sys; from liverplan.cli import main; main(sys.argv[1:])"
    arguments = [sys.executable, "-c", program, "cohort", str(source), *options]
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=200, env=environment)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1", "ray://:x"])
def test_a_cluster_that_is_not_there_is_refused(address: str, patients: Path, tmp_path: Path) -> None:
    done = command(patients, tmp_path / "out", address, dict(os.environ))
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def free_port() -> int:
    """A port of the loopback above those that Ray hands to its workers."""
    for _ in range(100):
        port = secrets.choice(range(21000, 30000))
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


@pytest.fixture
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster in processes of its own that asks for a token: its address, and the environment that has the token."""
    secured = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    environment, client = {**os.environ, **secured}, free_port()
    flags = [f"--port={free_port()}", f"--ray-client-server-port={client}", "--node-ip-address=127.0.0.1"]
    home = tempfile.mkdtemp(prefix="ray")  # a short path: there are sockets in it
    flags += ["--num-cpus=2", "--include-dashboard=false", f"--temp-dir={home}"]
    program = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", *flags]
    process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or socket.socket().connect_ex(("127.0.0.1", client)) == 0)
        assert process.poll() is None, "the cluster did not start"
        yield f"ray://127.0.0.1:{client}", environment
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def test_a_cluster_of_other_processes_is_joined_by_its_address(
    head: tuple[str, dict[str, str]], patients: Path, tmp_path: Path
) -> None:
    address, environment = head
    for _ in range(3):  # its port is open before it answers, on a busy machine by more than a client waits
        done = command(patients, tmp_path / "ray", address, environment)
        if "cannot be reached" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    run(patients, tmp_path / "local")
    assert same_tables(tmp_path / "ray", tmp_path / "local")


def test_only_its_own_engine_loads_ray() -> None:
    program = (
        "import sys, liverplan.cohort, liverplan.cohort.run, liverplan.cohort.engine_local, liverplan.cli.cohort; "
        "sys.exit('ray' in sys.modules or 'pyarrow' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
