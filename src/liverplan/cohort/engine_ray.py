"""Cases on a Ray cluster: an actor per slot with its share of a GPU. The only module that imports Ray.

What travels are paths, settings and outcomes, never a volume: OUT and the images lie where every node sees them.
A slot holds one case, so nothing piles up in the cluster; the driver keeps the queue.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from liverplan.cohort.engines import Answer, Died
from liverplan.cohort.request import Options
from liverplan.cohort.task import CaseWorker, Task
from liverplan.errors import InputError, ResourceError

# Set before Ray loads: nothing of a hospital's network is reported to anybody.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray._private import ray_constants
    from ray.exceptions import GetTimeoutError, RayActorError, RayError
except ImportError as missing:
    raise InputError(
        "Ray is not installed here",
        got="--engine ray in an environment without Ray",
        wanted="Ray on this machine and on every node",
        do="Install it with: pip install 'liverplan[cohort]'; or use --engine local.",
    ) from missing

LOOPBACK = "127.0.0.1"
ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own switch: 0 binds every process to the loopback."""
_NODE = "ray-node"
"""Stands before HOST:PORT, the address by which a node of the cluster knows its head."""
CLIENT_PORT = 10001
"""Of `ray start` for clients of another machine."""
_SECONDS_TO_CONNECT = 10.0
_SECONDS_TO_TELL = 1.0
"""A worker tells its node before it begins its first case."""
_NODE_DIED = "node has died"
"""Ray's words for a worker that went with its node."""
CPUS_PER_CASE = 1.0
"""Ray limits the threads of an actor to its cores."""
GPUS_PER_CASE = 0.5
"""Two cases share a GPU: one is segmented while the other is planned on its core."""


