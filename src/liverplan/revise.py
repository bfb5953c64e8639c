"""A planned case planned again on corrected masks or with another resection, as a new revision in the same folder.

The folder is replaced whole: until the new plan is complete the old one stays as it is, and what it was (masks, report,
settings) stays in the new one under `revisions/`, so that the masks as the model or the reader made them are kept. Run
as `python -m liverplan.revise` it is a process of its own that says its progress as lines of JSON and can be ended at
any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liverplan import audit
from liverplan.case import Corrected, Settings, plan_case
from liverplan.chain import first_broken, last_sha256
from liverplan.corrections import Edit, Editor, log_lines
from liverplan.errors import LiverplanError, OutputError, UnreadableInput
from liverplan.io.folder import MARKER, output_folder, write_json_atomic, write_text_atomic
from liverplan.io.images import read_file
from liverplan.io.segmentations import read_segmentation
from liverplan.io.writing import write_segmentation
from liverplan.plan import Progress
from liverplan.record import stated_confidence
from liverplan.record_clinical import protocol_of, stored_record
from liverplan.report.load import FILE, load_report
from liverplan.resection.given import COMBINED
from liverplan.volume import Reorientation, Segmentation

LOG = "edits.jsonl"
VIEW = ".view.json"
"""How the viewer was left; of no meaning to the plan."""
REVISIONS = "revisions"
_MASKS, _RESECTIONS = "segmentation", "resections"
_KEPT = (FILE, MARKER, _MASKS)
"""What is kept of an earlier revision; pictures and reports can be made again."""
_STOPPED = 75


@dataclass(frozen=True)
class Revision:
    """What a new revision is made from. edits: on the masks in `folder`, in their order; planes: files of further
    resections, as `--resection` takes them."""

    folder: Path
    image: Path
    edits: tuple[Edit, ...] = ()
    planes: tuple[Path, ...] = ()


def revise(asked: Revision, progress: Progress = lambda _fraction, _stage: None) -> Mapping[str, Any]:
    """Plan again with the settings of run.json and put the result in the folder's place; the new report.

    Raises InputError of every kind (an edit that does not fit the masks, a log that was changed, a case that another
    program wrote meanwhile), OutputError, ResourceError. Nothing is changed then.
    """
    folder = Path(asked.folder).resolve()
    report, before = load_report(folder), _sha256(folder / FILE)
    log = _log(folder)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".revision", dir=folder.parent) as home:
        work = Path(home)
        progress(0.0, "correcting the masks")
        masks, lines = _corrected(folder, asked.edits, log)
        write_segmentation(masks, work / "masks")
        settings = _settings(folder, report, asked, work, [*log, *lines])
        plan_case(settings, work / "planned", progress=lambda f, s: progress(0.02 + 0.95 * f, s))
        if _sha256(folder / FILE) != before:
            raise OutputError(
                "another program changed the case meanwhile",
                got=f"another {FILE} in {folder.name}",
                wanted="the one that this revision began with",
                do="Open the case again; the corrections are still there.",
            )
        progress(0.98, "putting the new revision in its place")
        _put(work / "planned", folder, [*log, *lines])
    return load_report(folder)


def _corrected(folder: Path, edits: Sequence[Edit], log: Sequence[str]) -> tuple[Segmentation, list[str]]:
    """The folder's masks after the edits, in their own storage order, and the log's new lines."""
    grid = read_file(folder / _MASKS / "liver.nii.gz").grid
    given = read_segmentation(folder / _MASKS, grid)
    turn = Reorientation.to_lps(grid)
    editor = Editor(given.canonical().masks, turn.grid(grid))
    lines = list(log_lines(editor, edits, log))
    masks = {structure: turn.undo(mask) for structure, mask in editor.masks.items()}
    return replace(given, masks=masks), lines


def _settings(folder: Path, report: Mapping[str, Any], asked: Revision, work: Path, log: Sequence[str]) -> Settings:
    """The settings that the case was planned with, with the corrected masks in place of the first ones."""
    told = _told(folder)
    if told.get("cut_loss"):
        raise UnreadableInput(
            "the case was planned with cut-loss values of your own, which are not in its folder",
            got=str(told["cut_loss"]),
            wanted="a case planned with the shipped ones",
            do="Plan it again: liverplan plan --cut-loss FILE --segmentation OUT/segmentation.",
        )
    if told.get("deidentified"):
        raise UnreadableInput(
            "a case that was planned without its patient cannot be planned again from the scan",
            got="--deidentify in its settings",
            wanted="a case whose scan may be named",
            do="Copy the scan (liverplan dicom deidentify), plan and correct the copy.",
        )
    clinical = None
    record = stored_record(report).to_json()
    if record:
        clinical = work / "clinical.json"
        write_json_atomic(clinical, record)
    modality = report["input"]["modality"]
    return Settings(
        image=asked.image,
        segmentation=work / "masks",
        protocol=protocol_of(report, "Plan it again: liverplan plan --protocol FILE --segmentation OUT/segmentation."),
        series_uid=told.get("series_uid") or report["input"].get("series_uid"),
        modality=modality if modality in ("CT", "MR") and not asked.image.is_dir() else None,
        device=str(told.get("device") or "auto"),
        pictures=bool(told.get("pictures", True)),
        margin_mm=told.get("margin_mm"),
        resections=(*_given(folder, report), *asked.planes),
        clinical=clinical,
        corrected=_origin(report, log),
    )


def _told(folder: Path) -> Mapping[str, Any]:
    try:
        told = json.loads((folder / MARKER).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInput(
            "how the case was planned is not known",
            got=f"no settings in {MARKER}",
            wanted="a folder that `liverplan plan` wrote",
            do="Plan the case again.",
        ) from error
    return told if isinstance(told, dict) else {}


def _given(folder: Path, report: Mapping[str, Any]) -> tuple[Path, ...]:
    """The surgeon's own resections of before, as the specimens that they were."""
    names = [row["name"] for row in report["resections"] if row["kind"] == "given" and row["name"] != COMBINED]
    # The name alone: a report cannot point to files elsewhere.
    found = (folder / _RESECTIONS / f"{Path(name).name}.nii.gz" for name in names)
    return tuple(path for path in found if path.is_file())


