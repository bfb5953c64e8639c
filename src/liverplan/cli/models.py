"""`liverplan models`: which segmentation models there are and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan.cli.console import AsJson, Console

if TYPE_CHECKING:
    from liverplan.segmentation.models import Model

_HELP = """List segmentation models and show what one of them was trained on.

Examples:
  liverplan models list
  liverplan models info liverplan_ct
"""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
    group.command("list", help="List the models that can be used. Example: liverplan models list")(list_models)
    group.command("info", help="Show one model: files, hashes, training data, licence. Example: liverplan models info")(
        info
    )
    app.add_typer(group, name="models")


def list_models(as_json: AsJson = False) -> None:
    from liverplan.segmentation.models import available_models

    console = Console(as_json=as_json)
    found, runs = available_models(), engine()
    for model in found:
        console.say(f"{model.name}  {model.version}  {model.modality}  {model.title}")
    console.say(f"run by: {runs['title']}")
    console.result({"models": [describe(model) for model in found], "engine": runs})


def info(
    name: Annotated[str | None, typer.Argument(metavar="NAME|DIR", help="A model, or a folder with one.")] = None,
    as_json: AsJson = False,
) -> None:
    from liverplan.segmentation.models import find_model, load_stage

    console = Console(as_json=as_json)
    model = find_model(name)
    for stage in model.stages.values():
        load_stage(stage)
    console.say(f"{model.name} {model.version}: {model.title}")
    console.say(f"sha256: {model.sha256}")
    console.say(f"licence: {model.licence}")
    for source in model.trained_on:
        console.say(f"trained on: {source}")
    for stage_name, stage in model.stages.items():
        console.say(f"stage {stage_name}: {stage.bundle}, files intact, weights load")
        console.say(f"model card: {stage.bundle / 'docs' / 'README.md'}")
    runs = engine()
    console.say(f"run by: {runs['title']}")
    console.result(describe(model) | {"engine": runs})


def engine() -> dict[str, str]:
    """What would run the networks here with `--device auto`, by name and in words."""
    from liverplan.segmentation.engines import choose_engine, title

    kind = choose_engine()
    return {"name": kind.value, "title": title(kind)}


def describe(model: Model) -> dict[str, Any]:
    """What `--json` prints for a model."""
    return {
        "name": model.name,
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
