"""Every parser of ours with a file that it reads, how that file breaks, and what must hold when it is still read.

A target either reads what it is given or raises a LiverplanError: nothing else, whatever the bytes. `make_targets`
writes the whole files once; tests/hardening/test_fuzz.py and scripts/fuzz draw broken ones from the same strategies.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import fuzz_strategies as breaks
import numpy as np
from dicom_series import multiframe_file, voxels, write_series
from hypothesis import strategies as st

import simple_case
from liverplan.anatomy import Structure
from liverplan.case import Settings, plan_case
from liverplan.clinical import parse_record
from liverplan.cohort.reading import read_cohort
from liverplan.errors import LiverplanError
from liverplan.fresh_margin import load_cut_loss
from liverplan.io.clinical import read_clinical
from liverplan.io.dicom import list_series
from liverplan.io.dicom_out import source_series
from liverplan.io.folder import write_json_atomic
from liverplan.io.images import read_image
from liverplan.io.meshes import write_stl
from liverplan.io.resections import read_resections
from liverplan.io.segmentations import read_segmentation
from liverplan.io.writing import write_slicer_segmentation, write_volume
from liverplan.mesh import Mesh
from liverplan.protocol import load_protocol
from liverplan.record_clinical import decided_again, protocol_of, stored_record
from liverplan.report import render_report
from liverplan.report.load import load_report
from liverplan.volume import Grid, Segmentation, Volume

GRID = Grid.from_spacing((16, 14, 12), (2.0, 2.2, 2.5), (-15.0, -14.0, -13.0))


@dataclass(frozen=True)
class Target:
    """One parser. file: the name that broken bytes are written to. read: parses it, and asserts what must hold."""

    name: str
    file: str
    broken: st.SearchStrategy[bytes]
    read: Callable[[Path], object]
    slow: bool = False
    """Takes more than a tenth of a second: fewer examples in the tests."""

    def __call__(self, data: bytes, folder: Path) -> bool:
        """Write `data` and read it; True when it was read, False when it was refused in words."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            self.read(path)
        except LiverplanError as refused:
            said = (refused.what, refused.got, refused.wanted, refused.do)
            assert all(said), said
            return False
        return True


def make_targets(folder: Path) -> dict[str, Target]:
    """All targets by name; whole files are written below `folder`."""
    masks = _masks()
    made = [
        *_images(folder, masks),
        *_dicom(folder),
        *_segmentations(folder, masks),
        *_cuts(folder, masks),
        *_texts(),
        *_reports(folder),
    ]
    return {target.name: target for target in made}


def _masks() -> Segmentation:
    where = GRID.to_world(np.stack(np.indices(GRID.shape), axis=-1))
    liver = np.linalg.norm(where, axis=-1) < 11
    lesions = np.linalg.norm(where - [3.0, 2.0, 1.0], axis=-1) < 4
    drawn = {Structure.LIVER: liver, Structure.LESIONS: lesions, Structure.PORTAL_VEIN: liver & (where[..., 0] < -6)}
    return Segmentation(GRID, {s: m.astype(np.uint8) for s, m in drawn.items()})


def _check_image(path: Path) -> None:
    volume = read_image(path)
    assert np.isfinite(volume.array).all()
    assert min(volume.grid.spacing_mm) > 0
    assert volume.array.shape == volume.grid.shape


def _images(folder: Path, masks: Segmentation) -> list[Target]:
    import SimpleITK as sitk

    image = Volume(GRID, (masks.masks[Structure.LIVER].astype(np.int16) * 110 - 1), "CT")
    found = []
    for suffix, header in ((".nii", 348), (".nii.gz", 0), (".nrrd", 400), (".mha", 300)):
        path = folder / f"whole{suffix}"
        if suffix.startswith(".nii"):
            write_volume(image, path)
        else:
            stored = sitk.GetImageFromArray(np.ascontiguousarray(image.array.transpose(2, 1, 0)))
            stored.SetSpacing(GRID.spacing_mm)
            sitk.WriteImage(stored, str(path), useCompression=suffix == ".mha")
        found.append(Target(f"image{suffix}", f"scan{suffix}", breaks.damaged(path.read_bytes(), header), _check_image))
    for suffix, text in ((".nrrd", "image.nrrd"), (".mha", "image.mha")):
        whole = (folder / f"whole{suffix}").read_bytes()
        found.append(Target(f"header{suffix}", f"scan{suffix}", breaks.reworded(whole, 700), _check_image))
        assert any(t.name == text for t in found)
    return found


