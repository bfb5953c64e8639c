"""A MONAI bundle of any origin, run on the whole scan: its transforms, its network, its window, our way back.

The bundle's configuration is data here (`bundle_config.py`), and its weights are a plain state dictionary, read with
`weights_only=True`; TorchScript is not loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from liverplan.errors import ResourceError, SegmentationRefused
from liverplan.segmentation.backends.bundle_config import BundleConfig, Call, bad_bundle, config_file, read_bundle
from liverplan.segmentation.backends.labels import Mapped, as_segmentation, map_names
from liverplan.segmentation.engines import choose_device
from liverplan.segmentation.models import Model, verify
from liverplan.segmentation.resampling import Lattice, slices_onto
from liverplan.segmentation.windows import FloatVolume, highest
from liverplan.volume import BoolArray, Grid, Reorientation, Segmentation, Volume

if TYPE_CHECKING:
    import torch

WEIGHTS = "models/model.pt"
_WRAPPED = ("state_dict", "model", "network", "net")
"""Names under which a checkpoint keeps its state dictionary, when it is not one itself."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_WARNING = (
    "Segmented by a MONAI bundle that liverplan knows nothing of ({where}): check every outline against the scan."
)


class MonaiBundle:
    """A folder with configs/inference.json, configs/metadata.json and models/model.pt."""

    def __init__(self, model: Model, device: str) -> None:
        self.model = model
        self._device = device

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """Masks of the bundle's classes, by name. Raises ModelError, ResourceError, SegmentationRefused."""
        stage = self.model.stages["all"]
        verify(stage)
        config = read_bundle(stage.bundle)
        mapped = map_names(list(config.classes.values()), stage.bundle)
        _require_modality(config, volume)
        device = choose_device(self._device)
        progress(0.1, "loading the network")
        network = load_network(config.network, stage.bundle)
        upright = volume.canonical()
        progress(0.2, "labelling")
        scores = _scores(upright, config, network, device, stage.bundle)
        progress(0.75, "back to the image's voxels")
        layers = _on_image(scores, upright.grid, config, mapped)
        turn = Reorientation.to_lps(volume.grid)
        note = _WARNING.format(where=f"run by PyTorch on the {'GPU' if device == 'cuda' else 'CPU'}")
        return as_segmentation(volume.grid, mapped, lambda n: turn.undo(layers[n]), self.model.identity, [note])


def is_bundle(path: Path) -> bool:
    """Whether it looks like a MONAI bundle."""
    return (path / "configs" / "metadata.json").is_file() and config_file(path) is not None


def files_of(path: Path) -> tuple[str, ...]:
    """What must not change, by relative name. Raises ModelError for a bundle without a state dictionary."""
    config = config_file(path)
    if config is None or not (path / WEIGHTS).is_file():
        raise bad_bundle(path, f"no {WEIGHTS}", "the weights as a state dictionary (TorchScript is not loaded)")
    return f"configs/{config.name}", "configs/metadata.json", WEIGHTS


def load_network(definition: Call, folder: Path) -> torch.nn.Module:
    """The network with the bundle's weights. Raises ModelError when arguments or weights do not fit."""
    import torch
    from monai.networks import nets

    try:
        network: torch.nn.Module = getattr(nets, definition.name)(**definition.arguments)
    except Exception as error:
        raise bad_bundle(folder, f"{definition.name}: {error}", "arguments that MONAI takes") from error
    try:
        state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in _unwrapped(state).items()})
    except Exception as error:
        why = f"{WEIGHTS}, which does not load as plain tensors of this network ({type(error).__name__})"
        raise bad_bundle(folder, why, "a state dictionary of the network_def") from error
    return network.eval()


