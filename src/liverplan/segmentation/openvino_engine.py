"""Networks on the CPU by OpenVINO, which fuses normalisation and activation: same scores in about half the time.

A network is converted once per weights and OpenVINO version, compared with PyTorch on one window, and kept in the
user's cache; from then on neither PyTorch nor MONAI is loaded. Importing `openvino` would report the use to its makers
through the package `openvino-telemetry`; software that sees patients does not, so that package is kept out.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.segmentation.cache import cache_folder, read_sealed, write_sealed
from liverplan.segmentation.models import Stage, StageSettings, load_network
from liverplan.segmentation.windows import FloatVolume, Window

if TYPE_CHECKING:
    import torch

SCORE_TOLERANCE = 0.01
"""Largest difference to PyTorch's scores (logits, about -20 to 20) on a window: moves no probability by more than
0.0025. On the shipped networks 0.0016 was measured."""
_FORMAT = 1
"""Of the cached file; goes up when what is stored changes."""
_LENGTH_BYTES = 8
_TRACED_SIDE = 2
"""Voxels of the smallest layer while tracing: one alone cannot be normalised."""


class OpenVinoEngine:
    """A compiled network. Its scores are overwritten by the next call."""

    notes: tuple[str, ...] = ()

    def __init__(self, compiled: Any) -> None:
        self.name = title()
        self._request = compiled.create_infer_request()

    def __call__(self, patch: FloatVolume) -> FloatVolume:
        result = self._request.infer([patch[None, None]], share_inputs=True, share_outputs=True)
        scores: FloatVolume = result[0][0]
        return scores


def installed() -> bool:
    """Whether OpenVINO is there; it is not imported."""
    return find_spec("openvino") is not None


def title() -> str:
    """How the engine is named in notes."""
    try:
        return f"OpenVINO {version('openvino')} on the CPU"
    except PackageNotFoundError:
        return "OpenVINO on the CPU"


def load_openvino(stage: Stage, settings: StageSettings) -> OpenVinoEngine:
    """Compile a stage, from the cache when its converted form is there.

    Raises ModelError when weights do not load, RuntimeError or ImportError when OpenVINO cannot run the network.
    """
    path = cache_folder() / f"{_key(stage, settings)}.openvino"
    kept = _from_cache(path)
    if kept is not None:
        return kept
    network = load_network(stage)
    xml, weights = _converted(network, settings)
    engine = OpenVinoEngine(_compile(xml, weights))
    _require_same_scores(engine, network, settings.window)
    write_sealed(path, len(xml).to_bytes(_LENGTH_BYTES, "little") + xml + weights)
    return engine


def _from_cache(path: Path) -> OpenVinoEngine | None:
    content = read_sealed(path)
    if content is None:
        return None
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    xml, weights = content[_LENGTH_BYTES : _LENGTH_BYTES + length], content[_LENGTH_BYTES + length :]
    try:
        return OpenVinoEngine(_compile(xml, weights))
    except RuntimeError:  # made by something else than this program: made anew
        return None


def _key(stage: Stage, settings: StageSettings) -> str:
    parts = (_FORMAT, version("openvino"), settings.window, *sorted(stage.sha256.items()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _openvino() -> Any:
    """The module, without its telemetry."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _converted(network: torch.nn.Module, settings: StageSettings) -> tuple[bytes, bytes]:
    """OpenVINO's description of a network (XML) and its weights, for one window at a time."""
    openvino = _openvino()
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # Traced on a small window, and by the frontend itself: `convert_model` loads torch.compile, which takes seconds.
    example = torch.zeros(1, 1, *[_TRACED_SIDE * settings.network.multiple] * 3)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about checks of shapes, which are fixed here
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
    decoder = TorchScriptPythonDecoder(traced, example_input=(example,))  # the frontend keeps no reference to it
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([1, 1, *settings.window])
    return _serialised(openvino, model)


def _serialised(openvino: Any, model: Any) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _compile(xml: bytes, weights: bytes) -> Any:
    core = _openvino().Core()
    # Pinned threads of several processes would share one core.
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
        **_thread_limit(),
    }
    return core.compile_model(core.read_model(model=xml, weights=weights), "CPU", settings)


def _thread_limit() -> dict[str, int]:
    """OMP_NUM_THREADS, which OpenVINO does not read: cohorts give every worker its share of the cores with it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return {"INFERENCE_NUM_THREADS": int(wanted)} if wanted.isdigit() and int(wanted) > 0 else {}


def _require_same_scores(engine: OpenVinoEngine, network: torch.nn.Module, window: Window) -> None:
    """Raise RuntimeError unless the converted network scores noise as PyTorch does."""
    import torch

    patch = np.random.default_rng(0).uniform(-1, 1, window).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(patch)[None, None])[0].numpy()
    off = float(np.abs(engine(patch) - wanted).max())
    if not off <= SCORE_TOLERANCE:
        raise RuntimeError(f"scores differ from PyTorch's by {off:.3g}")
