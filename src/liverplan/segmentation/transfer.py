"""Models from one place to another: pulled from a mirror, imported from a folder or an archive, exported for others.

A mirror is a models folder (registry.toml and the files that it lists), on a disk or behind https. Every file is
checked against the registry's sha256 before anything takes the model's name, and a broken transfer goes on where it
stopped.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from liverplan.errors import InputError, ModelError, OutputError
from liverplan.io.folder import atomic_file, output_folder, write_bytes_atomic, writing
from liverplan.segmentation.foreign import foreign_model
from liverplan.segmentation.mirror import Mirror, mirror_at
from liverplan.segmentation.models import (
    REGISTRY,
    Kind,
    Model,
    Stage,
    available_models,
    file_sha256,
    models_folder,
    user_folder,
    verify,
)
from liverplan.segmentation.registry import write_registry

Progress = Callable[[float, str], None]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def pull_model(
    name: str,
    source: str,
    progress: Progress = lambda _fraction, _stage: None,
    sha256: str | None = None,
    into: Path | None = None,
) -> Model:
    """Fetch a model of a mirror into the user's models folder and return it as it lies there.

    source: a folder, or an https address of one. sha256: of the whole model (`liverplan models info`), for a mirror
    that is not trusted; a shipped model's is known. An http address needs it. Raises ModelError, InputError,
    OutputError, ResourceError.
    """
    home = into or user_folder()
    mirror = mirror_at(source, pinned=sha256 is not None)
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    staging = home / f".{_checked(name)}.partial"
    with writing(staging):
        staging.mkdir(exist_ok=True)
    write_bytes_atomic(staging / REGISTRY, mirror.read(REGISTRY))
    model = _listed(staging, name, source)
    _require_hash(model, sha256 or _shipped_hash(name))
    files = [(stage, file) for stage in model.stages.values() for file in (*stage.sha256, *stage.also)]
    for number, (stage, file) in enumerate(files):
        progress(number / len(files), f"fetching {file}")
        _fetch(mirror, stage, file, staging)
    bundles = {s: stage.bundle.relative_to(staging).as_posix() for s, stage in model.stages.items()}
    write_registry(staging, model, bundles)
    _take_name(staging, home / name)
    progress(1.0, "checked")
    return _listed(home / name, name, source)


def import_model(
    source: Path, name: str | None = None, progress: Progress = lambda _fraction, _stage: None, into: Path | None = None
) -> Model:
    """Take a models folder, an archive of one (as `export` writes), a MONAI bundle or an nnU-Net folder.

    name: what to call it; a bundle's or an nnU-Net folder's own name otherwise. Raises as `pull_model`.
    """
    if source.is_file() and zipfile.is_zipfile(source):
        with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
            unpack(source, Path(folder))
            return import_model(Path(folder), name, progress, into)
    if (source / REGISTRY).is_file():
        models = {model.name: model for model in available_models(source)}
        wanted = name or next(iter(models))
        return pull_model(wanted, str(source), progress, into=into)
    foreign = foreign_model(str(source))
    if foreign is None or foreign.kind not in (Kind.MONAI_BUNDLE, Kind.NNUNET):
        raise ModelError(
            "this is no model",
            got=str(source),
            wanted=f"a folder with {REGISTRY}, an archive of one, a MONAI bundle or an nnU-Net v2 model folder",
            do="Check the path.",
        )
    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
        own = replace(foreign, name=_checked(name or _plain(foreign.name)))
        write_model(own, Path(folder))
        return pull_model(own.name, folder, progress, into=into)


def export_model(model: Model, out: Path, overwrite: bool = False) -> Path:
    """Write a model as a folder that serves as a mirror, or as a .zip of one. Raises ModelError, OutputError.

    Model cards and licences go with the weights.
    """
    if model.kind in (Kind.TOTALSEGMENTATOR, Kind.MASKS):
        raise ModelError(
            f"{model.name} cannot be exported",
            got="a tool or masks" if model.kind is Kind.MASKS else "a tool that keeps its weights itself",
            wanted="a model whose files are here",
            do="Install the tool on the other machine.",
        )
    if out.suffix.lower() != ".zip":
        with output_folder(out, overwrite=overwrite) as work:
            write_model(model, work)
        return out
    if out.exists() and not overwrite:
        raise OutputError("the archive exists", got=str(out), wanted="a new name", do="Pass --overwrite to replace it.")
    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder, atomic_file(out) as file:
        write_model(model, Path(folder))
        _pack(Path(folder), file)
    return out


def write_model(model: Model, folder: Path) -> None:
    """Copy a model's files, once they are known to be the right ones, and write the registry beside them."""
    stages, bundles = {}, {}
    for name, stage in model.stages.items():
        verify(stage)
        bundles[name] = model.name if model.kind is not Kind.CASCADE else stage.bundle.name
        also = {file: file_sha256(stage.bundle / file) for file in _company(stage, model.kind)}
        stages[name] = Stage(folder / bundles[name], stage.sha256, also)
        for file in (*stage.sha256, *also):
            target = folder / bundles[name] / file
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stage.bundle / file, target)
    write_registry(folder, replace(model, stages=stages), bundles)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an exported model. Raises ModelError for an archive with names outside of it, or links."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            target = (folder / entry.filename).resolve()
            link = (entry.external_attr >> 16) & 0o170000 == 0o120000
            if not target.is_relative_to(folder.resolve()) or link:
                raise ModelError(
                    "the archive is not one of a model",
                    got=f"an entry {entry.filename!r}",
                    wanted="files inside the archive's own folder",
                    do="Do not use it: `liverplan models export` never writes such an archive.",
                )
        packed.extractall(folder)


