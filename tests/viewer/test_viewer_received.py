"""Files from the page: names are never used as names, and a zip is not believed."""

from __future__ import annotations

import resource
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pacs"))

import pacs_case

from liverplan.anatomy import Structure
from liverplan.errors import ResourceError, SegmentationRefused, UnreadableInput
from liverplan.io.images import read_image
from liverplan.io.segmentations import read_segmentation
from liverplan.viewer.received import Limits, Received, linked, require_room, unpack

HOSTILE = [
    "../../../../tmp/liverplan-escaped",
    "/etc/liverplan-escaped",
    "C:\\Windows\\liverplan-escaped",
    "..\\..\\liverplan-escaped",
    "\\\\server\\share\\file",
    "CON",
    "/dev/sda",
    "<img onerror=alert(1)>.html",
    "a" * 5000,
    "",
    "\x00",
    "line\nbreak",
]


def put(received: Received, name: str, content: bytes = b"x") -> None:
    with received.opening(name) as sink:
        if sink is not None:
            sink.write(content)


def zipped(received: Received, entries: dict[str, bytes], **more: int) -> None:
    with received.opening("study.zip"):
        pass
    assert received.packed is not None
    with zipfile.ZipFile(received.packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def received(tmp_path):
    home = tmp_path / "around" / "home"
    home.mkdir(parents=True)
    return Received(home)


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_is_called_it_is_stored_under_a_number(received, tmp_path, name):
    put(received, name)
    assert files_below(tmp_path) == ["around/home/dicom/00001"]


def test_entries_of_a_zip_are_stored_under_numbers_as_well(received, tmp_path):
    names = [name for name in HOSTILE if name and "\x00" not in name]
    zipped(received, dict.fromkeys(names, b"x"))
    unpack(received)
    stored = files_below(tmp_path)
    assert len(stored) == len(names)
    assert all(Path(path).parent == Path("around/home/dicom") and Path(path).name.isdigit() for path in stored)


def test_a_link_in_a_zip_becomes_a_file_and_leads_nowhere(received, tmp_path):
    with received.opening("study.zip"):
        pass
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(received.packed, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    unpack(received)
    (path,) = (received.home / "dicom").iterdir()
    assert not path.is_symlink()
    assert path.read_text(encoding="utf-8") == "/etc/passwd"


def test_known_masks_and_one_volume_are_told_apart(received):
    for name in ("patient/Scan.NII.gz", "patient/masks/liver.nii.gz", "patient/masks/lesions.nii.gz", "notes.txt"):
        put(received, name)
    put(received, "patient/.DS_Store")
    put(received, "patient/masks/bone.nii.gz")
    assert received.image() == received.home / "volume.nii.gz"
    assert files_below(received.masks()) == ["lesions.nii.gz", "liver.nii.gz"]


def test_dicom_files_are_one_series_folder(received):
    put(received, "image_1")
    put(received, "image_2.dcm")
    assert received.image() == received.home / "dicom"
    assert received.masks() is None


def send(received: Received, study: Path) -> None:
    for path in sorted(path for path in study.rglob("*") if path.is_file()):
        put(received, f"study/{path.name}", path.read_bytes())


def test_a_dicom_segmentation_among_the_slices_is_the_masks_and_no_slice(received, tmp_path):
    pacs_case.write_study(tmp_path / "study")
    send(received, tmp_path / "study")
    series, masks = received.image(), received.masks()
    assert series == received.home / "dicom"
    assert len(list(series.iterdir())) == len(list((tmp_path / "study" / "ct").iterdir()))
    found = read_segmentation(masks, read_image(series).grid)
    assert len(set(found.masks[Structure.LESIONS].ravel().tolist()) - {0}) == len(pacs_case.LESIONS)
    assert received.masks() == masks, "as often as it is asked for"


def test_mask_files_go_before_a_dicom_segmentation(received, tmp_path):
    pacs_case.write_study(tmp_path / "study")
    send(received, tmp_path / "study")
    put(received, "study/masks/liver.nii.gz")
    assert files_below(received.masks()) == ["liver.nii.gz"]


def test_a_dicom_segmentation_beside_a_volume_is_no_second_scan(received, tmp_path):
    pacs_case.write_study(tmp_path / "study")
    put(received, "scan.nii.gz")
    put(received, "seg.dcm", (tmp_path / "study" / "seg.dcm").read_bytes())
    assert received.image() == received.home / "volume.nii.gz"
    assert files_below(received.masks()) == ["seg.dcm"]


def test_two_dicom_segmentations_are_refused(received, tmp_path):
    pacs_case.write_study(tmp_path / "study")
    for _ in range(2):
        put(received, "seg.dcm", (tmp_path / "study" / "seg.dcm").read_bytes())
    with pytest.raises(SegmentationRefused, match="several DICOM segmentations"):
        received.masks()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.nii", "b.nrrd"], "two scans"),
        (["a.zip", "b.zip"], "two zip"),
        (["liver.nii.gz", "folder/liver.nii.gz"], "twice"),
    ],
)
def test_two_of_a_kind_are_refused(received, names, words):
    put(received, names[0])
    with pytest.raises(UnreadableInput, match=words):
        put(received, names[1])


