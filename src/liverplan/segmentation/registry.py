"""Writing `registry.toml`: the list of a models folder, with the sha256 of every file that must not change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from liverplan.io.folder import write_text_atomic
from liverplan.segmentation.models import REGISTRY, Kind, Model

_HEAD = "# Models of this folder. Weights load only when their sha256 is the one written here.\n"


def write_entries(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write a registry whole or not at all. content: a table `models` with an entry for each name."""
    path = folder / REGISTRY
    write_text_atomic(path, _HEAD + tomli_w.dumps(dict(content)))
    return path


def write_registry(folder: Path, model: Model, bundles: Mapping[str, str]) -> Path:
    """Write the registry of a folder with one model. bundles: name of each stage's folder inside it."""
    stages = {}
    for name, stage in sorted(model.stages.items()):
        stages[name] = {"bundle": bundles[name], "sha256": dict(sorted(stage.sha256.items()))}
        stages[name] |= {"also": dict(sorted(stage.also.items()))} if stage.also else {}
    entry = {
        **({"kind": model.kind.value} if model.kind is not Kind.CASCADE else {}),
        "title": model.title,
        "version": model.version,
        "modality": model.modality,
        "licence": model.licence,
        "trained_on": list(model.trained_on),
        "structures": list(model.structures),
        "stages": stages,
    }
    return write_entries(folder, {"models": {model.name: entry}})
