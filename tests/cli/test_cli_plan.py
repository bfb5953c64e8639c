"""`liverplan plan` as a user meets it: what it writes, and what it says of input that it refuses."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simple_case
from liverplan.anatomy import Structure
from liverplan.cli.main import run
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.volume import Grid, Segmentation

LESIONS = (simple_case.Ball((-22.0, 4.0, 36.0), 7.0), simple_case.Ball((12.0, 3.0, -30.0), 6.0))


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    drawn = simple_case.masks(simple_case.grid((1.5, 1.5, 1.5)), LESIONS)
    write_volume(simple_case.image(drawn.grid, drawn), folder / "image.nii.gz")
    write_segmentation(drawn, folder / "masks")
    return folder


@pytest.fixture(scope="module")
def planned(patient, tmp_path_factory):
    out = tmp_path_factory.mktemp("planned") / "out"
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(patient / "masks"), "-o", str(out)]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    return out


def changed(patient, tmp_path, **masks):
    """The patient's masks with some replaced (an array) or left away (None); returns the folder."""
    drawn = simple_case.masks(simple_case.grid((1.5, 1.5, 1.5)), LESIONS)
    kept = {s: m for s, m in drawn.masks.items() if masks.get(s.value, m) is not None}
    kept |= {Structure(name): mask for name, mask in masks.items() if mask is not None}
    folder = tmp_path / "masks"
    write_segmentation(Segmentation(drawn.grid, kept), folder)
    return folder


def refused(capsys, *arguments):
    """Exit 3 with the four lines, and no traceback."""
    assert run(["plan", *arguments, "--no-pictures"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for word in ("error:", "got:", "wanted:", "do:"):
        assert word in said
    return said


def test_it_writes_everything_that_the_contract_lists(planned):
    for name in (
        "report.json",
        "report.html",
        "run.json",
        "segmentation.seg.nrrd",
        "meshes/scene.glb",
        "meshes/liver.stl",
    ):
        assert (planned / name).stat().st_size > 0, name
    assert {p.name for p in (planned / "segmentation").iterdir()} == {
        f"{s}.nii.gz" for s in ("liver", "lesions", "portal_vein", "hepatic_veins", "inferior_vena_cava")
    }
    assert list((planned / "tables").glob("*.csv"))


def test_the_report_fits_its_schema(planned):
    import jsonschema

    import liverplan.report

    schema = Path(liverplan.report.__file__).parent / "schema" / "report-1.json"
    jsonschema.validate(
        json.loads((planned / "report.json").read_text(encoding="utf-8")),
        json.loads(schema.read_text(encoding="utf-8")),
    )


def test_the_masks_open_on_top_of_the_image(planned, patient):
    image = nib.load(patient / "image.nii.gz")
    for path in (planned / "segmentation").iterdir():
        mask = nib.load(path)
        assert mask.shape == image.shape
        assert np.allclose(mask.affine, image.affine, atol=1e-4)


def test_the_run_is_recorded_without_paths_of_this_machine(planned, patient):
    record = json.loads((planned / "run.json").read_text(encoding="utf-8"))
    assert record["hashes"]["image_sha256"]
    assert record["versions"]["numpy"]
    assert record["peak_memory_mb"] > 0
    assert str(patient) not in (planned / "run.json").read_text(encoding="utf-8")
    assert str(patient) not in (planned / "report.html").read_text(encoding="utf-8")


def test_an_existing_result_is_not_overwritten_unasked(planned, patient, capsys):
    arguments = [str(patient / "image.nii.gz"), "--segmentation", str(patient / "masks"), "-o", str(planned)]
    before = (planned / "report.json").read_bytes()
    refused(capsys, *arguments)
    assert (planned / "report.json").read_bytes() == before


def test_the_same_run_twice_gives_the_same_report(planned, patient, tmp_path):
    out = tmp_path / "again"
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(patient / "masks"), "-o", str(out)]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    assert (out / "report.json").read_bytes() == (planned / "report.json").read_bytes()


def test_json_prints_one_object(patient, tmp_path, capsys):
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(patient / "masks")]
    assert run([*arguments, "-o", str(tmp_path / "out"), "--json", "--no-pictures"]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["schema_version"] == "1"


def test_an_empty_lesion_mask_is_a_case_without_lesions(patient, tmp_path):
    shape = simple_case.grid((1.5, 1.5, 1.5)).shape
    masks = changed(patient, tmp_path, lesions=np.zeros(shape, dtype=np.uint8))
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(masks), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["lesions"] == []


def test_a_missing_portal_vein_degrades_and_says_so(patient, tmp_path):
    masks = changed(patient, tmp_path, portal_vein=None)
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(masks), "-o", str(tmp_path / "out")]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["margin_curve"][7]["flr_percent"] is None
    assert report["margin_curve"][7]["geometric_flr_percent"] > 0
    assert any(c["check"] == "structure_portal_vein" for c in report["quality"])


