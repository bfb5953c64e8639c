"""Which models there are, where their files lie, and whether those are the files that were published.

A models folder holds `registry.toml` and one MONAI bundle per network (or a foreign model's folder). Weights are plain
state dictionaries, read with `weights_only=True` and only when their sha256 is the registry's.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from liverplan.errors import ModelError
from liverplan.segmentation.intensity import FORMATS, HOUNSFIELD
from liverplan.segmentation.networks import NetworkSpec, build_network

if TYPE_CHECKING:
    import torch

REGISTRY = "registry.toml"
DEFAULT_MODEL = "liverplan_ct"
MODEL_OF = {"CT": DEFAULT_MODEL, "MR": "liverplan_mr"}
"""The shipped model for each modality."""


class Kind(enum.StrEnum):
    """What runs a model; see `liverplan.segmentation.backends`."""

    CASCADE = "cascade"
    MONAI_BUNDLE = "monai_bundle"
    NNUNET = "nnunet"
    TOTALSEGMENTATOR = "totalsegmentator"
    MASKS = "masks"


@dataclass(frozen=True)
class Stage:
    """One network: a bundle folder and the sha256 of every file in it that must not change.

    also: sha256 of files that come with it (model card, licence) and have no say in what it computes.
    """

    bundle: Path
    sha256: Mapping[str, str]
    also: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model of any kind. `stages` holds "locate" and "segment" for our cascade, "all" for one folder, and nothing for
    a tool that keeps its weights itself. structures: names of those that its masks are good enough for; empty: all."""

    name: str
    title: str
    version: str
    modality: str
    licence: str
    trained_on: tuple[str, ...]
    stages: Mapping[str, Stage]
    kind: Kind = Kind.CASCADE
    structures: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """One hash for the whole model: over the hashes of its files in order of stage and name; for a tool that keeps
        its weights itself over its name and version."""
        lines = [f"{s}/{f}:{h}" for s, stage in sorted(self.stages.items()) for f, h in sorted(stage.sha256.items())]
        lines = lines or [f"{self.name} {self.version}"]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, str]:
        """What a segmentation says of its model."""
        return {"name": self.name, "sha256": self.sha256}


@dataclass(frozen=True)
class StageSettings:
    """What a stage's `inference.json` says: the network's shape, the grid it works on, and its windows.

    confidence_factors: by structure, what to multiply the Dice with that the network expects of itself.
    """

    network: NetworkSpec
    spacing_mm: float
    window: tuple[int, int, int]
    overlap: float
    intensity: str = HOUNSFIELD
    confidence_factors: Mapping[str, float] = field(default_factory=dict, hash=False)

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


def user_folder() -> Path:
    """Where pulled and imported models lie, a folder each: $LIVERPLAN_MODELS, or the user's data folder."""
    told = os.environ.get("LIVERPLAN_MODELS")
    if told:
        return Path(told)
    import platformdirs

    return platformdirs.user_data_path("liverplan", appauthor=False) / "models"


def available_models(folder: Path | None = None) -> tuple[Model, ...]:
    """The models of a folder, the default model first; without a folder the shipped ones and the user's own.

    A cascade of which only one network was trained so far is passed over, as long as the folder holds another model.
    Raises ModelError.
    """
    if folder is None:
        return (*available_models(models_folder()), *user_models())
    raw = _read_registry(folder / REGISTRY)
    try:
        entries = raw["models"]
        whole = {name: entry for name, entry in entries.items() if not _half_trained(entry)}
        models = [_model(folder, name, entry) for name, entry in (whole or entries).items()]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _bad_registry(folder / REGISTRY, f"an entry without {error}") from error
    return tuple(sorted(models, key=lambda m: (m.name != DEFAULT_MODEL, m.name)))


def user_models() -> tuple[Model, ...]:
    """What was pulled and imported, by name. Raises ModelError."""
    registries = sorted(user_folder().glob(f"[!.]*/{REGISTRY}"))
    return tuple(model for path in registries for model in available_models(path.parent))


