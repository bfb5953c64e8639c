"""TotalSegmentator, run as the user's installed tool: liver, vena cava, vessels, lesions and Couinaud segments.

No weights of it come with liverplan and none are loaded here: the tool fetches and runs its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import ModelError
from liverplan.io.images import read_file
from liverplan.io.labels import as_labels
from liverplan.io.segmentations import on_grid
from liverplan.io.writing import write_volume
from liverplan.segmentation.backends.labels import Mapped, as_segmentation
from liverplan.segmentation.backends.tools import require_tool, run_tool
from liverplan.segmentation.models import Kind, Model
from liverplan.volume import BoolArray, Segmentation, Volume

TOOL = "TotalSegmentator"
INSTALL = "pip install TotalSegmentator"
NAME = "totalsegmentator"
_ORGANS = ("liver", "inferior_vena_cava", "portal_vein_and_splenic_vein")
_TASKS = {
    "CT": (("total", _ORGANS), ("liver_vessels", ()), ("liver_segments", ()), ("liver_lesions", ())),
    "MR": (("total_mr", _ORGANS), ("liver_segments_mr", ()), ("liver_lesions_mr", ())),
}
"""Tasks by modality, the organs first: without them there is nothing to go on with."""
_TARGETS = {
    "liver": (Structure.LIVER, 1),
    "inferior_vena_cava": (Structure.VENA_CAVA, 1),
    "portal_vein_and_splenic_vein": (Structure.LIVER_VESSELS, 1),
    "liver_vessels": (Structure.LIVER_VESSELS, 1),
    "liver_tumor": (Structure.LESIONS, 1),
    "liver_lesions": (Structure.LESIONS, 1),
    **{f"liver_segment_{n}": (Structure.COUINAUD, n) for n in range(1, 9)},
}
_NOTE = (
    "TotalSegmentator does not part hepatic veins from portal branches: clearances are to liver vessels, and what "
    "needs inflow or outflow is undetermined. Its portal vein is the trunk outside the liver and was added to them."
)


def tool_model() -> Model:
    """The tool as a model, by name and version; it need not be installed."""
    return Model(
        NAME, "TotalSegmentator, as installed here", _version(), "CT or MR", _LICENCE, (), {}, Kind.TOTALSEGMENTATOR
    )


_LICENCE = "Apache-2.0 for the tool and the tasks used here; their weights are the tool's own download"


class TotalSegmentator:
    """Runs each task on the image and reads its masks back."""

    def __init__(self, model: Model, device: str) -> None:
        self.model = model
        self._device = device

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """Masks of everything that the tasks draw; a task that fails leaves its structures out, with a note.

        Raises ModelError when the tool is absent or finds no organs, SegmentationRefused without a plausible liver.
        """
        tool, notes = require_tool(TOOL, INSTALL), [_WARNING.format(version=self.model.version), _NOTE]
        tasks = _TASKS["MR" if volume.modality == "MR" else "CT"]
        with tempfile.TemporaryDirectory(prefix="liverplan-") as temporary:
            work = Path(temporary)
            scan = write_volume(volume, work / "image.nii.gz")
            for number, (task, organs) in enumerate(tasks):
                progress(0.05 + 0.85 * number / len(tasks), f"TotalSegmentator: {task}")
                command: list[str | Path] = [tool, "-i", scan, "-o", work / task, "-ta", task, *self._device_words()]
                try:
                    run_tool([*command, "--roi_subset", *organs] if organs else command)
                except ModelError as failed:
                    if organs:
                        raise
                    notes.append(f"TotalSegmentator could not run {task}: {failed.got}")
            masks = _read(work, [task for task, _ in tasks], volume)
        return as_segmentation(volume.grid, _mapped(masks), lambda name: masks[name], self.model.identity, notes)

    def _device_words(self) -> list[str]:
        return [] if self._device == "auto" else ["-d", "gpu" if self._device == "cuda" else "cpu"]


_WARNING = "Segmented by TotalSegmentator {version}, which is not a medical device: check every outline."


def _read(work: Path, tasks: list[str], volume: Volume) -> dict[str, BoolArray]:
    """The masks that the tasks wrote, by file name; nothing that this program does not know."""
    masks: dict[str, BoolArray] = {}
    for file in (f for task in tasks for f in sorted((work / task).glob("*.nii.gz"))):
        name = file.name.removesuffix(".nii.gz")
        if name in _TARGETS:
            labels = as_labels(on_grid(read_file(file), volume.grid, file.name), file.name)
            masks[name] = np.asarray(labels > 0)
    if "liver" not in masks:
        raise ModelError(
            "TotalSegmentator wrote no liver",
            got=", ".join(masks) or "no masks",
            wanted="liver.nii.gz",
            do=f"Update it: {INSTALL} --upgrade",
        )
    return masks


def _mapped(masks: dict[str, BoolArray]) -> Mapped:
    """The tumours of the vessel task only where the lesion task, which was trained on far more, drew none."""
    used = [name for name in masks if name != "liver_tumor" or "liver_lesions" not in masks]
    return Mapped({name: _TARGETS[name] for name in used}, ())


def _version() -> str:
    try:
        return version("TotalSegmentator")
    except PackageNotFoundError:
        return "of unknown version"
