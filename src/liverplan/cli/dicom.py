"""`liverplan dicom`: studies from and to an image archive, and the receiver that plans what arrives."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from liverplan import RESEARCH_USE_ONLY, audit
from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import (
    DEFAULT_PROTOCOL,
    KEY_HELP,
    DeidentifyKey,
    Device,
    ModelName,
    NewFolder,
    OnDevice,
    Overwrite,
    Pictures,
    ProtocolName,
    Pseudonym,
)

_HELP = f"""Image archives (PACS): find, fetch and send studies, and plan studies as they arrive.

ARCHIVE is AET@host:port (C-FIND, C-MOVE, C-STORE) or the https URL of a DICOMweb service. A service that asks for
credentials gets those in LIVERPLAN_DICOMWEB_TOKEN, or LIVERPLAN_DICOMWEB_USER and LIVERPLAN_DICOMWEB_PASSWORD.
{RESEARCH_USE_ONLY}

Examples:
  liverplan dicom query ORTHANC@127.0.0.1:4242 --date 20260101-
  liverplan dicom retrieve https://pacs.example/dicom-web 1.2.840.1 -o scan
  liverplan dicom send ORTHANC@127.0.0.1:4242 out
  liverplan dicom listen --state /var/lib/liverplan --send-to ORTHANC@127.0.0.1:4242
"""

_Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="AET@host:port, or the URL of a DICOMweb service.")]
_Title = Annotated[str, typer.Option("--aet", metavar="AET", help="What this program calls itself.")]
_Host = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on; this machine only by default.")]
_Port = Annotated[int, typer.Option(min=0, max=65535, help="TCP port to listen on; 0 takes a free one.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
    for name, verb, text in (
        ("query", query, "List studies, or a study's series. Example: liverplan dicom query ARCHIVE --patient-id 42"),
        ("retrieve", retrieve, "Fetch a study. Example: liverplan dicom retrieve ARCHIVE 1.2.840.1 -o scan"),
        ("send", send, "Send the results of a plan, or DICOM files. Example: liverplan dicom send ARCHIVE out"),
        ("listen", listen, _LISTEN),
        ("deidentify", deidentify, _DEIDENTIFY),
    ):
        group.command(name, help=text)(verb)
    app.add_typer(group, name="dicom")


def query(
    archive: _Archive,
    patient_id: Annotated[str, typer.Option(metavar="ID", help="Patient ID; * and ? match more.")] = "",
    patient_name: Annotated[str, typer.Option(metavar="NAME", help="Family^Given; * and ? match more.")] = "",
    date: Annotated[str, typer.Option(metavar="DATE", help="Study date YYYYMMDD, or FROM-TO.")] = "",
    modality: Annotated[str, typer.Option(metavar="CODE", help="CT, MR, SEG ...")] = "",
    accession: Annotated[str, typer.Option(metavar="NUMBER", help="Accession number.")] = "",
    study: Annotated[str, typer.Option(metavar="UID", help="List the series of this study.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
    aet: _Title = "LIVERPLAN",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    _require_extra()
    from liverplan.pacs.addresses import parse_address, require_title, require_uid
    from liverplan.pacs.archive import query as ask
    from liverplan.pacs.find import Wanted, plain

    console = Console(quiet, as_json)
    study = require_uid(study, "the study") if study else ""
    wanted = Wanted(patient_id, patient_name, date, modality, accession, study)
    rows = ask(parse_address(archive), wanted, require_title(aet), limit)
    for row in rows:
        console.say(plain(row))
    if len(rows) == limit:
        console.say(f"the first {limit}; --limit shows more")
    console.result({"series" if study else "studies": rows})


def retrieve(
    archive: _Archive,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study instance UID.")],
    out: NewFolder,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Only this series.")] = None,
    aet: _Title = "LIVERPLAN",
    host: _Host = "127.0.0.1",
    port: _Port = 11112,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    _require_extra()
    from liverplan.pacs.addresses import Node, parse_address, require_title
    from liverplan.pacs.archive import retrieve as fetch
    from liverplan.pacs.receiver import Receiver

    console = Console(quiet, as_json)
    address = parse_address(archive)
    allowed = (address.title,) if isinstance(address, Node) else ()
    n = fetch(address, study, series, out, Receiver(require_title(aet), host, port, allowed))
    console.say(f"{n} objects in {out}")
    console.result({"out": str(out), "objects": n})


def send(
    archive: _Archive,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", exists=True, help="Planned cases, DICOM files.")],
    aet: _Title = "LIVERPLAN",
    hidden: Annotated[
        bool, typer.Option("--deidentify", help="Send copies without the patient (docs/deidentify.md).")
    ] = False,
    pseudonym: Pseudonym = None,
    key: DeidentifyKey = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    _require_extra()
    if (pseudonym or key) and not hidden:
        raise typer.BadParameter("--pseudonym and --deidentify-key say how: give --deidentify with them")
    from liverplan.pacs.addresses import parse_address, require_title
    from liverplan.pacs.archive import objects_in
    from liverplan.pacs.archive import send as deliver

    console = Console(quiet, as_json)
    found = {path: objects_in(path) for path in paths}
    with tempfile.TemporaryDirectory(prefix="liverplan-send-") as scratch:
        if hidden:
            places = {path: Path(scratch) / str(number) for number, path in enumerate(found)}
            found = {path: _hidden(found[path], places[path], pseudonym, key, console) for path in found}
        files = [file for part in found.values() for file in part]
        deliver(parse_address(archive), files, require_title(aet))
    for path, part in found.items():
        if (path / "report.json").is_file():
            audit.record(path, audit.SENT, to=archive, objects=len(part), deidentified=hidden)
    console.say(f"{len(files)} objects sent" + (" without their patient" if hidden else ""))
    console.result({"sent": [file.name if hidden else str(file) for file in files], "deidentified": hidden})


def _hidden(files: list[Path], scratch: Path, pseudonym: str | None, key: Path | None, console: Console) -> list[Path]:
    """Copies of files without their patient; says what was left out."""
    from liverplan.io.deidentify import pseudonyms, write_copies

    given = scratch / "given"
    given.mkdir(parents=True)
    for number, file in enumerate(files):
        (given / f"{number}.dcm").symlink_to(file.resolve())
    _, left_out = write_copies(given, scratch / "copies", pseudonyms(key), pseudonym)
    for reason, n in left_out.items():
        console.say(f"{n} not sent: {reason}")
    return sorted((scratch / "copies").rglob("*.dcm"))


_DEIDENTIFY = """Copy DICOM files without their patient, by the basic profile of PS3.15 with dates moved.

