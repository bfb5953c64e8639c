"""An nnU-Net v2 model folder, run by the user's installed nnU-Net in a process of its own.

nnU-Net reads its checkpoints as pickles, which may run any code. Before it gets one, the file's list of what it would
import is read without running it, and anything but tensors, numbers and plain containers is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.errors import ModelError, SegmentationRefused
from liverplan.io.images import read_file
from liverplan.io.labels import as_labels
from liverplan.io.segmentations import on_grid
from liverplan.io.writing import write_volume
from liverplan.segmentation.backends.labels import as_segmentation, map_names
from liverplan.segmentation.backends.tools import require_tool, run_tool
from liverplan.segmentation.engines import choose_device
from liverplan.segmentation.models import Model, verify
from liverplan.volume import BoolArray, Segmentation, Volume

TOOL = "nnUNetv2_predict_from_modelfolder"
INSTALL = "pip install nnunetv2"
CHECKPOINT = "checkpoint_final.pth"
NETWORKS = "dynamic_network_architectures."
"""Where nnU-Net's own networks live; plans name the class that is imported."""
_HARMLESS = ("numpy.",)
"""Numbers of numpy in a checkpoint's log: they hold data and run nothing of the file's."""
_HARMLESS_NAMES = ("scalar", "dtype", "_reconstruct", "ndarray", "_frombuffer")


@dataclass(frozen=True)
class NnUNetFolder:
    """What a model folder says of itself. labels: by name, the values of the label map that belong to it."""

    channel: str
    file_ending: str
    labels: Mapping[str, tuple[int, ...]]
    folds: tuple[str, ...]


class NnUNet:
    """A trained model folder: dataset.json, plans.json, fold_*/checkpoint_final.pth."""

    def __init__(self, model: Model, device: str) -> None:
        self.model = model
        self._device = device

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """Masks of the model's classes, by name. Raises ModelError, ResourceError, SegmentationRefused."""
        stage = self.model.stages["all"]
        verify(stage)
        folder = read_folder(stage.bundle)
        mapped = map_names(list(folder.labels), stage.bundle)
        _require_modality(folder.channel, volume)
        tool = require_tool(TOOL, INSTALL)
        progress(0.05, "checking the weights")
        for fold in folder.folds:
            require_plain(stage.bundle / f"fold_{fold}" / CHECKPOINT)
        with tempfile.TemporaryDirectory(prefix="liverplan-") as temporary:
            source, target = Path(temporary) / "in", Path(temporary) / "out"
            source.mkdir()
            write_volume(volume, source / f"case_0000{folder.file_ending}")
            progress(0.15, "nnU-Net")
            run_tool([tool, "-i", source, "-o", target, "-m", stage.bundle, "-f", *folder.folds, *self._words()])
            made = read_file(target / f"case{folder.file_ending}")
            labels = as_labels(on_grid(made, volume.grid, "nnU-Net's result"), "nnU-Net's result")

        def inside(name: str) -> BoolArray:
            return np.isin(labels, folder.labels[name])

        return as_segmentation(volume.grid, mapped, inside, self.model.identity, [_WARNING])

    def _words(self) -> list[str]:
        """Mirroring costs eight times as much; one process each, because there is one case."""
        device = choose_device(self._device)
        return ["-chk", CHECKPOINT, "-device", device, "--disable_tta", "-npp", "1", "-nps", "1"]


_WARNING = "Segmented by an nnU-Net model that liverplan knows nothing of: check every outline against the scan."


def is_folder(path: Path) -> bool:
    """Whether it looks like a trained nnU-Net v2 model."""
    return (path / "plans.json").is_file() and (path / "dataset.json").is_file()


def files_of(path: Path) -> tuple[str, ...]:
    """What must not change, by relative name. Raises ModelError for a folder without trained folds."""
    folds = read_folder(path).folds
    return ("dataset.json", "plans.json", *(f"fold_{fold}/{CHECKPOINT}" for fold in folds))


def read_folder(path: Path) -> NnUNetFolder:
    """Read dataset.json and plans.json, and find the trained folds. Raises ModelError for what cannot be run here."""
    dataset, plans = _json(path / "dataset.json"), _json(path / "plans.json")
    _require_known_networks(plans, path)
    folds = tuple(sorted(f.parent.name.removeprefix("fold_") for f in path.glob(f"fold_*/{CHECKPOINT}")))
    if not folds:
        raise _bad(path, f"no fold_*/{CHECKPOINT}", "at least one trained fold")
    try:
        channels = [str(name) for name in dataset["channel_names"].values()]
        labels = {str(name): _values(value) for name, value in dataset["labels"].items()}
        ending = str(dataset["file_ending"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(path, f"dataset.json: {error}", "channel_names, labels and file_ending") from error
    if len(channels) != 1:
        raise _bad(path, f"{len(channels)} input channels", "a model of one image")
    if ending not in (".nii.gz", ".nii"):
        raise _bad(path, f"files ending in {ending}", "a model of .nii.gz or .nii files")
    return NnUNetFolder(channels[0], ending, {n: v for n, v in labels.items() if v != (0,)}, folds)


def require_plain(checkpoint: Path) -> None:
    """Raise ModelError when unpickling the checkpoint would import anything that is not data."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        named = get_unsafe_globals_in_checkpoint(checkpoint)
    except Exception as error:
        raise _bad(checkpoint.parent, f"{checkpoint.name}, which is no PyTorch checkpoint", "a checkpoint") from error
    code = [n for n in named if not (n.startswith(_HARMLESS) and n.rpartition(".")[2] in _HARMLESS_NAMES)]
    code = [n for n in code if not n.startswith("numpy.dtypes.")]
    if code:
        raise ModelError(
            "the checkpoint would run code when it is loaded",
            got=f"{checkpoint.name} with {', '.join(code[:5])}",
            wanted="tensors, numbers and plain containers",
            do="Do not use it, unless you know who made it and why.",
        )


def _values(value: Any) -> tuple[int, ...]:
    """A class is a number; a region is a list of them, and covers every number in it."""
    return tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)


def _require_known_networks(plans: Mapping[str, Any], path: Path) -> None:
    for name, configuration in plans.get("configurations", {}).items():
        architecture = configuration.get("architecture") or {}
        target = architecture.get("network_class_name", NETWORKS)
        if not str(target).startswith(NETWORKS):
            raise _bad(path, f"the network {target} in configuration {name}", f"a network of {NETWORKS}*")


def _require_modality(channel: str, volume: Volume) -> None:
    wanted = {"CT": "CT", "MR": "MR", "MRI": "MR"}.get(channel.upper())
    if wanted is not None and volume.modality in ("CT", "MR") and volume.modality != wanted:
        raise SegmentationRefused(
            "the model is for another kind of image",
            got=f"{volume.modality}",
            wanted=f"{wanted} (channel {channel!r} of dataset.json)",
            do="Choose another model.",
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(path.parent, f"{path.name}: {error}", "JSON as nnU-Net writes it") from error
    if not isinstance(content, dict):
        raise _bad(path.parent, f"{path.name}, which is no object", "JSON as nnU-Net writes it")
    return content


def _bad(path: Path, got: str, wanted: str) -> ModelError:
    return ModelError(
        f"the nnU-Net folder {path.name} cannot be run",
        got=got,
        wanted=wanted,
        do="Give the folder NAME__PLANS__CONFIGURATION that nnU-Net v2 trained into.",
    )
