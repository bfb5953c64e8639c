"""`liverplan cohort`: many cases, resumable, on this machine or on a Ray cluster; `liverplan cohort report`."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from liverplan import RESEARCH_USE_ONLY
from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import DEFAULT_PROTOCOL, Device, ModelName, OnDevice, Pictures, ProtocolName

if TYPE_CHECKING:
    from liverplan.cohort import Options
    from liverplan.cohort.run import Event, Listener, Summary, Todo

_HELP = f"""Plan every case of a table or a folder, and collect the results.

TABLE is CSV or Parquet with the columns id and image, and if wanted segmentation, resection, and the fields of the
clinical record (`liverplan schema cohort`). FOLDER has a sub-folder per case with image.* or dicom/, and masks/.
Everything is checked before the first case runs. A case that fails becomes a row with its reason; run the command
again to go on after an interruption: finished cases are kept. {RESEARCH_USE_ONLY}

Examples:
  liverplan cohort cases.csv -o out
  liverplan cohort folder/ -o out --workers 4 --no-pictures
  liverplan cohort cases.parquet -o out --engine ray --address auto --gpus-per-case 0.5
  liverplan cohort report out
"""


class EngineName(enum.StrEnum):
    """Where cases run."""

    LOCAL = "local"
    RAY = "ray"


class _CohortGroup(TyperGroup):
    """`cohort report OUT` is a verb of its own; anything else that follows `cohort` is a run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and args[0] in ("report", "run")
        return list(super().parse_args(ctx, args if named else ["run", *args]))


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    group = typer.Typer(cls=_CohortGroup, rich_markup_mode=None, add_completion=False, help=_HELP)
    group.command("run", help=_HELP)(run)
    group.command(
        "report", help="Write OUT/cohort.html again from OUT/tables.\n\nExample: liverplan cohort report out"
    )(report)
    app.add_typer(group, name="cohort")


def run(
    source: Annotated[
        Path, typer.Argument(metavar="TABLE|FOLDER", help="The cases: .csv, .tsv, .parquet or a folder.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder of the cohort; an earlier one is gone on with.")
    ],
    engine: Annotated[EngineName, typer.Option(help="Processes of this machine, or actors of a Ray cluster.")] = (
        EngineName.LOCAL
    ),
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default: one on this machine."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Cases at a time. Default: as many as cores and memory allow."),
    ] = None,
    gpus_per_case: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            max=8.0,
            help="Ray: share of a GPU that a case takes. Default: 0.5 where there are GPUs.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Keep finished cases whose inputs have not changed.")] = True,
    retry: Annotated[
        int, typer.Option(metavar="N", min=0, help="Further attempts when a worker dies or runs out of memory or disk.")
    ] = 2,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what was refused or failed in an earlier run.")
    ] = False,
    case_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1.0, help="A case that takes longer fails; the next run tries it again."),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="The first N cases only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would run, plan nothing.")] = (
        False
    ),
    protocol: ProtocolName = DEFAULT_PROTOCOL,
    model: ModelName = None,
    device: OnDevice = Device.AUTO,
    pictures: Pictures = True,
    publish: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Copy the results there at the end, such as s3://bucket/out.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the state of the run there, in Prometheus' text format.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="With --dry-run: what an hour of one worker costs, in your money."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.cohort import Options, Request, read_cohort, run_cohort
    from liverplan.cohort.run import what_is_left

    console = Console(quiet, as_json)
    _require_apart(source, out)
    if engine is not EngineName.RAY and (address is not None or gpus_per_case is not None):
        raise typer.BadParameter("--address and --gpus-per-case are for --engine ray")
    request = Request(protocol, model, device.value, pictures)
    options = Options(engine.value, address, workers, gpus_per_case, resume, retry, retry_failed, limit, case_timeout)
    cases = read_cohort(source)
    if dry_run:
        todo = what_is_left(cases, out, request, options)
        _say_plan(console, len(cases), todo, options, price)
        return
    # Ray prints what a lost node or worker said on stdout, which is for the result alone.
    with _listening(quiet, as_json) as listener, redirect_stdout(sys.stderr):
        summary = run_cohort(cases, out, request, options, _both(listener, metrics))
    if publish is not None:
        _publish(console, out, publish)
    for line in _lines(summary, out):
        console.say(line)
    console.result({"out": str(out), **asdict(summary)})


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `liverplan cohort` wrote.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.cohort.page import write_page

    console = Console(quiet, as_json)
    page = write_page(out)
    console.say(f"report: {page.resolve()}")
    console.result({"out": str(out), "report": str(page)})


