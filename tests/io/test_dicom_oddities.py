"""Every odd series is read voxel by voxel where its slices lie, or refused with the known message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_oddities import ODDITIES, Read, Refused
from pydicom import dcmread

from liverplan.errors import InputError
from liverplan.io.dicom import list_series
from liverplan.io.dicom_source import source_series
from liverplan.io.images import read_image
from liverplan.volume import Volume

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "dicom.md"


@pytest.mark.parametrize("name", ODDITIES)
def test_what_happens_to(name: str, tmp_path: Path) -> None:
    expected = ODDITIES[name](tmp_path)
    if isinstance(expected, Refused):
        with pytest.raises(InputError, match=expected.message) as refused:
            read_image(tmp_path)
        assert "Secret" not in str(refused.value)
        assert "PAT-0815" not in str(refused.value)
        return
    volume = read_image(tmp_path, expected.series)
    assert volume.grid.affine == pytest.approx(expected.affine, abs=1e-3)
    assert volume.array.shape == expected.array.shape
    assert np.abs(volume.array.astype(np.float64) - expected.array).max() <= expected.within + 1e-3 * (
        volume.array.dtype.kind == "f"
    )
    _check_notes(volume, expected)
    _check_other_reader(volume, tmp_path, expected.reader)
    source = source_series(tmp_path, volume)
    assert (source is None) == ("No DICOM objects" in volume.facts.get("reading_notes", ""))
    assert source is None or len(source.headers) == volume.grid.shape[2]


def _check_notes(volume: Volume, expected: Read) -> None:
    import re

    notes = volume.facts.get("reading_notes", "")
    assert re.search(expected.notes, notes) if expected.notes else not notes
    assert {name: volume.facts.get(name) for name in expected.facts} == expected.facts


def _check_other_reader(volume: Volume, folder: Path, reader: str | None) -> None:
    """highdicom finds every voxel at the same place with the same value."""
    if reader is None:
        return
    highdicom = pytest.importorskip("highdicom")
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    if reader == "series":
        other = highdicom.get_volume_from_series([dcmread(p) for p in paths], atol=0.05, apply_presentation_lut=False)
    else:
        other = highdicom.imread(paths[0]).get_volume(atol=0.05)
    where = np.stack(np.meshgrid(*[np.arange(n) for n in other.array.shape], indexing="ij"), axis=-1)
    at = volume.grid.to_index(where @ other.affine[:3, :3].T + other.affine[:3, 3])
    assert np.abs(at - np.rint(at)).max() < 0.02
    i, j, k = np.rint(at).astype(int).reshape(-1, 3).T
    assert len({*zip(i.tolist(), j.tolist(), k.tolist(), strict=True)}) == volume.array.size
    assert np.allclose(volume.array[i, j, k], other.array.reshape(-1), atol=1e-3)


def test_the_document_lists_every_oddity() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in ODDITIES if f"| {name} |" not in text] == []


def test_a_listing_says_what_each_series_is_and_nothing_of_the_patient(tmp_path: Path) -> None:
    ODDITIES["arterial, portal-venous (axial and sagittal) and delayed series"](tmp_path)
    lines = [series.line for series in list_series(tmp_path)]
    assert len(lines) == 4
    assert sum("axial, portal-venous" in line for line in lines) == 1
    assert sum("sagittal, portal-venous" in line for line in lines) == 1
    assert all("6 slices, 2.5 mm" in line for line in lines)
    assert not any("Secret" in line or "PAT-0815" in line for line in lines)


# ---- real scans -------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scan", "shape", "spacing"),
    [("ircad17", (512, 512, 119), (0.743, 0.743, 1.6)), ("tcga_lihc_mr", (256, 256, 30), (1.56, 1.56, 8.75))],
)
def test_a_real_series_agrees_with_another_reader(
    shared_data: Path, scan: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    highdicom = pytest.importorskip("highdicom")
    folder = shared_data / scan / "dicom"
    volume = read_image(folder)
    assert volume.grid.shape == shape
    assert volume.grid.spacing_mm == pytest.approx(spacing, abs=0.01)
    slices = [dcmread(p) for p in sorted(folder.iterdir())]
    for one in slices:  # one of the two lost its frame of reference
        one.FrameOfReferenceUID = one.get("FrameOfReferenceUID") or "1.2.3"
    other = highdicom.get_volume_from_series(slices, atol=0.05)
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in other.array.shape], indexing="ij")).reshape(3, -1).T
    at = volume.grid.to_index(corners @ other.affine[:3, :3].T + other.affine[:3, 3])
    assert at == pytest.approx(np.rint(at), abs=0.02)
    back = np.linalg.inv(other.affine) @ volume.grid.affine
    turn, start = np.rint(back[:3, :3]).astype(int), np.rint(back[:3, 3]).astype(int)
    assert sorted(np.abs(turn).sum(axis=0)) == [1, 1, 1]
    axes = np.abs(turn).argmax(axis=0)
    array = np.moveaxis(other.array, axes, (0, 1, 2))
    for mine, theirs in enumerate(axes):
        if turn[theirs, mine] < 0:
            array = np.flip(array, mine)
        assert start[theirs] == (0 if turn[theirs, mine] > 0 else other.array.shape[theirs] - 1)
    assert np.array_equal(volume.array, array)
