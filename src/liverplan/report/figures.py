"""The list of pictures of a case: what each shows, and what a wrong one looks like. Kept in OUT/figures/index.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from liverplan.io.folder import write_text_atomic

FOLDER = "figures"
INDEX = "index.json"
SHELL_RGB = (240, 125, 45)
"""The protocol's margin around the lesions: the shell in 3D, the ring on slices."""
CUT_RGB = (120, 200, 80)
"""The cut surface of a resection."""
SPECIMEN_RGB = (226, 92, 72)
"""What a resection takes out, in 3D."""
WITNESS_RGB = (214, 20, 110)
"""Lines that a distance was measured along: magenta, which no tissue, contour or vessel of the report has."""


@dataclass(frozen=True)
class Figure:
    """A picture in OUT/figures.

    kind: "view" (the whole liver), "closeup" or "slice" (of one lesion), "resection" or "resection_slice" (of the
    resection that `resection` names).
    """

    file: str
    kind: str
    lesion_id: int | None
    title: str
    caption: str
    failure: str
    """What the picture looks like when something upstream went wrong."""
    resection: str | None = None


def write_index(out_dir: Path, figures: Sequence[Figure], renderer: str) -> None:
    """Write OUT/figures/index.json. Raises OutputError, ResourceError."""
    payload = {"renderer": renderer, "figures": [asdict(figure) for figure in figures]}
    write_text_atomic(out_dir / FOLDER / INDEX, json.dumps(payload, indent=2) + "\n")


def read_index(out_dir: Path) -> list[Figure]:
    """The pictures that stand in OUT/figures; [] when there are none or the index cannot be read.

    Names are taken as plain file names, so that an index can point nowhere else.
    """
    try:
        entries = json.loads((out_dir / FOLDER / INDEX).read_text(encoding="utf-8"))["figures"]
        figures = [Figure(**entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [f for f in figures if Path(f.file).name == f.file and (out_dir / FOLDER / f.file).is_file()]