def _say_plan(console: Console, total: int, todo: Todo, options: Options, price: float | None) -> None:
    """What would run, in which order, and what it would take."""
    from liverplan.cohort.engine_local import workers_that_fit
    from liverplan.cohort.estimate import estimate

    ids = [task.case.id for task in todo.tasks]
    fit = 1 if options.engine == "ray" else workers_that_fit(len(ids))
    found = estimate(todo.tasks, todo.kept, options.workers or fit, price)
    console.say(f"{total} cases can be used; {len(todo.kept)} are finished, {len(ids)} would be planned")
    if ids:
        shown = ", ".join(ids[:10])
        console.say(f"in this order: {shown}{f' and {len(ids) - 10} more' if len(ids) > 10 else ''}")
        console.say(found.sentence())
    console.result({"cases": total, "kept": len(todo.kept), "to_plan": ids, "estimate": asdict(found)})


def _both(listener: Listener, metrics: Path | None) -> Listener:
    """The listener, and the file for Prometheus where one is wanted."""
    if metrics is None:
        return listener
    from liverplan.cohort.metrics import Metrics

    file = Metrics(metrics)

    def both(event: Event) -> None:
        file(event)
        listener(event)

    return both


def _publish(console: Console, out: Path, address: str) -> None:
    from liverplan.cohort.publish import publish

    new, there = publish(out, address)
    console.say(f"published: {new} cases copied to {address}, {there} were there")


def _require_apart(source: Path, out: Path) -> None:
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise typer.BadParameter("OUT lies inside FOLDER, where it would be taken for a case", param_hint="-o")


def _lines(summary: Summary, out: Path) -> list[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.failures.items()))
    return [
        f"{summary.total} cases: {summary.done} done, {summary.failed} failed{f' ({kinds})' if kinds else ''}; "
        f"{summary.kept} kept from before",
        f"tables: {(out / 'tables').resolve()}",
        f"report: {(out / 'cohort.html').resolve()}",
        RESEARCH_USE_ONLY,
    ]


@contextmanager
def _listening(quiet: bool, as_json: bool) -> Iterator[Listener]:
    """Progress on stderr: lines of JSON with --json, a bar on a terminal, otherwise a line for each failure."""
    if as_json:
        yield _json_line
    elif quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield _plain_line


def _json_line(event: Event) -> None:
    rate, eta = event.cases_per_hour, event.eta_s
    known = {"cases_per_hour": rate and round(rate, 1), "eta_s": eta and round(eta, 1)}
    sys.stderr.write(json.dumps({**asdict(event), **known}) + "\n")
    sys.stderr.flush()


def _plain_line(event: Event) -> None:
    if event.what in ("failed", "again"):
        sys.stderr.write(f"{_failure(event)}\n")


def _failure(event: Event) -> str:
    verb = "failed" if event.what == "failed" else "is tried again"
    return f"{event.case_id} {verb} ({event.stage}): {event.reason}"


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def listener(event: Event) -> None:
            if event.what in ("failed", "again"):
                bar.console.print(escape(_failure(event)), highlight=False)
            ended = event.done + event.failed
            bar.update(task, completed=ended, total=event.total, description=_state(event))

        yield listener


def _state(event: Event) -> str:
    """Done, failed, rate and time left in a few words."""
    words = [f"{event.done} done", f"{event.failed} failed"]
    if event.cases_per_hour is not None and event.eta_s is not None:
        words += [f"{event.cases_per_hour:.0f}/h", f"{_span(event.eta_s)} left"]
    return ", ".join(words)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d}"