def model_for(modality: str) -> Model:
    """The shipped model for images of a modality; the default one where none is made for it. Raises ModelError."""
    wanted = MODEL_OF.get(modality, DEFAULT_MODEL)
    shipped = {model.name: model for model in available_models(models_folder())}
    return shipped[wanted] if wanted in shipped else find_model()


def find_model(model: str | Path | None = None, modality: str | None = None) -> Model:
    """A shipped or installed model by name, the default one, or what a folder holds. Raises ModelError.

    modality: of the image, which decides among the shipped models and where a folder holds several.
    """
    if model is None and modality is not None:
        return model_for(modality)
    if model is not None and (Path(model) / REGISTRY).is_file():
        held = available_models(Path(model))
        return next((m for m in held if m.modality == modality), held[0])
    known = available_models(models_folder())
    wanted = DEFAULT_MODEL if model is None else str(model)
    for candidate in known:
        if candidate.name == wanted:
            return candidate
    own = user_models()  # looked at after the shipped ones, which a broken registry of the user's must not hide
    for candidate in own:
        if candidate.name == wanted:
            return candidate
    from liverplan.segmentation.foreign import foreign_model

    foreign = foreign_model(wanted)
    if foreign is not None:
        return foreign
    raise ModelError(
        "there is no such model",
        got=str(model),
        wanted=f"one of {', '.join(m.name for m in (*known, *own))}, totalsegmentator, or a folder with a {REGISTRY}, "
        "a MONAI bundle, an nnU-Net v2 model or masks",
        do="See `liverplan models list`.",
    )


def verify(stage: Stage) -> None:
    """Raise ModelError unless every file that the registry lists for a stage is there and the published one."""
    for name, digest in stage.sha256.items():
        _require_file(stage.bundle / name, digest)


def read_settings(stage: Stage) -> StageSettings:
    """A stage's settings, once its files are known to be the published ones. Raises ModelError when they are not."""
    verify(stage)
    raw = _read_json(stage.bundle / "configs" / "inference.json")
    try:
        spec = NetworkSpec.from_definition(raw["network_def"])
        i, j, k = (int(n) for n in raw["window"])
        intensity = str(raw.get("intensity", HOUNSFIELD))
        if intensity not in FORMATS.values():
            raise ValueError(f"intensity {intensity!r}")
        factors = {str(name): float(f) for name, f in dict(raw.get("confidence_factors", {})).items()}
        if not all(0.0 < factor <= 1.0 for factor in factors.values()):
            raise ValueError(f"confidence_factors {factors}, not above 0 and at most 1")
        return StageSettings(spec, float(raw["spacing_mm"]), (i, j, k), float(raw["overlap"]), intensity, factors)
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


def _half_trained(entry: Mapping[str, Any]) -> bool:
    return entry.get("kind", Kind.CASCADE.value) == Kind.CASCADE.value and len(entry.get("stages", {})) == 1


def _model(folder: Path, name: str, entry: Mapping[str, Any]) -> Model:
    kind = Kind(entry.get("kind", Kind.CASCADE.value))
    stages = {stage: _stage(folder, value) for stage, value in entry["stages"].items()}
    if set(stages) != ({"locate", "segment"} if kind is Kind.CASCADE else {"all"}):
        raise KeyError("the stages locate and segment, or all")
    return Model(
        name,
        str(entry["title"]),
        str(entry["version"]),
        str(entry["modality"]),
        str(entry["licence"]),
        tuple(str(t) for t in entry["trained_on"]),
        stages,
        kind,
        tuple(str(name) for name in entry.get("structures", ())),
    )


def _stage(folder: Path, entry: Mapping[str, Any]) -> Stage:
    bundle = _inside(str(entry["bundle"]))
    files, also = ({_inside(str(k)): str(v) for k, v in entry.get(table, {}).items()} for table in ("sha256", "also"))
    if not files:
        raise KeyError("files and their sha256")
    return Stage(folder / bundle, files, also)


def _inside(name: str) -> str:
    """A relative path that stays in its folder. Raises ValueError: a registry may come from anywhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or name in ("", "."):
        raise ValueError(f"a path inside the models folder, but {name!r}")
    return name


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
