"""Which models there are, where their files lie, and whether those are the files that were published.

A models folder holds `registry.toml` and one MONAI bundle per network. Weights are plain state dictionaries, read with
`weights_only=True` and only when their sha256 is the registry's.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverplan.errors import ModelError
from liverplan.segmentation.networks import NetworkSpec, build_network

if TYPE_CHECKING:
    import torch

REGISTRY = "registry.toml"
DEFAULT_MODEL = "liverplan_ct"


@dataclass(frozen=True)
class Stage:
    """One network of a cascade: a bundle folder and the sha256 of every file in it that must not change."""

    bundle: Path
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """A cascade of two networks. `stages` holds "locate" and "segment"."""

    name: str
    title: str
    version: str
    modality: str
    licence: str
    trained_on: tuple[str, ...]
    stages: Mapping[str, Stage]

    @property
    def sha256(self) -> str:
        """One hash for the whole cascade: over the hashes of its weight files in order of stage and name."""
        lines = [f"{s}/{f}:{h}" for s, stage in sorted(self.stages.items()) for f, h in sorted(stage.sha256.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class StageSettings:
    """What a stage's `inference.json` says: the network's shape, the grid it works on, and its windows."""

    network: NetworkSpec
    spacing_mm: float
    window: tuple[int, int, int]
    overlap: float

    @property
    def n_classes(self) -> int:
        return self.network.out_channels


@dataclass(frozen=True)
class LoadedStage:
    """A PyTorch network with its weights and the grid it works on."""

    network: torch.nn.Module
    spacing_mm: float
    window: tuple[int, int, int]
    overlap: float
    n_classes: int


def models_folder() -> Path:
    """The shipped models: inside an installed wheel, or beside the sources. Raises ModelError when there are none."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "models", package.parents[1] / "models"):
        if (folder / REGISTRY).is_file():
            return folder
    raise ModelError(
        "the shipped models are not there",
        got=f"no {REGISTRY} beside the package",
        wanted="the models folder of this distribution",
        do="Install liverplan again, or give --model FOLDER.",
    )


def available_models(folder: Path | None = None) -> tuple[Model, ...]:
    """The models of a folder (default: the shipped ones), the default model first. Raises ModelError."""
    folder = folder or models_folder()
    raw = _read_registry(folder / REGISTRY)
    try:
        models = [_model(folder, name, entry) for name, entry in raw["models"].items()]
    except (KeyError, TypeError, AttributeError) as error:
        raise _bad_registry(folder / REGISTRY, f"an entry without {error}") from error
    return tuple(sorted(models, key=lambda m: (m.name != DEFAULT_MODEL, m.name)))


def find_model(model: str | Path | None = None) -> Model:
    """A shipped model by name, the default one, or the model of a folder with a registry. Raises ModelError."""
    if model is not None and (Path(model) / REGISTRY).is_file():
        return available_models(Path(model))[0]
    shipped = available_models()
    wanted = DEFAULT_MODEL if model is None else str(model)
    for candidate in shipped:
        if candidate.name == wanted:
            return candidate
    raise ModelError(
        "there is no such model",
        got=str(model),
        wanted=f"one of {', '.join(m.name for m in shipped)}, or a folder with a {REGISTRY}",
        do="See `liverplan models list`.",
    )


def read_settings(stage: Stage) -> StageSettings:
    """A stage's settings, once its files are known to be the published ones. Raises ModelError when they are not."""
    for name, digest in stage.sha256.items():
        _require_file(stage.bundle / name, digest)
    raw = _read_json(stage.bundle / "configs" / "inference.json")
    try:
        spec = NetworkSpec.from_definition(raw["network_def"])
        i, j, k = (int(n) for n in raw["window"])
        return StageSettings(spec, float(raw["spacing_mm"]), (i, j, k), float(raw["overlap"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_bundle(stage.bundle, str(error)) from error


def load_network(stage: Stage) -> torch.nn.Module:
    """A stage's network with its weights, on the CPU. Raises ModelError when a file is missing or does not fit."""
    settings = read_settings(stage)
    # Threads that spin while they wait cost half as much again as the work; read when torch loads, unless set already.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    network = build_network(settings.network)
    _load_weights(network, stage.bundle / "models" / "model.pt")
    return network.eval()


def load_stage(stage: Stage, device: str = "cpu") -> LoadedStage:
    """A stage's network and settings. Raises ModelError when a file is missing or does not fit."""
    settings = read_settings(stage)
    network = load_network(stage).to(device)
    return LoadedStage(network, settings.spacing_mm, settings.window, settings.overlap, settings.n_classes)


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_weights(network: torch.nn.Module, path: Path) -> None:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v.float() for k, v in state.items()})
    except Exception as error:
        raise _bad_bundle(path.parents[1], f"weights that do not fit the network ({type(error).__name__})") from error


def _require_file(path: Path, digest: str) -> None:
    if not path.is_file():
        raise ModelError(
            "a file of the model is missing",
            got=f"no {path.name} in {path.parent}",
            wanted="the file that the registry lists",
            do="Install liverplan again; weights are never made up.",
        )
    if (got := file_sha256(path)) != digest:
        raise ModelError(
            "a file of the model is damaged or is not the published one",
            got=f"{path.name} with sha256 {got[:16]}...",
            wanted=f"sha256 {digest[:16]}... as the registry says",
            do="Install liverplan again. After training of your own, write the bundle with `liverplan train`.",
        )


def _read_registry(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad_registry(path, str(error)) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad_bundle(path.parents[1], str(error)) from error
    if not isinstance(settings, dict):
        raise _bad_bundle(path.parents[1], "settings that are not an object")
    return settings


def _model(folder: Path, name: str, entry: Mapping[str, Any]) -> Model:
    stages = {
        stage: Stage(folder / str(value["bundle"]), {str(k): str(v) for k, v in value["sha256"].items()})
        for stage, value in entry["stages"].items()
    }
    if set(stages) != {"locate", "segment"}:
        raise KeyError("the stages locate and segment")
    return Model(
        name,
        str(entry["title"]),
        str(entry["version"]),
        str(entry["modality"]),
        str(entry["licence"]),
        tuple(str(t) for t in entry["trained_on"]),
        stages,
    )


def _bad_registry(path: Path, got: str) -> ModelError:
    return ModelError(
        "the model registry does not load",
        got=f"{path}: {got}",
        wanted="registry.toml as in the models folder of this distribution",
        do="Install liverplan again, or correct the file.",
    )


def _bad_bundle(bundle: Path, got: str) -> ModelError:
    return ModelError(
        f"the bundle {bundle.name} does not load",
        got=got,
        wanted="a bundle written by `liverplan train`",
        do="Install liverplan again, or write the bundle anew.",
    )
