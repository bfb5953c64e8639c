"""What makes report.html interactive without a network: 3D, slices and the margin slider, in one file.

three.js comes out of the trimesh package, which carries it for pages like this one (docs/decisions/0009). The scripts
are allowed by their hashes alone. Every number that they show was written out here; they look up and compute none.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

from liverplan.report import interactive_scene, interactive_stack, wording
from liverplan.report.camera import STANDARD_VIEWS
from liverplan.report.figures import FOLDER, WITNESS_RGB
from liverplan.report.interactive_stack import stack_facts
from liverplan.report.pictures import shown_lines

MOST_BYTES = 15_000_000
"""Size of report.html that others rely on."""
_LIBRARY_START, _LIBRARY_END = "<script>", "var camera,controls,scene,renderer,tracklight;"
"""Where three.js stands in trimesh's page: between the tag and trimesh's own program."""
_HOLDS = {
    interactive_scene.FILE: {"low_lps_mm", "size_mm", "focus_lps_mm", "radius_mm", "parts"},
    interactive_stack.FILE: {"shape", "spacing_mm", "affine_lps", "to_index", "window", "image_spacing_mm", "grey"},
}
"""What the files of OUT/figures must hold; the rest is the browser's to miss."""


def interactive(report: Mapping[str, Any], data: Mapping[str, str], room_bytes: int) -> dict[str, Any] | None:
    """What the template embeds; None where there is nothing to show.

    data: contents of scene.json and stack.json, as far as they exist. room_bytes: how much may be added to the page;
    slices are left out first, then the surfaces.
    """
    scripts = {"three": three_js(), "own": _own_script()}
    scene = data.get(interactive_scene.FILE) if scripts["three"] else None
    stack = data.get(interactive_stack.FILE)
    left_out = []
    room = room_bytes - len(scripts["own"])
    if scene is not None and len(scene) + len(scripts["three"]) > room:
        scene = None
        left_out.append("3D")
    room -= len(scene) + len(scripts["three"]) if scene is not None else 0
    if stack is not None and len(stack) > room:
        stack = None
        left_out.append("slices")
    if scene is None and stack is None and not report["margin_curve"]:
        return None
    three = scripts["three"] if scene is not None else ""
    texts = [text for text in (three, scripts["own"]) if text]
    return {
        "three": Markup(three),
        "own": Markup(scripts["own"]),
        "hashes": " ".join(f"'sha256-{_sha256(text)}'" for text in texts),
        "scene": None if scene is None else Markup(_safe(scene)),
        "stack": None if stack is None else Markup(_safe(stack)),
        "stack_facts": "" if stack is None else stack_facts(json.loads(stack)),
        "table": Markup(_safe(json.dumps(table(report), separators=(",", ":")))),
        "largest_mm": max((row["margin_mm"] for row in report["margin_curve"]), default=None),
        "left_out": left_out,
    }


def read_data(out_dir: Path) -> dict[str, str]:
    """scene.json and stack.json of OUT/figures, as far as they exist and hold what they should."""
    found = {}
    for name, wanted in _HOLDS.items():
        try:
            text = (out_dir / FOLDER / name).read_text(encoding="utf-8")
            if (content := json.loads(text)) and isinstance(content, dict) and wanted <= content.keys():
                found[name] = text
        except (OSError, ValueError, RecursionError):
            continue
    return found


def three_js() -> str:
    """three.js with its trackball, as trimesh packs it for pages without a network; "" where it is not found."""
    try:
        archive = resources.files("trimesh").joinpath("resources/templates/viewer.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            page = opened.read("viewer.html.template").decode("utf-8")
        start = page.index(_LIBRARY_START) + len(_LIBRARY_START)
        library = page[start : page.index(_LIBRARY_END, start)]
    except (ModuleNotFoundError, OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""
    # A browser hashes what it parsed, and parsing turns every line's end into a line feed.
    return "" if "</script" in library else library.replace("\r\n", "\n")


def table(report: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the scripts may say, in words: a row per margin of the curve, lines, lesions, views."""
    return {
        "rows": [_row(row, report["lesions"]) for row in report["margin_curve"]],
        "start_mm": _start(report),
        "lesions": [_lesion(lesion) for lesion in report["lesions"]],
        "views": {name: [to.tolist(), up.tolist()] for name, (to, up) in STANDARD_VIEWS.items()},
        "witness_rgb": WITNESS_RGB,
    }


def _row(row: Mapping[str, Any], lesions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    margin = float(row["margin_mm"])
    functional = {"value": row["flr_percent"], "low": row["flr_low_percent"], "high": row["flr_high_percent"]}
    geometric = {"value": row["geometric_flr_percent"], "low": row.get("geometric_flr_low_percent")}
    geometric["high"] = row.get("geometric_flr_high_percent")
    return {
        "margin_mm": row["margin_mm"],
        "removed": wording.ml(row["removed_ml"]),
        "remnant": wording.ml(row["remnant_ml"]),
        "functional": _said(functional),
        "geometric": _said(geometric),
        "lesions": [_against(margin, lesion["margin_upper_mm"]) for lesion in lesions],
    }


def _said(quantity: Mapping[str, Any]) -> str:
    return wording.NOT_ASSESSABLE if quantity["value"] is None else wording.interval(quantity, "%")


def _against(margin: float, bound: Mapping[str, Any]) -> str:
    """A margin against a lesion's upper bound. No verdict: the bound excludes, or it does not."""
    if bound.get("value") is None:
        return "the bound is not assessable"
    if margin > bound["high"]:
        return "excluded: above the bound and its interval"
    if margin >= bound["low"]:
        return "inside the bound's interval: not decided"
    return "not excluded by the bound; only a measured plan shows that it can be reached"


def _start(report: Mapping[str, Any]) -> float:
    """The slider begins at the protocol's margin, where the verdict was decided."""
    limits = report.get("limits")
    wanted = 0.0 if limits is None else float(limits["wide_margin_mm"])
    margins = [float(row["margin_mm"]) for row in report["margin_curve"]]
    return min(margins, key=lambda m: abs(m - wanted), default=0.0)


def _lesion(lesion: Mapping[str, Any]) -> dict[str, Any]:
    lines = [{"ends": line.ends_lps_mm, "words": line.words, "says": line.caption} for line in shown_lines(lesion)]
    return {"id": lesion["id"], "centre": lesion["centroid_lps_mm"], "lines": lines}


def _own_script() -> str:
    return resources.files("liverplan.report").joinpath("templates/interactive.js").read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _safe(text: str) -> str:
    """JSON that can stand in a script element."""
    return text.replace("<", "\\u003c")
