"""The names of a tree's nodes, and how sure each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liverplan.vessels import IntArray, VesselTree
from liverplan.volume import BoolArray

MAIN_PORTAL = "main portal vein"
RIGHT_PORTAL = "right portal vein"
LEFT_PORTAL = "left portal vein"
RIGHT_ANTERIOR = "right anterior branch"
RIGHT_POSTERIOR = "right posterior branch"
UMBILICAL = "umbilical portion"
SEGMENT_2 = "branch to segment 2"
SEGMENT_3 = "branch to segment 3"
SEGMENT_4 = "branch to segment 4"

RIGHT_HEPATIC = "right hepatic vein"
MIDDLE_HEPATIC = "middle hepatic vein"
LEFT_HEPATIC = "left hepatic vein"
INFERIOR_RIGHT_HEPATIC = "inferior right hepatic vein"
COMMON_TRUNK = "common trunk"
CONFLUENCE = "hepatic venous confluence"
OTHER_HEPATIC = "unnamed hepatic vein"
"""Veins that drain straight into the vena cava and are none of the above: those of the caudate lobe, for one."""


UNREAD_GRADE = 0.9
"""The most that a name's confidence reaches: no reader has seen it."""


class Unnamable(Exception):
    """A tree does not fit the anatomy that names are known for; the message is a sentence that says why."""


@dataclass(frozen=True)
class TreeNames:
    """What the branches of `tree` are called.

    names: distinct names, the trunk first. name_of: (nodes,) index into `names`; a thin branch bears the name of the
    named vessel that it leaves. confidence: per name, 0 to 1. Every decision that a name rests on (shares of the liver,
    distances between what two branches serve, angles) has a least value, graded 0.5, below which no name is given,
    and a value well inside the usual range, graded 1; between them the grade is linear. A name's confidence is the
    least grade that it rests on and at most UNREAD_GRADE, so 0.5 is a name just given; it is no probability. Numbers
    have confidence 0.
    variants: anatomy that differs from the usual pattern. remarks: what could not be told although the tree is named.
    note: why the tree could not be named, None when it is; then every unbranched stretch has a number.
    """

    tree: VesselTree
    names: tuple[str, ...]
    name_of: IntArray
    confidence: Mapping[str, float]
    variants: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    note: str | None = None

    @property
    def named(self) -> bool:
        return self.note is None

    def has(self, name: str) -> bool:
        return name in self.names

    def name(self, node: int) -> str:
        """The name of a node."""
        return self.names[int(self.name_of[node])]

    def nodes(self, name: str) -> IntArray:
        """Indices of the nodes that bear exactly this name. Raises KeyError for a name that is not there."""
        if name not in self.names:
            raise KeyError(f"no branch is called {name!r}; there are {', '.join(self.names)}")
        return np.flatnonzero(self.name_of == self.names.index(name))

    def subtree(self, name: str) -> IntArray:
        """Indices of the nodes of a named branch and of everything that hangs on it (for veins: drains into it).

        Raises KeyError for a name that is not there.
        """
        inside = np.zeros(len(self.tree.parent), dtype=bool)
        inside[self.nodes(name)] = True
        return np.flatnonzero(downstream(self.tree, inside))


def downstream(tree: VesselTree, starts: BoolArray) -> BoolArray:
    """Nodes (nodes,) that are in `starts` or have an ancestor there."""
    inside = starts.copy()
    for node, above in enumerate(tree.parent):
        if above >= 0 and inside[above]:
            inside[node] = True
    return inside


def numbered(tree: VesselTree, word: str, why: str) -> TreeNames:
    """Every unbranched stretch with a number: "portal branch 1" and so on, from the root outwards."""
    stretches, name_of = np.unique(tree.branch, return_inverse=True)
    names = tuple(f"{word} {n + 1}" for n in range(len(stretches)))
    return TreeNames(tree, names, name_of.astype(np.int64), dict.fromkeys(names, 0.0), note=why)


def painted(
    tree: VesselTree,
    layers: Sequence[tuple[str, BoolArray, float]],
    variants: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> TreeNames:
    """Names laid over each other: (name, nodes that bear it unless a later layer has them, confidence) in order."""
    names: list[str] = []
    confidence: dict[str, float] = {}
    name_of = np.full(len(tree.parent), -1, dtype=np.int64)
    for name, nodes, sure in layers:
        if name not in names:
            names.append(name)
        confidence[name] = min(sure, confidence.get(name, UNREAD_GRADE))
        name_of[nodes] = names.index(name)
    borne = np.unique(name_of)
    kept = tuple(names[n] for n in borne)
    renumbered = np.searchsorted(borne, name_of)
    return TreeNames(tree, kept, renumbered, {n: confidence[n] for n in kept}, tuple(variants), tuple(remarks))