def test_a_lesion_outside_the_liver_is_refused_with_its_place(patient, tmp_path, capsys):
    labels = simple_case.masks(simple_case.grid((1.5, 1.5, 1.5)), (*LESIONS, simple_case.Ball((-75.0, 50.0, 0.0), 4.0)))
    masks = changed(patient, tmp_path, lesions=labels.masks[Structure.LESIONS])
    said = refused(capsys, str(patient / "image.nii.gz"), "--segmentation", str(masks), "-o", str(tmp_path / "out"))
    assert "outside" in said
    assert not (tmp_path / "out").exists()


def test_masks_on_another_grid_are_refused_by_name(patient, tmp_path, capsys):
    other = simple_case.masks(simple_case.grid((2.0, 2.0, 2.0)), LESIONS)
    write_segmentation(other, tmp_path / "masks")
    said = refused(
        capsys, str(patient / "image.nii.gz"), "--segmentation", str(tmp_path / "masks"), "-o", str(tmp_path / "out")
    )
    assert "grid" in said


def write_image(path, array, affine=None):
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def truncated(tmp_path, patient):
    path = tmp_path / "short.nii.gz"
    path.write_bytes((patient / "image.nii.gz").read_bytes()[:40_000])
    return path


def text(tmp_path, _patient):
    path = tmp_path / "letter.nii.gz"
    path.write_text("Dear colleague, thank you for referring this patient.", encoding="utf-8")
    return path


def flat(tmp_path, _patient):
    return write_image(tmp_path / "flat.nii.gz", np.zeros((40, 40), dtype=np.int16))


def moving(tmp_path, _patient):
    return write_image(tmp_path / "4d.nii.gz", np.zeros((20, 20, 20, 3), dtype=np.int16))


def holes(tmp_path, _patient):
    array = np.zeros((20, 20, 20), dtype=np.float32)
    array[3, 4, 5] = np.nan
    return write_image(tmp_path / "nan.nii.gz", array)


def pointless(tmp_path, _patient):
    path = write_image(tmp_path / "zero.nii", np.zeros((20, 20, 20), dtype=np.int16))
    content = bytearray(path.read_bytes())
    content[76:92] = np.array([1, 0, 1, 1], dtype=np.float32).tobytes()  # pixdim
    content[280:328] = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], dtype=np.float32).tobytes()  # sform rows
    path.write_bytes(bytes(content))
    return path


def absent(tmp_path, _patient):
    return tmp_path / "nothing-here.nii.gz"