def test_a_volume_beside_dicom_files_is_two_scans(received):
    put(received, "a.nii")
    put(received, "image_1", b"\0" * 128 + b"DICM")
    with pytest.raises(UnreadableInput, match="two scans"):
        received.image()


def test_masks_alone_are_no_scan(received):
    put(received, "liver.nii.gz")
    with pytest.raises(UnreadableInput, match="no scan"):
        received.image()


def test_more_files_or_bytes_than_allowed_are_refused_while_they_come(tmp_path):
    few = Received(tmp_path / "few", Limits(files=2, total_bytes=100))
    put(few, "1")
    put(few, "2")
    with pytest.raises(UnreadableInput, match="too many files"):
        put(few, "3")
    small = Received(tmp_path / "small", Limits(total_bytes=100))
    with pytest.raises(UnreadableInput, match="too large"):
        put(small, "1", b"x" * 101)
    assert sum((tmp_path / "small" / path).stat().st_size for path in files_below(tmp_path / "small")) == 0


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(files=3), "too many files in the zip"),
        (Limits(total_bytes=1000), "too large"),
        (Limits(ratio=20.0, ratio_from=1000), "times its size"),
    ],
)
def test_a_zip_that_says_it_is_a_bomb_is_not_opened(tmp_path, limits, words):
    received = Received(tmp_path, limits)
    zipped(received, {str(n): b"\0" * 100_000 for n in range(5)})
    with pytest.raises(UnreadableInput, match=words):
        unpack(received)
    assert files_below(tmp_path) == ["packed.zip"]


def test_a_zip_that_understates_its_size_is_stopped(received):
    """The directory says 10 bytes, the data hold 100 000."""
    zipped(received, {"bomb": b"\0" * 100_000})
    data = bytearray(received.packed.read_bytes())
    where = data.index(b"PK\x01\x02") + 24
    data[where : where + 4] = (10).to_bytes(4, "little")
    received.packed.write_bytes(data)
    with pytest.raises(UnreadableInput, match="cannot be read"):
        unpack(received)
    assert received.bytes <= 10


def test_a_damaged_a_nested_and_a_locked_zip_are_refused(tmp_path):
    for name in ("damaged", "nested", "locked"):
        (tmp_path / name).mkdir()
    damaged = Received(tmp_path / "damaged")
    put(damaged, "study.zip", b"PK\x03\x04 and no more")
    with pytest.raises(UnreadableInput, match="cannot be read"):
        unpack(damaged)
    nested = Received(tmp_path / "nested")
    zipped(nested, {"inner.zip": b"PK"})
    with pytest.raises(UnreadableInput, match="two zip"):
        unpack(nested)
    locked = Received(tmp_path / "locked")
    zipped(locked, {"slice": b"x"})
    data = bytearray(locked.packed.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    locked.packed.write_bytes(data)
    with pytest.raises(UnreadableInput, match="password"):
        unpack(locked)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no limit of a file's size")
def test_a_full_disk_is_said(received):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResourceError, match="disk is full"):
            put(received, "1", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(ResourceError, match="disk is full"):
        require_room(received.home, 1 << 60)


@pytest.mark.parametrize(
    "told", ["../secret", "/etc/passwd", "patient/../../secret", "out", "", ".", "a\x00b", "nothing"]
)
def test_a_path_leads_to_nothing_outside_the_folder_of_cases(tmp_path, told):
    root, home = tmp_path / "root", tmp_path / "root" / "home"
    home.mkdir(parents=True)
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    (root / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadableInput, match="no such scan"):
        linked(home, root, told, "given")


@pytest.mark.parametrize("absolute", [False, True])
def test_a_path_below_the_folder_of_cases_is_given_a_second_name(tmp_path, absolute):
    root, home = tmp_path / "root", tmp_path / "root" / "home"
    home.mkdir(parents=True)
    (root / "scan.nii.gz").write_bytes(b"x")
    told = str(root / "scan.nii.gz") if absolute else "scan.nii.gz"
    assert linked(home, root, told, "given") == home / "given.nii.gz"
    assert (home / "given.nii.gz").read_bytes() == b"x"