def _unwrapped(state: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    return next((state[key] for key in _WRAPPED if isinstance(state.get(key), Mapping)), state)


@dataclass(frozen=True)
class _Scores:
    """Class scores (classes, i, j, k) on a grid whose axes are parallel to the image's, canonical order."""

    values: FloatVolume
    grid: Grid


def _scores(volume: Volume, config: BundleConfig, network: torch.nn.Module, device: str, folder: Path) -> _Scores:
    """The bundle's transforms on the image as MONAI runs them, and the network on what comes out."""
    import torch
    from monai import transforms
    from monai.data import MetaTensor
    from monai.inferers import sliding_window_inference

    image = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))[None]
    item: Any = MetaTensor(image, affine=torch.from_numpy(_LPS_TO_RAS @ volume.grid.affine))
    try:
        for step in config.preprocessing:
            item = getattr(transforms, step.name)(**step.arguments)(item)
    except Exception as error:
        raise bad_bundle(folder, f"{step.name}: {error}", "transforms that run on one image") from error
    affine = _LPS_TO_RAS @ item.affine.numpy().astype(float)

    def forward(patch: torch.Tensor) -> torch.Tensor:
        out = network(patch)
        scores: torch.Tensor = out[0] if isinstance(out, list | tuple) else out
        return scores

    try:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=device == "cuda"):
            network.to(device)
            tensor = item.as_tensor().float()[None]
            if config.window is None:
                out = forward(tensor.to(device))
            else:
                out = sliding_window_inference(
                    tensor, sw_batch_size=1, predictor=forward, sw_device=device, device="cpu", **config.window
                )
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "the GPU ran out of memory", got=str(error), wanted="more", do="Use --device cpu."
        ) from error
    except RuntimeError as error:
        raise bad_bundle(folder, f"the network on a window: {error}", "a network that runs on its window") from error
    values = out[0].float().cpu().numpy()
    i, j, k = values.shape[1:]
    grid = Grid((i, j, k), affine)
    turn = Reorientation.to_lps(grid)
    return _Scores(np.stack([turn.apply(channel) for channel in values]), turn.grid(grid))


def _on_image(scores: _Scores, grid: Grid, config: BundleConfig, mapped: Mapped) -> dict[str, BoolArray]:
    """Where each class that is used lies on the canonical image grid, by name."""
    lattice, box = _placed(scores.grid, grid)
    names = [name for name in config.classes.values() if name in mapped.targets]
    channels = {name: channel for channel, name in config.classes.items()}
    layers = {name: np.zeros(grid.shape, dtype=np.bool_) for name in names}
    inner: npt.NDArray[np.bool_]
    for i, fields in _slices(scores.values, lattice, grid):
        if not box[0].start <= i < box[0].stop:
            continue
        best = None if config.several else highest(fields)
        for name in names:
            inner = fields[channels[name]] > 0 if best is None else best == channels[name]
            layers[name][i, box[1], box[2]] = inner[box[1], box[2]]
    return layers


def _slices(values: FloatVolume, lattice: Lattice, grid: Grid) -> Iterator[tuple[int, FloatVolume]]:
    return enumerate(slices_onto(values, lattice, grid.shape, grid.spacing_mm))


def _placed(own: Grid, image: Grid) -> tuple[Lattice, tuple[slice, slice, slice]]:
    """Where the network's grid lies in the image's, and the image's voxels that it covers.

    Both are canonical; the transforms that are allowed neither rotate nor shear.
    """
    steps, spacing = own.spacing_mm, image.spacing_mm
    first = image.to_index(own.origin_lps_mm) * spacing
    sides = []
    for axis in range(3):
        low = (first[axis] - 0.5 * steps[axis]) / spacing[axis]
        high = (first[axis] + (own.shape[axis] - 0.5) * steps[axis]) / spacing[axis]
        sides.append(slice(max(int(np.ceil(low - 1e-6)), 0), min(int(np.floor(high + 1e-6)) + 1, image.shape[axis])))
    i, j, k = (float(v) for v in first)
    return Lattice(steps, (i, j, k)), (sides[0], sides[1], sides[2])


def _require_modality(config: BundleConfig, volume: Volume) -> None:
    wanted = {"CT": "CT", "MR": "MR", "MRI": "MR"}.get(config.modality)
    if wanted is not None and volume.modality in ("CT", "MR") and volume.modality != wanted:
        raise SegmentationRefused(
            "the model is for another kind of image",
            got=volume.modality,
            wanted=f"{wanted} (metadata.json of the bundle)",
            do="Choose another model.",
        )
