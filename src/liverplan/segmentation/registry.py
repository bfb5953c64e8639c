"""Writing `registry.toml`: the list of a models folder, with the sha256 of every file that must not change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from liverplan.io.folder import write_text_atomic
from liverplan.segmentation.models import REGISTRY, Kind, Model


def write_registry(folder: Path, model: Model, bundles: Mapping[str, str]) -> Path:
    """Write the registry of a folder with one model. bundles: name of each stage's folder inside it."""
    lines = [
        "# Models of this folder. Weights load only when their sha256 is the one written here.",
        f"[models.{json.dumps(model.name)}]",
        *([f"kind = {json.dumps(model.kind.value)}"] if model.kind is not Kind.CASCADE else []),
        f"title = {json.dumps(model.title)}",
        f"version = {json.dumps(model.version)}",
        f"modality = {json.dumps(model.modality)}",
        f"licence = {json.dumps(model.licence)}",
        f"trained_on = {json.dumps(list(model.trained_on))}",
    ]
    for name, stage in sorted(model.stages.items()):
        head = f"models.{json.dumps(model.name)}.stages.{json.dumps(name)}"
        lines += ["", f"[{head}]", f"bundle = {json.dumps(bundles[name])}"]
        lines += _table(f"{head}.sha256", stage.sha256)
        lines += _table(f"{head}.also", stage.also) if stage.also else []
    path = folder / REGISTRY
    write_text_atomic(path, "\n".join(lines) + "\n")
    return path


def _table(head: str, digests: Mapping[str, str]) -> list[str]:
    """JSON's strings are TOML's."""
    return [f"[{head}]", *(f"{json.dumps(name)} = {json.dumps(digest)}" for name, digest in sorted(digests.items()))]