class _NodeWorker(CaseWorker):
    """Knows the node that it runs on."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


class RayEngine:
    """Actors of a cluster, each made when its slot is first used. See `engines.Engine`.

    networks: whether cases need a GPU, where the cluster has any. Raises InputError when the cluster cannot be reached,
    ResourceError when it can never place a case.
    """

    def __init__(self, options: Options, cases: int, networks: bool = False) -> None:
        self._own = not ray.is_initialized()
        if self._own:
            _connect(options)
        total: dict[str, float] = ray.cluster_resources()
        gpus = float(total.get("GPU", 0.0))
        usual = GPUS_PER_CASE if networks and gpus else 0.0
        share = usual if options.gpus_per_case is None else options.gpus_per_case
        fit = _that_fit(float(total.get("CPU", 0.0)), gpus, share)
        # More workers than fit now wait for their node: that is what makes an autoscaler start one.
        self._slots = max(1, min(options.workers or fit, cases))
        self._actor = ray.remote(_NodeWorker).options(num_cpus=CPUS_PER_CASE, num_gpus=share, max_restarts=0)
        self._actors: dict[int, Any] = {}
        self._nodes: dict[int, Any] = {}
        self._answers: dict[Any, int] = {}

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, slot: int, task: Task, ahead: Task | None) -> None:
        if slot not in self._actors:
            self._actors[slot] = self._actor.remote()
            self._nodes[slot] = self._actors[slot].node.remote()
        self._answers[self._actors[slot].work.remote(task, ahead)] = slot

    def wait(self) -> list[tuple[int, Answer]]:
        first, _ = ray.wait(list(self._answers), num_returns=1)
        ready, _ = ray.wait(list(self._answers), num_returns=len(self._answers), timeout=0)
        return [self._answer(reference) for reference in {*first, *ready}]

    def release(self, slot: int) -> None:
        """An idle actor would keep its core and its GPU from one that waits for a place since a node was lost."""
        if slot in self._actors:
            ray.kill(self._actors.pop(slot))

    def close(self) -> None:
        """Idle actors would hold their GPUs against everybody else: they are ended, not left."""
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        if self._own:
            ray.shutdown()

    def _answer(self, reference: Any) -> tuple[int, Answer]:
        slot = self._answers.pop(reference)
        try:
            answer: Answer = ray.get(reference)
        except RayActorError:
            # Of an actor that cannot be reached for a while Ray says the same: it must not plan on beside the next one.
            ray.kill(self._actors.pop(slot))
            answer = _died(self._nodes.pop(slot))
        except RayError as error:
            ray.kill(self._actors.pop(slot))
            answer = Died(f"Ray gave the case up: {type(error).__name__}")
        return slot, answer


def _died(node: Any) -> Died:
    """What became of a worker. node: the reference to what it said of its node."""
    try:
        lost = _is_lost(ray.get(node, timeout=_SECONDS_TO_TELL))
    except (GetTimeoutError, RayError) as error:
        # It never said: killed in its first moments, or placed by the cluster on a node that had just gone.
        lost = _NODE_DIED in str(error) or not all(_is_there(known) for known in ray.nodes() if known["Alive"])
    if lost:
        return Died("its node was lost", node_lost=True)
    return Died("the worker was lost (killed, or out of memory)")


def _is_lost(node: str) -> bool:
    """The cluster counts a node among the living until it has missed its heartbeats; its port tells at once."""
    found = next((known for known in ray.nodes() if known["NodeID"] == node), None)
    return found is None or not found["Alive"] or not _is_there(found)


def _is_there(node: Any) -> bool:
    return _answers(node["NodeManagerAddress"], int(node["NodeManagerPort"]))


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=_SECONDS_TO_CONNECT).close()
        return True
    return False


def _connect(options: Options) -> None:
    _require_address(options.address)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if options.address is None:
        _stay_on_loopback()
        settings |= {"include_dashboard": False, "_node_ip_address": LOOPBACK, "num_cpus": options.workers}
    try:
        ray.init(address=options.address or "local", **settings)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise _unreachable(options.address or "a cluster on this machine", str(error)) from error


def _stay_on_loopback() -> None:
    """A cluster of its own is for this machine only. Ray takes 127.0.0.1 for "the address that others reach me by" and
    then listens on every interface, unless it is told, as it is on a desktop, that there is no cluster."""
    os.environ[ONE_MACHINE] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def _require_address(address: str | None) -> None:
    """Ray itself would go on trying for minutes. Raises InputError."""
    if address in (None, "auto"):
        return
    parts = urlsplit(address if "://" in str(address) else f"{_NODE}://{address}")
    try:
        port = parts.port or CLIENT_PORT
    except ValueError:
        port = 0
    if parts.scheme not in ("ray", _NODE) or not parts.hostname or not port:
        raise _unreachable(str(address), "no address of a cluster")
    try:
        socket.create_connection((parts.hostname, port), timeout=_SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise _unreachable(str(address), error.strerror or str(error)) from error


def _unreachable(address: str, why: str) -> InputError:
    return InputError(
        "the Ray cluster cannot be reached",
        got=f"{address}: {(why.splitlines() or ['no answer'])[0][:200]}",
        wanted="a running cluster: auto or HOST:6379 (this machine is a node of it), or ray://HOST:10001",
        do="Start it with `ray start --head`, or leave --address out for one on this machine. "
        "A cluster that asks for a token needs RAY_AUTH_MODE=token and its token here as well (docs/cohort.md).",
    )


def _that_fit(cpus: float, gpus: float, share: float) -> int:
    """Cases that the cluster can hold at a time. Raises ResourceError when it can never hold one."""
    if share > gpus or cpus < CPUS_PER_CASE:
        raise ResourceError(
            "the Ray cluster cannot hold a case",
            got=f"{gpus:g} GPUs and {cpus:g} cores in all",
            wanted=f"{share:g} GPU and {CPUS_PER_CASE:g} core for each case",
            do="Add nodes, or lower --gpus-per-case (0 runs without a GPU).",
        )
    by_gpu = int(gpus / share) if share > 0 else int(cpus)
    return min(int(cpus / CPUS_PER_CASE), by_gpu)