def _dicom(folder: Path) -> list[Target]:
    write_series(folder / "series", voxels(4))
    slices = sorted((folder / "series").iterdir())
    enhanced = multiframe_file(folder / "enhanced" / "ct.dcm")

    def beside_whole_slices(path: Path) -> None:
        for other in slices[1:]:
            shutil.copy(other, path.parent / other.name)
        assert list_series(path.parent)
        source_series(path.parent, read_image(path.parent))
        _check_image(path.parent)

    def alone(path: Path) -> None:
        assert list_series(path.parent)
        source_series(path.parent, read_image(path.parent))
        _check_image(path.parent)

    whole = slices[0].read_bytes()
    return [
        Target("dicom slice", f"series/{slices[0].name}", breaks.damaged(whole, len(whole) - 384), beside_whole_slices),
        Target("dicom multi-frame", "enhanced/ct.dcm", breaks.damaged(enhanced.read_bytes(), 2600), alone),
    ]


def _segmentations(folder: Path, masks: Segmentation) -> list[Target]:
    def read(path: Path) -> None:
        found = read_segmentation(path, GRID)
        assert found.mask(Structure.LIVER).any()
        assert all(mask.shape == GRID.shape for mask in found.masks.values())

    def read_folder(path: Path) -> None:
        read(path.parent)

    labels = masks.masks[Structure.LIVER] + masks.masks[Structure.LESIONS]
    write_volume(Volume(GRID, labels, "unknown"), folder / "labels.nii")
    write_slicer_segmentation(masks, folder / "whole.seg.nrrd")
    slicer = (folder / "whole.seg.nrrd").read_bytes()
    seg, grid = _dicom_seg(folder)

    def read_seg(path: Path) -> None:
        assert read_segmentation(path, grid).mask(Structure.LIVER).any()

    return [
        Target("label map", "labels.nii", breaks.damaged((folder / "labels.nii").read_bytes(), 348), read),
        Target("mask folder", "m/liver.nii", breaks.damaged((folder / "labels.nii").read_bytes(), 348), read_folder),
        Target("slicer segmentation", "a.seg.nrrd", breaks.reworded(slicer, 3000), read),
        Target("slicer segmentation, bytes", "a.seg.nrrd", breaks.damaged(slicer, 2000), read),
        Target("dicom segmentation", "seg.dcm", breaks.damaged(seg, len(seg) - 200), read_seg),
    ]


def _dicom_seg(folder: Path) -> tuple[bytes, Grid]:
    from dicom_case import random_masks, scan

    from liverplan.io.dicom_seg import write_seg

    found = scan(folder / "scan")
    liver = {s: m for s, m in random_masks(found.grid).masks.items() if s in (Structure.LIVER, Structure.LESIONS)}
    write_seg(folder / "seg.dcm", Segmentation(found.grid, liver), found.source)
    return (folder / "seg.dcm").read_bytes(), found.grid


def _cuts(folder: Path, masks: Segmentation) -> list[Target]:
    def read(path: Path) -> None:
        for given in read_resections([path], masks):
            assert given.specimen.any()

    plane = {"point_lps_mm": [1.0, 0.5, 0.0], "normal_lps": [0.0, 0.6, 0.8]}
    markup = {"markups": [{"type": "Plane", "coordinateUnits": "mm", "coordinateSystem": "LPS",
                           "center": [1.0, 0.5, 0.0], "normal": [0.0, 0.6, 0.8]}]}  # fmt: skip
    toml = b"point_lps_mm = [1.0, 0.5, 0.0]\nnormal_lps = [0.0, 0.6, 0.8] # up\n"
    ball = _octahedron()
    write_stl(folder / "ball.stl", ball)
    whole = {"stl": (folder / "ball.stl").read_bytes()}
    from given_cuts import vtk_write

    for suffix in ("obj", "vtp"):
        vtk_write(folder / f"ball.{suffix}", ball)
        whole[suffix] = (folder / f"ball.{suffix}").read_bytes()
    return [
        Target("plane.json", "cut.json", breaks.reshaped(plane), read),
        Target("plane.json, text", "cut.json", breaks.reworded(json.dumps(plane).encode()), read),
        Target("plane.toml", "cut.toml", breaks.reworded(toml), read),
        Target("plane.mrk.json", "cut.mrk.json", breaks.reshaped(markup), read),
        Target("surface.stl", "cut.stl", breaks.damaged(whole["stl"], 200), read),
        Target("surface.obj", "cut.obj", breaks.reworded(whole["obj"]), read),
        Target("surface.vtp", "cut.vtp", breaks.reworded(whole["vtp"]), read),
    ]