@pytest.mark.parametrize("bad", [truncated, text, flat, moving, holes, pointless, absent], ids=lambda f: f.__name__)
def test_an_unusable_image_is_refused(bad, tmp_path, patient, capsys):
    image = bad(tmp_path, patient)
    refused(capsys, str(image), "--segmentation", str(patient / "masks"), "-o", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists(), "nothing half-written stays behind"


def test_an_output_that_cannot_be_written_is_refused(patient, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    refused(
        capsys,
        str(patient / "image.nii.gz"),
        "--segmentation",
        str(patient / "masks"),
        "-o",
        str(tmp_path / "file" / "out"),
    )


def test_wrong_usage_is_status_two(capsys):
    assert run(["plan"]) == 2
    assert run(["no-such-verb"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_own_resections_stand_beside_proposed_ones_with_their_union_on_the_images_grid(tmp_path):
    # Stored upside down and back to front: masks have to come back that way.
    drawn = simple_case.masks(simple_case.grid((2.0, 2.0, 2.0)), LESIONS)
    flip = (slice(None), slice(None, None, -1), slice(None, None, -1))
    affine = drawn.grid.affine.copy()
    last = [0, drawn.grid.shape[1] - 1, drawn.grid.shape[2] - 1]
    affine[:3, 3] = drawn.grid.to_world(last)
    affine[:3, 1:3] *= -1.0
    grid = Grid(drawn.grid.shape, affine)
    turned = Segmentation(grid, {s: m[flip].copy() for s, m in drawn.masks.items()})
    write_volume(simple_case.image(grid, turned), tmp_path / "image.nii.gz")
    write_segmentation(turned, tmp_path / "masks")

    liver, points = turned.mask(Structure.LIVER), simple_case.voxels(grid)
    (tmp_path / "plane.json").write_text(
        json.dumps({"point_lps_mm": [0, 0, 20], "normal_lps": [0, 0, 1]}), encoding="utf-8"
    )
    mine = liver & (points[..., 2] <= -15.0)
    image = nib.load(tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(mine.astype(np.uint8), image.affine), tmp_path / "mine.nii.gz")

    out = tmp_path / "out"
    own = ["--resection", str(tmp_path / "plane.json"), "--resection", str(tmp_path / "mine.nii.gz")]
    arguments = ["plan", str(tmp_path / "image.nii.gz"), "--segmentation", str(tmp_path / "masks"), "-o", str(out)]
    assert run([*arguments, *own, "--quiet", "--no-pictures"]) == 0

    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    kinds = {r["name"]: r["kind"] for r in report["resections"]}
    assert {name for name, kind in kinds.items() if kind == "given"} == {"plane", "mine", "given_combined"}
    assert "wedges" in kinds
    above = liver & (points[..., 2] >= 20.0)
    for name, specimen in {"plane": above, "mine": mine, "given_combined": above | mine}.items():
        written = nib.load(out / "resections" / f"{name}.nii.gz")
        assert np.allclose(written.affine, image.affine, atol=1e-4)
        assert np.array_equal(np.asarray(written.dataobj) > 0, specimen), name
    both = next(r for r in report["resections"] if r["name"] == "given_combined")
    assert all(m["value"] is not None for m in both["margin_mm"])
    alone = next(r for r in report["resections"] if r["name"] == "plane")
    assert [m["value"] is None for m in alone["margin_mm"]] == [False, True]


def test_a_clinical_record_is_decided_on_and_kept_in_the_report(patient, tmp_path):
    (tmp_path / "record.yaml").write_text("age_years: 61\nheight_cm: 170\n", encoding="utf-8")
    arguments = ["plan", str(patient / "image.nii.gz"), "--segmentation", str(patient / "masks")]
    arguments += ["-o", str(tmp_path / "out"), "--clinical", str(tmp_path / "record.yaml"), "--weight-kg", "65"]
    assert run([*arguments, "--quiet", "--no-pictures"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert next(c for c in report["eligibility"]["criteria"] if c["id"] == "I1")["outcome"] == "met"
    assert report["clinical"]["fields"]["height_cm"] == {"value": 170, "unit": "cm"}
    assert report["liver"]["standardised_volume_ml"]["feng"] == pytest.approx(1204.2, abs=0.5)
    assert (
        json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["settings"]["clinical"] == "record.yaml"
    )


def test_a_broken_clinical_record_is_refused_before_anything_is_computed(patient, tmp_path, capsys):
    (tmp_path / "record.yaml").write_text("age: 61\n", encoding="utf-8")
    said = refused(
        capsys, str(patient / "image.nii.gz"), "-o", str(tmp_path / "o"), "--clinical", str(tmp_path / "record.yaml")
    )
    assert "age_years" in said
    assert not (tmp_path / "o").exists()


def test_a_height_that_is_said_twice_and_differently_is_refused(patient, tmp_path, capsys):
    (tmp_path / "record.yaml").write_text("height_cm: 170\n", encoding="utf-8")
    options = ["--clinical", str(tmp_path / "record.yaml"), "--height-cm", "180"]
    said = refused(capsys, str(patient / "image.nii.gz"), "-o", str(tmp_path / "o"), *options)
    assert "height_cm is said twice" in said
