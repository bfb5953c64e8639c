"""How the numbers of a case came about, in words generated from report.json and run.json, and what they stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liverplan.report import wording

RUN = "run.json"


def read_run(out_dir: Path) -> dict[str, Any]:
    """OUT/run.json; {} where there is none yet or it cannot be read, as nothing in a report depends on it alone."""
    try:
        run = json.loads((Path(out_dir) / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return run if isinstance(run, dict) else {}


def methods(report: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The methods paragraph: what was read, how it was measured, against which limits, with which settings."""
    if report.get("methods"):
        return str(report["methods"])
    return " ".join(s for s in (_read(report), _measured(report), _limits(report), _settings(run)) if s)


def facts(report: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What identifies the run: names and values, hashes in full, no times."""
    model, limits = report["segmentation"]["model"], report.get("limits")
    eligibility, read = report["eligibility"], report["input"]
    rows = [
        ("Image, sha256", read["sha256"] or wording.NOT_RECORDED),
        ("Series", read["series_uid"] or wording.NOT_RECORDED),
    ]
    if model is not None:
        rows.append(("Model, sha256", f"{model['name']}, {model['sha256']}"))
    rows.append(
        ("Protocol, sha256", f"{eligibility['protocol']} version {eligibility['version']}, {eligibility['sha256']}")
    )
    told = wording.NOT_RECORDED
    if limits is not None:
        told = f"{limits['wide_margin_mm']:g} mm and {limits['flr_percent']:g} %, from {limits['source']}"
    rows += [
        ("Limits", told),
        ("Frame", f"DICOM LPS, millimetres, voxel centres; image stored as {read['orientation']}"),
        ("Versions", _versions(report, run)),
    ]
    return rows


def _read(report: Mapping[str, Any]) -> str:
    read, segmentation = report["input"], report["segmentation"]
    spacing = " \N{MULTIPLICATION SIGN} ".join(f"{s:.2f}" for s in read["spacing_mm"])
    masks = "masks given with the image"
    if segmentation["origin"] != "given":
        masks = f"masks of the model {segmentation['model']['name']}"
    software, phase = report["software"], read["phase"] or "a phase that is not recorded"
    return (
        f"Computed by {software['name']} {software['version']} from {masks} on a {read['modality']} of "
        f"{spacing} mm voxels, {phase}."
    )


def _measured(report: Mapping[str, Any]) -> str:
    said = [
        "Clearances are shortest distances between sub-voxel surfaces of the masks, to the vessel's wall, each with an "
        "interval and the two points it was measured between.",
        "The margin curve counts, for every margin at once, the liver within that distance of a lesion and the "
        "territories of the portal and hepatic venous branches whose wall lies inside it.",
        "M_up is the largest margin that leaves the protocol's remnant and keeps clear of every structure that must "
        "stay.",
    ]
    given = sum(plan["kind"] == "given" for plan in report["resections"])
    if report["resections"]:
        proposed = len(report["resections"]) - given
        said.append(
            f"Resections: {proposed} proposed, {given} given; each was measured voxel by voxel on the same masks, "
            "so that specimen and remnant add up to the liver."
        )
    return " ".join(said)


def _limits(report: Mapping[str, Any]) -> str:
    eligibility = report["eligibility"]
    return (
        f"The criteria are those of {eligibility['protocol']}, version {eligibility['version']}. Verdicts are "
        "three-valued: a limit inside an interval, or what was not recorded, is undetermined."
    )


_SAID = {
    "margin_mm": "a margin of {} mm was asked for",
    "model": "the model asked for was {}",
    "height_cm": "height {} cm",
    "weight_kg": "weight {} kg",
    "cut_loss": "tissue loss at the cut from {}",
    "resections": "resections given as {}",
}
"""Settings of run.json that change results; others are files that the facts name by hash."""


def _settings(run: Mapping[str, Any]) -> str:
    settings = run.get("settings")
    if not isinstance(settings, Mapping):
        return ""
    told = [words.format(_plain(settings[key])) for key, words in _SAID.items() if settings.get(key)]
    return wording.sentence(f"settings of the run: {'; '.join(told)}") if told else ""


def _plain(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _versions(report: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    software = f"{report['software']['name']} {report['software']['version']}"
    versions = run.get("versions")
    if not isinstance(versions, Mapping):
        return f"{software}; libraries: see {RUN}"
    return ", ".join([software, *(f"{name} {version}" for name, version in versions.items() if version)])
