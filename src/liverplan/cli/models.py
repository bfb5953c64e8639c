"""`liverplan models`: which segmentation models there are and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan.cli.console import AsJson, Console, Quiet

if TYPE_CHECKING:
    from liverplan.segmentation.models import Model

_HELP = """Segmentation models: which there are, what they were trained on, and how to bring others in.

--model of other commands takes a name of `models list`, `totalsegmentator`, or a folder: a MONAI bundle, an nnU-Net v2
model, a models folder. Weights are never looked for on the internet: a mirror is a folder or an address that you name.

Examples:
  liverplan models list
  liverplan models info liverplan_ct
  liverplan models import Dataset003_Liver/nnUNetTrainer__nnUNetPlans__3d_fullres --name liver-nnunet
  liverplan models pull liver-nnunet --from /mnt/mirror
  liverplan models export liverplan_ct -o liverplan_ct.zip
"""

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of `liverplan models list`.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier export left there.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
    for name, verb, text in (
        ("list", list_models, "List the models that can be used. Example: liverplan models list"),
        ("info", info, "Show one model: files, hashes, classes, licence. Example: liverplan models info liverplan_ct"),
        ("pull", pull, "Fetch a model from a mirror. Example: liverplan models pull NAME --from /mnt/mirror"),
        ("import", import_, "Take a folder or an archive. Example: liverplan models import bundle/ --name mine"),
        ("export", export, "Write a model for others. Example: liverplan models export NAME -o NAME.zip"),
    ):
        group.command(name, help=text)(verb)
    app.add_typer(group, name="models")


def list_models(as_json: AsJson = False) -> None:
    from liverplan.segmentation.backends.nnunet import TOOL as NNUNET
    from liverplan.segmentation.backends.tools import installed_tool
    from liverplan.segmentation.backends.totalsegmentator import TOOL as TOTALSEGMENTATOR
    from liverplan.segmentation.models import available_models, user_folder
    from liverplan.segmentation.transfer import leftovers

    console = Console(as_json=as_json)
    found, runs, broken = available_models(), engine(), leftovers()
    tools = {name: installed_tool(name) is not None for name in (TOTALSEGMENTATOR, NNUNET)}
    for model in found:
        console.say(f"{model.name}  {model.version}  {model.modality}  {model.title}")
    console.say(f"run by: {runs['title']}")
    for name, there in tools.items():
        console.say(f"tool {name}: {'installed' if there else 'not installed'}")
    console.say(f"your own models: {user_folder()}")
    for name in broken:
        console.say(f"not fetched to its end: {name}; pull it again to go on")
    said = {"models": [describe(model) for model in found], "engine": runs, "tools": tools, "unfinished": broken}
    console.result(said)


def info(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR", help="A model, or a folder with one.")] = None,
    as_json: AsJson = False,
) -> None:
    from liverplan.segmentation.models import Kind, find_model, load_stage, verify

    console = Console(as_json=as_json)
    model = find_model(name)
    console.say(f"{model.name} {model.version}: {model.title}".replace(" :", ":"))
    console.say(f"sha256: {model.sha256}")
    console.say(f"licence: {model.licence}")
    for source in model.trained_on:
        console.say(f"trained on: {source}")
    for stage_name, stage in model.stages.items():
        if model.kind is Kind.CASCADE:
            load_stage(stage)
            console.say(f"stage {stage_name}: {stage.bundle}, files intact, weights load")
            console.say(f"model card: {stage.bundle / 'docs' / 'README.md'}")
        else:
            verify(stage)
            console.say(f"{model.kind.value}: {stage.bundle}, files intact")
    meaning = classes(model)
    for label, structure in meaning.items():
        console.say(f"class {label}: {structure or 'not used'}")
    runs = engine()
    console.say(f"run by: {runs['title']}") if model.kind is Kind.CASCADE else None
    console.result(describe(model) | {"engine": runs, "classes": meaning})


def pull(
    name: _Name,
    source: Annotated[str, typer.Option("--from", metavar="FOLDER|URL", help="The mirror: a models folder.")],
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="The model's hash, for a mirror that you do not trust.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.segmentation.transfer import pull_model

    console = Console(quiet, as_json)
    with console.progress(f"pulling {name}") as progress:
        model = pull_model(name, source, progress, sha256)
    _done(console, model, "pulled")


def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A models folder, an exported .zip, a MONAI bundle or an nnU-Net folder."),
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call it.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.segmentation.transfer import import_model

    console = Console(quiet, as_json)
    with console.progress(f"importing {source.name}") as progress:
        model = import_model(source, name, progress)
    _done(console, model, "imported")


def export(
    name: Annotated[str, typer.Argument(metavar="NAME|DIR", help="A model, or a folder with one.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A new folder, or a .zip.")],
    overwrite: _Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.segmentation.models import find_model
    from liverplan.segmentation.transfer import export_model

    console = Console(quiet, as_json)
    model = find_model(name)
    path = export_model(model, out, overwrite)
    console.say(f"exported {model.name} to {path.resolve()}")
    console.result(describe(model) | {"path": str(path.resolve())})


def _done(console: Console, model: Model, what: str) -> None:
    console.say(f"{what} {model.name}, sha256 {model.sha256}")
    console.say(f"use it with: --model {model.name}")
    console.result(describe(model))


def classes(model: Model) -> dict[str, str | None]:
    """What a foreign model's classes are used as, None for those that are not; empty for our own and for tools."""
    from liverplan.segmentation.models import Kind

    if model.kind is Kind.MONAI_BUNDLE:
        from liverplan.segmentation.backends.bundle_config import read_bundle

        folder = model.stages["all"].bundle
        names = list(read_bundle(folder).classes.values())
    elif model.kind is Kind.NNUNET:
        from liverplan.segmentation.backends.nnunet import read_folder

        folder = model.stages["all"].bundle
        names = list(read_folder(folder).labels)
    else:
        return {}
    from liverplan.segmentation.backends.labels import map_names

    targets = map_names(names, folder).targets
    words = {n: s.value if s.value != "couinaud" else f"liver_segment_{number}" for n, (s, number) in targets.items()}
    return {name: words.get(name) for name in names}


def engine() -> dict[str, str]:
    """What would run the networks here with `--device auto`, by name and in words."""
    from liverplan.segmentation.engines import choose_engine, title

    kind = choose_engine()
    return {"name": kind.value, "title": title(kind)}


def describe(model: Model) -> dict[str, Any]:
    """What `--json` prints for a model."""
    return {
        "name": model.name,
        "kind": model.kind.value,
        "title": model.title,
        "version": model.version,
        "modality": model.modality,
        "licence": model.licence,
        "sha256": model.sha256,
        "trained_on": list(model.trained_on),
        "stages": {
            name: {"bundle": str(Path(stage.bundle)), "sha256": dict(stage.sha256)}
            for name, stage in model.stages.items()
        },
    }