Objects whose pixels may show the patient (burnt-in annotation, secondary captures, documents) are left out, and said.
The same key gives the same pseudonyms, UIDs and shift in every run; keep it secret and keep it (docs/deidentify.md).

Examples:
  liverplan dicom deidentify scan -o anonymous
  liverplan dicom deidentify scan -o anonymous --pseudonym case-017 --key study.key
"""


def deidentify(
    folder: Annotated[Path, typer.Argument(metavar="PATH", exists=True, help="Folder or file with DICOM objects.")],
    out: NewFolder,
    pseudonym: Pseudonym = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help=KEY_HELP)] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.io.deidentify import pseudonyms, write_copies

    console = Console(quiet, as_json)
    written, left_out = write_copies(folder, out, pseudonyms(key), pseudonym, overwrite)
    case = folder.parent if folder.name == "dicom" else folder
    if (case / "report.json").is_file():
        audit.record(case, audit.COPIED, objects=written)
    for reason, n in left_out.items():
        console.say(f"{n} left out: {reason}")
    console.say(f"{written} objects in {out}")
    console.result({"out": str(out), "objects": written, "left_out": left_out})


_LISTEN = """Receive studies, plan each when it is complete, and send SEG, SR and PDF to an archive.

A study is complete when nothing of it has come for --idle-s. A DICOM segmentation in the study is used instead of the
model. Kill it and start it again whenever you like: nothing is lost, and nothing is stored twice (docs/pacs.md).

Examples:
  liverplan dicom listen --state /var/lib/liverplan --send-to ORTHANC@127.0.0.1:4242
  liverplan dicom listen --state /var/lib/liverplan --host 10.0.0.5 --allow-aet PACS --send-to PACS@10.0.0.2:104
  liverplan dicom listen --state /var/lib/liverplan --status
"""


def listen(
    state: Annotated[Path, typer.Option(metavar="DIR", help="Folder that keeps everything; one per receiver.")],
    send_to: Annotated[str | None, typer.Option(metavar="ARCHIVE", help="Where results go; not sent without.")] = None,
    idle_s: Annotated[float, typer.Option(metavar="S", min=0.1, help="Silence that completes a study.")] = 60.0,
    aet: _Title = "LIVERPLAN",
    host: _Host = "127.0.0.1",
    port: _Port = 11112,
    allow_aet: Annotated[
        list[str] | None, typer.Option(metavar="AET", help="A title that may connect; may be repeated.")
    ] = None,
    protocol: ProtocolName = DEFAULT_PROTOCOL,
    model: ModelName = None,
    device: OnDevice = Device.AUTO,
    pictures: Pictures = True,
    limit_s: Annotated[float, typer.Option(metavar="S", min=1.0, help="Longest time for one plan.")] = 3600.0,
    plan_tries: Annotated[int, typer.Option(min=1, help="For a plan whose process died.")] = 3,
    first_wait_s: Annotated[float, typer.Option(metavar="S", min=0.1, help="Before a second try; it doubles.")] = 5.0,
    status: Annotated[bool, typer.Option("--status", help="Say what became of each study, and end.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    _require_extra()
    from liverplan.pacs.addresses import parse_address, require_title
    from liverplan.pacs.child import PlanWishes
    from liverplan.pacs.listen import Listening
    from liverplan.pacs.listen import listen as serve
    from liverplan.pacs.receiver import Receiver

    console = Console(quiet, as_json)
    if status:
        _say_status(console, state)
        return
    told = Listening(
        state,
        Receiver(require_title(aet), host, port, tuple(require_title(a) for a in allow_aet or ())),
        parse_address(send_to) if send_to else None,
        idle_s,
        plan_tries,
        first_wait_s,
        PlanWishes(protocol, model, device.value, pictures, limit_s),
    )

    def is_ready(bound: int) -> None:
        console.say(f"listening as {aet}@{host}:{bound}")
        sys.stdout.flush()  # whoever started this through a pipe waits for the line

    with _until_told_to_stop() as stop:
        serve(told, stop, is_ready)
    _say_status(console, state)


@contextmanager
def _until_told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; afterwards both do again what they did before."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_status(console: Console, state: Path) -> None:
    from liverplan.pacs.listen import counts, status_of

    studies = status_of(state)
    for study in studies:
        console.say(f"{study.uid}  {study.state}  {study.instances} objects  {study.reason}".rstrip())
    console.result({"counts": counts(studies), "studies": [study.to_json() for study in studies]})


def _require_extra() -> None:
    """Raises ArchiveError when the libraries of the extra are not installed."""
    from liverplan.errors import ArchiveError

    missing = [name for name in ("dicomweb_client", "pynetdicom") if find_spec(name) is None]
    if missing:
        raise ArchiveError(
            "the way to archives is not installed",
            got=f"no {', '.join(missing)}",
            wanted="the extra `dicom`",
            do="Install it: pip install 'liverplan[dicom]'.",
        )
