"""What computes a network: OpenVINO on the CPU, PyTorch on the CPU, PyTorch on a GPU. One protocol, same labels.

`choose_engine` decides from what is installed and there, without loading it; `load_engine` makes a stage ready to run.
An engine that cannot run hands over to the next one and says so in its notes; docs/segmentation.md has the speeds.
"""

from __future__ import annotations

import ctypes
import enum
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from liverplan.errors import LiverplanError, ResourceError
from liverplan.segmentation import openvino_engine
from liverplan.segmentation.models import Stage, StageSettings, load_network
from liverplan.segmentation.windows import FloatVolume

if TYPE_CHECKING:
    import torch


ENGINES_KEPT = 2
"""The two networks of a cascade, for each thread that segments."""
_kept = threading.local()


class Engine(Protocol):
    """A network with its weights, on some device."""

    @property
    def name(self) -> str:
        """Library, version and device, for a sentence: "OpenVINO 2026.4.1 on the CPU"."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what did not go as asked for."""

    def __call__(self, patch: FloatVolume) -> FloatVolume:
        """Scores (classes, i, j, k) of a scaled window (i, j, k). May be overwritten by the next call."""


class EngineKind(enum.StrEnum):
    """An engine and its device."""

    OPENVINO = "openvino"
    TORCH = "torch"
    TORCH_CUDA = "torch-cuda"


class TorchEngine:
    """PyTorch on "cpu" in full precision, or on "cuda" with autocast to half precision."""

    notes: tuple[str, ...] = ()

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        self.name = title(EngineKind.TORCH_CUDA if device == "cuda" else EngineKind.TORCH)
        self._network = network.to(device)
        self._device = device

    def __call__(self, patch: FloatVolume) -> FloatVolume:
        import torch

        half = torch.autocast("cuda", torch.float16, enabled=self._device == "cuda")
        with torch.inference_mode(), half:
            scores = self._network(torch.from_numpy(patch)[None, None].to(self._device))[0]
        array: FloatVolume = scores.float().cpu().numpy()
        return array


class UntilMemoryEnds:
    """An engine until its device has no memory left, then another one for the rest.

    The other one is on the CPU and sees the same windows: smaller windows would normalise differently, and so label
    differently.
    """

    def __init__(self, first: Callable[[], Engine], then: Callable[[], Engine]) -> None:
        self._load_other = then
        self._gave_up = False
        try:
            self._engine = first()
        except RuntimeError as error:
            self._hand_over(error)

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def notes(self) -> tuple[str, ...]:
        said = ("The GPU ran out of memory: the networks ran on the CPU instead.",) if self._gave_up else ()
        return (*said, *self._engine.notes)

    def __call__(self, patch: FloatVolume) -> FloatVolume:
        try:
            return self._engine(patch)
        except RuntimeError as error:
            self._hand_over(error)
        return self._engine(patch)

    def _hand_over(self, error: RuntimeError) -> None:
        if self._gave_up or not _is_out_of_memory(error):
            raise error
        self._gave_up = True
        self._engine = self._load_other()


class _Noted:
    """An engine that stands in for another one, with the reason."""

    def __init__(self, engine: Engine, note: str) -> None:
        self._engine = engine
        self.name = engine.name
        self.notes = (note, *engine.notes)

    def __call__(self, patch: FloatVolume) -> FloatVolume:
        return self._engine(patch)


def choose_device(device: str) -> str:
    """ "cuda" or "cpu". Raises ResourceError when CUDA is asked for and not there."""
    if device == "cpu" or (device == "auto" and not _has_nvidia_driver()):
        return "cpu"
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ResourceError(
            "there is no CUDA device",
            got="--device cuda",
            wanted="an NVIDIA GPU that PyTorch can use",
            do="Use --device cpu.",
        )
    return "cuda" if there else "cpu"


def choose_engine(device: str = "auto", engine: str = "auto") -> EngineKind:
    """What runs the networks: a GPU when there is one, else OpenVINO when it is installed, else PyTorch.

    device: "auto", "cpu", "cuda". engine: "auto", "openvino" (CPU only), "torch". Raises ResourceError when what is
    asked for is not there.
    """
    if engine == "openvino":
        return _require_openvino(device)
    if choose_device(device) == "cuda":
        return EngineKind.TORCH_CUDA
    use_openvino = engine == "auto" and openvino_engine.installed()
    return EngineKind.OPENVINO if use_openvino else EngineKind.TORCH


def title(kind: EngineKind) -> str:
    """The engine in words; nothing is loaded."""
    if kind is EngineKind.OPENVINO:
        return openvino_engine.title()
    return f"PyTorch {version('torch')} on the {'GPU' if kind is EngineKind.TORCH_CUDA else 'CPU'}"


def load_engine(stage: Stage, settings: StageSettings, kind: EngineKind) -> Engine:
    """A stage ready to run. Raises ModelError when its weights do not load.

    Kept for the next image of this thread, under the sha256 of its files (which `read_settings` has compared): an
    engine's scores are overwritten by its next call, so that threads cannot share one. An engine that had to hand over
    is not kept: the next image may find room on the GPU again.
    """
    kept: OrderedDict[tuple[object, ...], Engine] = _kept.__dict__.setdefault("engines", OrderedDict())
    key = (stage.bundle.resolve(), tuple(sorted(stage.sha256.items())), settings, kind)
    engine = kept.pop(key, None)
    if engine is None or engine.notes:
        engine = _load(stage, settings, kind)
    if not engine.notes:
        kept[key] = engine
    while len(kept) > ENGINES_KEPT:
        kept.popitem(last=False)
    return engine


def _load(stage: Stage, settings: StageSettings, kind: EngineKind) -> Engine:
    if kind is EngineKind.TORCH:
        return TorchEngine(load_network(stage), "cpu")
    if kind is EngineKind.TORCH_CUDA:
        return UntilMemoryEnds(
            lambda: TorchEngine(load_network(stage), "cuda"),
            lambda: _load(stage, settings, choose_engine("cpu")),
        )
    try:
        return openvino_engine.load_openvino(stage, settings)
    except LiverplanError:
        raise
    except Exception as error:  # whatever a foreign runtime raises: PyTorch computes the same
        note = f"OpenVINO could not run the network ({type(error).__name__}): PyTorch did, more slowly."
        return _Noted(_load(stage, settings, EngineKind.TORCH), note)


def _require_openvino(device: str) -> EngineKind:
    if device == "cuda":
        raise ResourceError(
            "OpenVINO runs on the CPU only",
            got="--device cuda with the engine openvino",
            wanted="--device cpu, or the engine torch",
            do="Leave one of the two options away.",
        )
    if not openvino_engine.installed():
        raise ResourceError(
            "OpenVINO is not installed",
            got="the engine openvino",
            wanted="the Python package openvino",
            do="Install it with `pip install openvino`, or leave the option away: PyTorch labels the same.",
        )
    return EngineKind.OPENVINO


def _has_nvidia_driver() -> bool:
    """Whether NVIDIA's driver library loads: asking PyTorch takes seconds, and mostly there is none."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _is_out_of_memory(error: RuntimeError) -> bool:
    """PyTorch's own error, or the words of cuDNN and cuBLAS when they get no memory."""
    text = str(error)
    return "out of memory" in text or "ALLOC_FAILED" in text
