"""Two real nodes of a Ray cluster: a worker, then a node, then the driver are killed, and every case is there once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cohort_cases import attempts, folders, reasons, run, same_tables, table, write_patients
from killing import PATIENCE_S, wait_for

pytest.importorskip("ray")

CASES = 8
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_patients(tmp_path_factory.mktemp("cohort") / "patients", CASES)
    short = folder / "p3" / "image.nii.gz"
    short.write_bytes(short.read_bytes()[:2000])
    return folder


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on the loopback, each a raylet with one core and workers of its own; the head plans nothing."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)

    settings = {"node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **settings})
    for _ in range(2):
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=80_000_000)
    yield cluster
    cluster.shutdown()


def driver(patients: Path, out: Path, address: str) -> subprocess.Popen[str]:
    options = ["-o", str(out), "--no-pictures", "--engine", "ray", "--address", address, "--json"]
    program = "import sys; from liverplan.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "cohort", str(patients), *options]
    with told(out).open("w", encoding="utf-8") as file:
        return subprocess.Popen(command, text=True, stdout=subprocess.DEVNULL, stderr=file)


def told(out: Path) -> Path:
    """What a driver says while it runs: its state is for nobody else to read meanwhile."""
    return out.with_suffix(".events")


def gave_up(out: Path, case: str) -> bool:
    """Whether the driver knows that an attempt at a case has ended badly."""
    lines = told(out).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return any(event["what"] == "again" and event["case_id"] == case for event in events)


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def parent_of(process: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return None


def planning(out: Path) -> dict[str, int]:
    """Cases that are planned now, with the process that does it."""
    found = {}
    for log in out.glob("logs/*.log"):
        started = re.findall(r"process (\d+)\n", log.read_text(encoding="utf-8"))
        if log.stem not in folders(out) and started and parent_of(int(started[-1])) is not None:
            found[log.stem] = int(started[-1])
    return found


def on_node(out: Path, node: Any) -> tuple[str, int] | None:
    """A case that a node plans, and the process."""
    raylet = raylet_of(node)
    return next(((case, process) for case, process in planning(out).items() if parent_of(process) == raylet), None)


def test_a_worker_a_node_and_the_driver_are_killed_and_every_case_is_there_once(
    cluster: Any, patients: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ray"
    first, second = [node for node in cluster.list_all_nodes() if not node.head]
    running = driver(patients, out, cluster.address)
    try:
        case_of_worker, worker = wait_for(lambda: on_node(out, first))
        os.kill(worker, signal.SIGKILL)
        case_of_node, _ = wait_for(lambda: on_node(out, second))
        cluster.remove_node(second, allow_graceful=False)
        before = len(folders(out))
        wait_for(lambda: gave_up(out, case_of_node) and len(folders(out)) > before and planning(out))
    finally:
        running.kill()
        running.wait()
    finished = folders(out)
    assert 1 <= len(finished) < CASES - 1, "the driver was killed in the middle"
    cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1", object_store_memory=80_000_000)
    assert driver(patients, out, cluster.address).wait(2 * PATIENCE_S) == 0

    ends = Counter(attempts(out))
    assert ends[case_of_worker, "killed"] >= 1
    assert ends[case_of_node, "killed"] >= 1
    assert (case_of_worker, "the worker was lost (killed, or out of memory)") in reasons(out)
    assert (case_of_node, "its node was lost") in reasons(out)
    assert Counter(row["case_id"] for row in table(out, "cases")) == Counter(f"p{n}" for n in range(1, CASES + 1))
    assert [row["case_id"] for row in table(out, "cases") if row["status"] == "failed"] == ["p3"]
    after = folders(out)
    assert {name: after[name] for name in finished} == finished, "finished cases were not touched"
    run(patients, tmp_path / "local")
    assert same_tables(out, tmp_path / "local")