def _origin(report: Mapping[str, Any], log: Sequence[str]) -> Corrected:
    """Who made the masks at first, and that they were corrected since."""
    stated = report["segmentation"]
    if not log:
        return Corrected(stated["origin"], stated["model"], None, stated_confidence(report))
    lines = [json.loads(line) for line in log]
    corrections = {
        "n_edits": len(lines),
        "by": list(dict.fromkeys(line["who"] for line in lines)),
        "last_utc": lines[-1]["utc"],
        "structures": sorted({name for line in lines for name in line["masks"]}),
        "log": LOG,
        "log_sha256": last_sha256(log),
    }
    return Corrected(stated["origin"], stated["model"], corrections, stated_confidence(report))


def _log(folder: Path) -> list[str]:
    """The log's lines. Raises UnreadableInput when it was changed after it was written."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    broken = first_broken(lines)
    if broken is None:
        return lines
    raise UnreadableInput(
        f"{LOG} was changed after it was written",
        got=f"line {broken}, which does not follow the line before it",
        wanted="the log as this program wrote it",
        do="Restore it from a copy; nothing is added to a log that proves nothing.",
    )


def _put(planned: Path, folder: Path, log: Sequence[str]) -> None:
    """The new revision under the old one's name; what the old one was goes into `revisions/`."""
    with output_folder(folder, overwrite=True) as new:
        for part in list(planned.iterdir()):
            part.rename(new / part.name)
        earlier = folder / REVISIONS
        if earlier.is_dir():
            shutil.copytree(earlier, new / REVISIONS, symlinks=True, copy_function=_link)
        number = len(list(earlier.iterdir())) if earlier.is_dir() else 0
        kept = new / REVISIONS / f"{number:04d}"
        kept.mkdir(parents=True)
        for name in _KEPT:
            old = folder / name
            if old.is_dir():
                shutil.copytree(old, kept / name, copy_function=_link)
            elif old.is_file():
                _link(old, kept / name)
        if (folder / VIEW).is_file():
            _link(folder / VIEW, new / VIEW)
        (new / audit.FILE).unlink(missing_ok=True)
        audit.carry_over(folder, new)
        audit.record(new, audit.CORRECTED, corrections=len(log))
        if log:
            write_text_atomic(new / LOG, "\n".join(log) + "\n")


def _link(source: str | Path, to: str | Path) -> str:
    """A second name for a file that nobody writes into again: files are replaced, never changed in place."""
    try:
        os.link(source, to)
    except OSError:
        shutil.copy2(source, to)
    return str(to)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(asked: Mapping[str, Any]) -> int:
    """Revise; progress, the end or a refusal as lines of JSON on standard output."""

    def tell(**what: Any) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    try:
        revision = Revision(
            Path(asked["folder"]),
            Path(asked["image"]),
            tuple(Edit.of_json(edit) for edit in asked["edits"]),
            tuple(Path(path) for path in asked["planes"]),
        )
        revise(revision, lambda fraction, stage: tell(fraction=fraction, stage=stage))
    except LiverplanError as error:
        tell(refused=f"{error.what}: got {error.got}; wanted {error.wanted}. {error.do}")
        return error.exit_status
    tell(done=True)
    return 0


def die_with_parent(own: int) -> None:
    """The parent holds the other end of stdin: it closes when the parent is gone, however it went."""
    os.read(own, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def stop(*_: object) -> None:
    """As an exception, so that everything half-written is removed on the way out."""
    raise SystemExit(_STOPPED)


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=die_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    sys.exit(main(wanted))
