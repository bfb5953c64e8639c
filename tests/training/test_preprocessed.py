"""Prepared cases: on the network's grid, kept while the sources stay the same, rebuilt when damaged."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from own_scans import SHAPE, SPACING_MM, TINY, label_map, patient, write_patient, write_patients

from liverplan.anatomy import Structure
from liverplan.errors import InputError
from liverplan.io.writing import write_mask, write_volume
from liverplan.training.datasets import find_cases
from liverplan.training.folder_source import FolderSource, Interleaved, MixedSource, folder_validator, target_codes
from liverplan.training.losses import (
    EITHER_VEIN,
    HEALTHY_OR_VESSEL,
    LIVER_OR_INSIDE,
    NOT_LIVER,
    NOT_LIVER_NOT_CAVA,
    allowed_classes,
)
from liverplan.training.preprocessed import FILES, PreparedCase, Target, isotropic, prepare
from liverplan.volume import Grid, Segmentation, Volume

SEGMENT = Target("segment", 8.0)
L, T, P, H, C, V = (
    Structure.LIVER,
    Structure.LESIONS,
    Structure.PORTAL_VEIN,
    Structure.HEPATIC_VEINS,
    Structure.VENA_CAVA,
    Structure.LIVER_VESSELS,
)


def prepared(tmp_path: Path, said: list[str] | None = None, target: Target = SEGMENT) -> list[PreparedCase]:
    heard = [] if said is None else said
    return prepare(find_cases(tmp_path / "data"), target, tmp_path / "cache", heard.append)


# ---- the grid ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["locate", "segment"])
@pytest.mark.parametrize("spacing_mm", [4.0, 8.0])
def test_image_and_labels_lie_on_one_isotropic_grid(stage: str, spacing_mm: float) -> None:
    volume, segmentation = patient(2)
    image, labels = isotropic(volume, segmentation, Target(stage, spacing_mm))
    assert image.shape == labels.shape
    voxel_ml = spacing_mm**3 / 1000
    for value, structure in ((1, L), (2, T)) if stage == "segment" else ((1, L),):
        inside = label_map(segmentation) == value if stage == "segment" else segmentation.mask(structure)
        wanted_ml = inside.sum() * np.prod(SPACING_MM) / 1000
        assert (labels == value).sum() * voxel_ml == pytest.approx(wanted_ml, rel=0.35 if structure is T else 0.06)
    assert image[labels == 1].mean() == pytest.approx(110, abs=12)
    if stage == "locate":
        assert set(np.unique(labels)) == {0, 1}
        assert image.shape == tuple(round(n * s / spacing_mm) for n, s in zip(SHAPE, SPACING_MM, strict=True))


def test_storage_order_changes_nothing() -> None:
    volume, segmentation = patient(2)
    flipped = volume.grid.affine @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    grid = Grid(SHAPE, flipped)
    mirrored = Volume(grid, volume.array[::-1])
    masks = Segmentation(grid, {s: m[::-1] for s, m in segmentation.masks.items()})
    for first, second in zip(
        isotropic(volume, segmentation, SEGMENT), isotropic(mirrored, masks, SEGMENT), strict=True
    ):
        assert np.array_equal(first, second)


# ---- the cache ---------------------------------------------------------------------------------------------------


def test_the_second_time_everything_comes_from_the_cache(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 3)
    first = prepared(tmp_path)
    times = {p: p.stat().st_mtime_ns for case in first for p in case.folder.iterdir()}
    said: list[str] = []
    assert prepared(tmp_path, said) == first
    assert said == ["3 cases, 0 prepared now and 3 from the cache"]
    assert all(p.stat().st_mtime_ns == t for p, t in times.items())


@pytest.mark.parametrize("damage", ["a byte", "cut short", "removed", "no seal"])
def test_a_corrupted_cache_is_found_and_rebuilt(tmp_path: Path, damage: str) -> None:
    write_patients(tmp_path / "data", 2)
    case = prepared(tmp_path)[0]
    image, labels = np.array(case.image()), case.labels()
    victim = case.folder / FILES[0]
    content = bytearray(victim.read_bytes())
    if damage == "a byte":
        content[-7] ^= 1
        victim.write_bytes(content)
    elif damage == "cut short":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "removed":
        victim.unlink()
    else:
        (case.folder / "seal.json").write_text("{")
    said: list[str] = []
    again = prepared(tmp_path, said)[0]
    assert said[0] == "p0: the prepared files did not match their hashes and were made again"
    assert np.array_equal(again.image(), image)
    assert np.array_equal(again.labels(), labels)


def test_a_changed_mask_is_prepared_again(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 2)
    before = prepared(tmp_path)[0]
    _, segmentation = patient(0)
    lesions = np.roll(segmentation.masks[T], 3, axis=1)
    write_mask(lesions & segmentation.masks[L], segmentation.grid, tmp_path / "data/p0/masks/lesions.nii.gz")
    after = prepared(tmp_path)[0]
    assert after.folder != before.folder
    assert not np.array_equal(after.labels(), before.labels())


def test_processes_prepare_the_same(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 3)
    alone = prepare(find_cases(tmp_path / "data"), SEGMENT, tmp_path / "one", lambda text: None)
    many = prepare(find_cases(tmp_path / "data"), SEGMENT, tmp_path / "two", lambda text: None, jobs=2)
    for first, second in zip(alone, many, strict=True):
        assert (first.folder.name, first.labelled) == (second.folder.name, second.labelled)
        assert np.array_equal(first.image(), second.image())


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk: writing ends with an error of the same kind."""
    write_patients(tmp_path / "data", 1)
    program = """
        import resource, signal, sys
        from pathlib import Path
        from liverplan.errors import ResourceError
        from liverplan.training.datasets import find_cases
        from liverplan.training.preprocessed import Target, prepare
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            prepare(find_cases(Path(sys.argv[1])), Target("segment", 8.0), Path(sys.argv[2]), print)
        except ResourceError as error:
            print(error.what)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "data"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "the disk is full"
    assert list((tmp_path / "cache").iterdir()) == []


# ---- what is wrong with the cases --------------------------------------------------------------------------------


def test_everything_wrong_is_listed_at_once(tmp_path: Path) -> None:
    data = write_patients(tmp_path / "data", 8)
    volume, segmentation = patient(0)
    (data / "p0/masks/liver.nii.gz").unlink()
    write_mask(np.zeros(SHAPE, np.uint8), patient(1)[1].grid, data / "p1/masks/liver.nii.gz")
    elsewhere = Grid.from_spacing(SHAPE, SPACING_MM, (0.0, 0.0, 0.0))
    write_mask(patient(2)[1].masks[L], elsewhere, data / "p2/masks/liver.nii.gz")
    (data / "p3/image.nii.gz").write_bytes((data / "p3/image.nii.gz").read_bytes()[:2000])
    outside = np.zeros(SHAPE, np.uint8)
    outside[1:3, 1:3, 1:3] = 1
    write_mask(outside, patient(4)[1].grid, data / "p4/masks/lesions.nii.gz")
    write_volume(Volume(patient(5)[0].grid, patient(5)[0].array.clip(0)), data / "p5/image.nii.gz")
    (data / "p6/image.nii.gz").write_bytes((data / "p7/image.nii.gz").read_bytes())
    for mask in (data / "p7/masks").iterdir():
        (data / "p6/masks" / mask.name).write_bytes(mask.read_bytes())
    (data / "p8").mkdir()
    (data / "p8/readme.txt").write_text("")
    with pytest.raises(InputError, match="cannot be used") as refused:
        prepared(tmp_path)
    lines = refused.value.got.splitlines()
    assert lines[0].startswith("8 problems in")
    expected = [
        ("p8", "no image"),
        ("p0", "no liver"),
        ("p1", "liver mask is empty"),
        ("p2", "not on the image's grid"),
        ("p3", "image.nii.gz"),
        ("p4", "lesion lies outside the liver"),
        ("p5", "not in Hounsfield units"),
        ("p7", "the image of p6 again"),
    ]
    for (name, what), line in zip(expected, lines[1:], strict=True):
        assert line.strip().startswith(f"{name}: ")
        assert what in line
    assert volume.grid.same_as(segmentation.grid)


def test_the_same_patient_may_have_two_scans_when_the_table_says_so(tmp_path: Path) -> None:
    data = write_patients(tmp_path / "data", 2)
    write_patient(data / "p0-again", 0)
    with pytest.raises(InputError, match="two patients have the same image"):
        prepared(tmp_path)
    (data / "patients.csv").write_text("case,patient\np0,a\np0-again,a\np1,b\n")
    assert [case.patient for case in prepared(tmp_path)] == ["a", "a", "b"]


def test_two_folders_with_one_dicom_patient_id_are_refused(tmp_path: Path) -> None:
    from own_scans import write_dicom

    for seed in (1, 2):
        write_dicom(tmp_path / f"data/p{seed}", seed, patient_id="MRN 7")
    with pytest.raises(InputError, match="two patients have one id") as refused:
        prepared(tmp_path)
    assert "MRN 7" not in str(refused.value)
    assert not any("MRN 7" in seal.read_text() for seal in (tmp_path / "cache").glob("*/seal.json"))


# ---- what a voxel may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labelled", "codes"),
    [
        ({L, T, P, H, C}, [0, 1, 2, 3, 4, 5]),
        ({L}, [NOT_LIVER, LIVER_OR_INSIDE]),
        ({L, T}, [NOT_LIVER, HEALTHY_OR_VESSEL, 2]),
        ({L, C}, [NOT_LIVER_NOT_CAVA, LIVER_OR_INSIDE]),
    ],
)
def test_what_nobody_labelled_stays_open(labelled: set[Structure], codes: list[int]) -> None:
    values = np.arange(len(codes), dtype=np.uint8).reshape(-1, 1, 1)
    assert target_codes(values, frozenset(labelled), 6).ravel().tolist() == codes


def test_every_code_allows_what_the_voxel_may_be() -> None:
    """For every set of structures that a reader may have drawn with the liver."""
    allowed = allowed_classes(6).bool().numpy()
    for number in range(32):
        labelled = frozenset({L} | {s for n, s in enumerate((T, P, H, C, V)) if number >> n & 1})
        codes = target_codes(np.arange(7, dtype=np.uint8).reshape(-1, 1, 1), labelled, 6).ravel()
        assert allowed[codes[0], 0]
        assert allowed[codes[1], 1]
        assert all(allowed[codes[value], value] for value in (2, 3, 4, 5))
        assert codes[6] == EITHER_VEIN
        assert allowed[codes[1], 2] or T in labelled
        assert allowed[codes[0], 5] or C in labelled


def test_the_liver_locator_sees_liver_and_not_liver() -> None:
    values = np.arange(2, dtype=np.uint8).reshape(-1, 1, 1)
    assert target_codes(values, frozenset({L}), 2).ravel().tolist() == [0, 1]


# ---- samples and scores ------------------------------------------------------------------------------------------


def test_the_sample_with_a_number_is_always_the_same_and_shows_the_case(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 2)
    source = FolderSource(TINY, prepared(tmp_path))
    first, again, other = source.draw(5), FolderSource(TINY, prepared(tmp_path)).draw(5), source.draw(6)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.target, again.target)
    assert not np.array_equal(first.image, other.image)
    assert first.image.shape == TINY.patch
    targets = np.concatenate([source.draw(n).target.ravel() for n in range(20)])
    assert set(np.unique(targets)) == {0, 1, 2, 3, 4, 5}


def test_a_share_of_the_samples_is_synthetic_and_processes_draw_different_ones(tmp_path: Path) -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name, self.drawn = name, list[int]()

        def draw(self, number: int) -> str:
            self.drawn.append(number)
            return self.name

    own, synthetic = Named("own"), Named("synthetic")
    mixed = MixedSource(own, synthetic, 0.25, 1)  # type: ignore[arg-type]
    drawn = [mixed.draw(n) for n in range(400)]
    assert 70 < drawn.count("own") < 130
    crew = [Interleaved(Named("own"), rank, 3) for rank in range(3)]  # type: ignore[arg-type]
    for process in crew:
        for n in range(4):
            process.draw(n)
    assert sorted(n for process in crew for n in process.source.drawn) == list(range(12))  # type: ignore[attr-defined]


def test_a_network_that_knows_the_answer_scores_one(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 1)
    case = prepared(tmp_path)[0]

    class Oracle(torch.nn.Module):
        """Finds the class from the attenuation, which the made-up patients give away but for their noise."""

        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            hounsfield = (image + 1) * 200 - 150
            levels = torch.tensor([-80.0, 110.0, 50.0, 190.0, 170.0, 150.0]).reshape(1, 6, 1, 1, 1)
            return -(hounsfield - levels).abs()

    image, labels = np.array(case.image()), case.labels()
    exact = np.array([-80.0, 110.0, 50.0, 190.0, 170.0, 150.0, 0.0])[labels]
    np.save(case.folder / FILES[0], exact.astype(np.float32))
    scores = folder_validator(TINY, [case])(Oracle())
    assert image.shape == exact.shape
    assert scores["score"] == pytest.approx(1.0)
    assert set(scores) == {"score", *(f"held_out_{s.value}" for s in (L, T, P, H, C))}


def test_a_seal_says_what_was_labelled(tmp_path: Path) -> None:
    write_patients(tmp_path / "data", 1)
    (tmp_path / "data/p0/masks/lesions.nii.gz").unlink()
    case = prepared(tmp_path)[0]
    assert case.labelled == {L, P, H, C}
    seal = json.loads((case.folder / "seal.json").read_text())
    assert set(seal["labelled"]) == {s.value for s in case.labelled}
