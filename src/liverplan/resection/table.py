"""The table of resections of a case: proposed and given ones, measured alike, the best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from liverplan.protocol import Limits
from liverplan.quantity import Distance, Quantity
from liverplan.resection.given import GivenResection
from liverplan.resection.measure import MeasuredResection, Stay, measure
from liverplan.resection.propose import propose
from liverplan.resection.workspace import Workspace
from liverplan.volume import BoolArray

MEASURED_AT_ONCE = 2
"""numpy and scipy let threads run beside each other; more would cost memory."""
_ORDER = {"met": 0, "undetermined": 1, "not_met": 2}


def resections_of(
    work: Workspace,
    limits: Limits,
    margin_mm: float,
    stay: Stay,
    given: Sequence[GivenResection],
    progress: Callable[[float], None] = lambda _fraction: None,
) -> tuple[MeasuredResection, ...]:
    """Every resection of the case, ranked.

    margin_mm: what the proposed ones are cut for. given: on the workspace's grid. A given one keeps its name; a
    proposed one of the same name gets another.
    """
    taken = {g.name for g in given}
    proposed = propose(work, margin_mm)
    todo: list[tuple[str, str, BoolArray, tuple[str, ...]]] = [
        (_free(c.name, taken), c.kind, c.specimen, ()) for c in proposed
    ]
    todo += [(g.name, "given", g.specimen, (g.source, *g.notes)) for g in given]
    with ThreadPoolExecutor(max_workers=MEASURED_AT_ONCE) as pool:
        waiting = [pool.submit(measure, work, *each[:3], limits, stay, each[3]) for each in todo]
        found = []
        for number, each in enumerate(waiting):
            found.append(each.result())
            progress((number + 1) / len(todo))
    return ranked(found)


def ranked(resections: Sequence[MeasuredResection]) -> tuple[MeasuredResection, ...]:
    """By verdict, then functional remnant (plain remnant where that is unknown), then margin."""

    def key(r: MeasuredResection) -> tuple[int, float, float, str]:
        remnant = r.functional_remnant_ml.value if isinstance(r.functional_remnant_ml, Quantity) else r.remnant_ml
        margin = r.margin_mm.value_mm if isinstance(r.margin_mm, Distance) else float("-inf")
        return _ORDER[r.meets], -remnant, -margin, r.name

    return tuple(sorted(resections, key=key))


def _free(name: str, taken: set[str]) -> str:
    return f"proposed_{name}" if name in taken else name