def _octahedron() -> Mesh:
    corners = np.array([[8, 0, 0], [-8, 0, 0], [0, 8, 0], [0, -8, 0], [0, 0, 8], [0, 0, -8]], dtype=float)
    faces = [[x, y, z] if (x + y + z) % 2 else [x, z, y] for x in (0, 1) for y in (2, 3) for z in (4, 5)]
    return Mesh(corners, np.array(faces))


RECORD = b"""case_id: "A-1"
age_years: 61
sex: female
height_cm: {value: 168, date: 2026-05-01, by: "Dr A", source: letter}
bilirubin: {value: 0.9, unit: mg/dL, date: 2026-05-01}
albumin:
  value: 41
  unit: g/L
inr: 1.1
prior_chemotherapy: true
ascites: none
scan_date: 2026-05-01
planned_surgery_date: 2026-05-20
"""


def _texts() -> list[Target]:
    from fhir_resources import bundle, observation, patient

    def read_record(path: Path) -> None:
        record = read_clinical(path)
        again = parse_record(record.to_json(), on_reading=record.on_reading)
        assert again.to_json() == record.to_json()
        record.facts()

    def read_table(path: Path) -> None:
        for name in ("a.nii.gz", "b.nii.gz"):
            (path.parent / name).write_bytes(b"x")
        assert read_cohort(path)

    plain = {"age_years": 61, "albumin": {"value": 41, "unit": "g/L"}, "ascites": "none", "scan_date": "2026-05-01"}
    people = bundle(patient(), observation("1975-2", 0.9, "mg/dL"), observation("1751-7", 41, "g/L"))
    table = b'id,image,modality,margin_mm\np1,a.nii.gz,CT,7\n"p2",b.nii.gz,MR,\n'
    protocol = (resources.files("liverplan") / "protocols" / "nct06934018.toml").read_bytes()
    cut_loss = (resources.files("liverplan") / "cut_loss.toml").read_bytes()
    return [
        Target("clinical.yaml", "record.yaml", breaks.reworded(RECORD), read_record),
        Target("clinical.json", "record.json", breaks.reshaped(plain), read_record),
        Target("clinical bundle", "bundle.json", breaks.reshaped(people), read_record),
        Target("protocol", "trial.toml", breaks.reworded(protocol), load_protocol),
        Target("cut loss", "loss.toml", breaks.reworded(cut_loss), load_cut_loss),
        Target("cohort table", "cohort.csv", breaks.reworded(table), read_table),
    ]


def planned_case(folder: Path) -> Path:
    """A small case planned from files, without pictures: its output folder."""
    drawn = simple_case.masks(simple_case.grid((4.0, 4.0, 4.0)), (simple_case.Ball((-22.0, 4.0, 30.0), 9.0),))
    write_volume(simple_case.image(drawn.grid, drawn), folder / "image.nii.gz")
    write_slicer_segmentation(drawn, folder / "masks.seg.nrrd")
    settings = Settings(folder / "image.nii.gz", folder / "masks.seg.nrrd", pictures=False)
    plan_case(settings, folder / "planned")
    return folder / "planned"


def _reports(folder: Path) -> list[Target]:
    out = planned_case(folder)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))

    def render(path: Path) -> None:
        page = render_report(path.parent)[0].read_text(encoding="utf-8")
        assert breaks.SCRIPT not in page

    def decide(path: Path) -> None:
        stored = load_report(path.parent)
        chosen = load_protocol(protocol_of(stored, "Say which."))
        again, _ = decided_again(stored, chosen, stored_record(stored))
        write_json_atomic(path, again)

    def beside_whole_report(path: Path) -> None:
        shutil.copy(out / "report.json", path.parent / "report.json")
        render(path)

    return [
        Target("report.json", "out/report.json", breaks.reshaped(report), render, slow=True),
        Target("report.json, text", "out/report.json", breaks.reworded(json.dumps(report).encode()), render, slow=True),
        Target("report.json, decided again", "out/report.json", breaks.reshaped(report), decide),
        Target("run.json", "out/run.json", breaks.reshaped(run), beside_whole_report, slow=True),
    ]