def _company(stage: Stage, kind: Kind) -> list[str]:
    """Files that lie beside a stage's own in its bundle, by relative name; a foreign folder's data stays there."""
    known = set(stage.sha256)
    wanted = {"docs", "configs"} if kind is not Kind.NNUNET else set()
    found = [f for f in stage.bundle.rglob("*") if f.is_file() and not f.is_symlink()]
    names = [f.relative_to(stage.bundle) for f in found]
    kept = [n for n in names if n.parts[0] in wanted or (len(n.parts) == 1 and n.name.upper().startswith("LICEN"))]
    return sorted(n.as_posix() for n in kept if n.as_posix() not in known)


def _fetch(mirror: Mirror, stage: Stage, file: str, staging: Path) -> None:
    """One file, unless it is there already; what there is of it is continued."""
    target, digest = stage.bundle / file, stage.sha256.get(file) or stage.also[file]
    if target.is_file() and file_sha256(target) == digest:
        return
    partial, name = target.with_name(f"{target.name}.part"), target.relative_to(staging).as_posix()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        begun = partial.exists()
        got = _continued(mirror, name, partial)
        if got != digest and begun:  # what was begun belonged to an earlier version
            partial.unlink()
            got = _continued(mirror, name, partial)
        if got == digest:
            partial.replace(target)
            return
        partial.unlink()
    raise ModelError(
        "a file of the mirror is damaged or is not the one that its registry lists",
        got=f"{name} with sha256 {got[:16]}...",
        wanted=f"sha256 {digest[:16]}...",
        do="Try again, or use another mirror. Nothing of it was installed.",
    )


def _continued(mirror: Mirror, name: str, partial: Path) -> str:
    """Fetch what a file lacks, and the sha256 of the whole."""
    with partial.open("ab") as kept:
        mirror.append(name, kept)
    return file_sha256(partial)


def _take_name(staging: Path, target: Path) -> None:
    """The model takes its name; an earlier version of it goes."""
    with writing(target):
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        staging.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _listed(folder: Path, name: str, source: str) -> Model:
    models = {model.name: model for model in available_models(folder)}
    if name not in models:
        raise ModelError(
            "the mirror does not have this model",
            got=f"{source} with {', '.join(models) or 'no models'}",
            wanted=name,
            do="Choose one of its models, or another mirror.",
        )
    return models[name]


def _require_hash(model: Model, wanted: str | None) -> None:
    if wanted is not None and model.sha256 != wanted.lower():
        raise ModelError(
            "the mirror has another model under this name",
            got=f"{model.name} with sha256 {model.sha256}",
            wanted=wanted,
            do="Check the hash. The name of a shipped model is kept for that very model.",
        )


def _shipped_hash(name: str) -> str | None:
    """A shipped model's hash, which goes before what a mirror says; None for any other, or where none are shipped."""
    try:
        return next((m.sha256 for m in available_models(models_folder()) if m.name == name), None)
    except ModelError:
        return None


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(
            "this is no name for a model",
            got=repr(name),
            wanted="small letters, digits, points, dashes and underscores, 64 at most",
            do="Give another --name.",
        )
    return name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "model"


def _pack(folder: Path, file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            packed.write(path, path.relative_to(folder).as_posix())


def leftovers(into: Path | None = None) -> list[str]:
    """Names of models whose transfer was broken off; pulling them again goes on there."""
    return sorted(p.name[1 : -len(".partial")] for p in (into or user_folder()).glob(".*.partial"))
