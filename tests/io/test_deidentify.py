"""Nothing of the patient is left: every identifying attribute is planted with a word that must not be found again."""

from __future__ import annotations

import gzip
import json
import re
import stat
import zlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from test_dicom_out import LESIONS, SPACING_MM, write_as_dicom

import simple_case
from liverplan.cli.main import run
from liverplan.errors import InputError
from liverplan.io.deidentify import Disguise, Pseudonyms, pseudonyms
from liverplan.io.images import read_image
from liverplan.io.writing import write_segmentation
from liverplan.volume import Segmentation

SECRET = Pseudonyms(bytes(range(32)))
WORD = "Zwiebelkuchen"
"""Planted wherever text may stand."""
STUDY, SERIES, FRAME = "1.2.826.0.1.3680043.8.498.123456789", "1.2.826.0.1.3680043.8.498.223456789", "1.2.3.4.55555"
TEXTS = [
    "AccessionNumber",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "StationName",
    "StudyDescription",
    "SeriesDescription",
    "InstitutionalDepartmentName",
    "PerformingPhysicianName",
    "OperatorsName",
    "AdmittingDiagnosesDescription",
    "OtherPatientNames",
    "EthnicGroup",
    "Occupation",
    "AdditionalPatientHistory",
    "PatientComments",
    "DeviceSerialNumber",
    "ProtocolName",
    "StudyID",
    "ImageComments",
    "RequestingPhysician",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "RequestAttributesSequence",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "ContrastBolusAgent",
]


def planted(dataset: Dataset) -> None:
    """The word in each attribute that PS3.15 names, at the top, in sequences, and in private ones."""
    dataset.PatientName, dataset.PatientID = f"{WORD}^Anna", f"{WORD}-17"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19610203", "F", "065Y"
    dataset.StudyInstanceUID, dataset.StudyDate, dataset.AcquisitionDateTime = STUDY, "20260304", "20260304101112.5"
    for name in TEXTS:
        if not name.endswith("Sequence"):
            setattr(dataset, name, WORD[:16])
    inner = Dataset()
    inner.ScheduledProcedureStepDescription = WORD
    inner.PatientName = WORD
    inner.ReferencedSOPInstanceUID = STUDY + ".9"
    dataset.RequestAttributesSequence = [inner]
    kept = Dataset()  # a sequence that the profile keeps
    kept.CodeMeaning, kept.PersonName, kept.UID = "Abdomen", WORD, STUDY + ".8"
    dataset.AnatomicRegionSequence = [kept]
    block = dataset.private_block(0x0011, WORD[:16], create=True)
    block.add_new(0x01, "LO", WORD)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A patient's scan under telling names, and what planning without the patient wrote."""
    home = tmp_path_factory.mktemp("patient")
    grid = simple_case.grid(SPACING_MM)
    masks = simple_case.masks(grid, LESIONS)
    scan = home / f"{WORD}_scan"
    write_as_dicom(scan, simple_case.image(grid, masks))
    for file in scan.iterdir():
        dataset = dcmread(file)
        planted(dataset)
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = SERIES, FRAME
        dataset.save_as(file)
    volume = read_image(scan)
    write_segmentation(Segmentation(volume.grid, masks.masks), home / f"{WORD}_masks")
    record = home / f"{WORD}.yaml"
    record.write_text(
        f"case_id: {WORD}\nage_years: {{value: 65, by: Dr. {WORD}, source: letter of {WORD}, date: 2026-03-01}}\n"
        "scan_date: 2026-03-04\nplanned_surgery_date: 2026-03-20\n"
    )
    out = home / "out"
    arguments = ["plan", scan, "--segmentation", home / f"{WORD}_masks", "--clinical", record, "-o", out, "--quiet"]
    arguments += ["--deidentify", "--deidentify-key", home / "key"]
    assert run([str(a) for a in arguments]) == 0
    return home, out


def unpacked(content: bytes) -> bytes:
    """The bytes, with whatever is compressed in them (gzip files, streams of a PDF) beside them."""
    whole = content
    if content[:2] == b"\x1f\x8b":
        whole += gzip.decompress(content)
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            whole += zlib.decompress(stream.group(1))
        except zlib.error:
            continue
    return whole


def test_no_word_number_date_or_uid_of_the_patient_is_in_any_file(cases: tuple[Path, Path]) -> None:
    home, out = cases
    told = [WORD, STUDY, SERIES, FRAME, "19610203", "20260304", "2026-03-04", "2026-03-20", home.name]
    written = [p for p in out.rglob("*") if p.is_file()]
    assert {p.name for p in written} >= {"report.json", "report.html", "report.pdf", "run.json", "seg.dcm", "sr.dcm"}
    for path in written:
        content = unpacked(path.read_bytes()).lower()
        found = [word for word in told if word.lower().encode() in content or word.lower() in path.name.lower()]
        assert not found, f"{path.relative_to(out)}: {found}"


def test_the_objects_say_how_they_were_deidentified_and_share_the_other_uids(cases: tuple[Path, Path]) -> None:
    home, out = cases
    secret = pseudonyms(home / "key")
    files = {p.name: dcmread(p) for p in (out / "dicom").iterdir()}
    for found in files.values():
        assert found.PatientIdentityRemoved == "YES"
        assert [i.CodeValue for i in found.DeidentificationMethodCodeSequence] == ["113100", "113107"]
        assert found.StudyInstanceUID == secret.uid(STUDY)
        assert str(found.PatientName) == found.PatientID == secret.name(STUDY)
    assert files["seg.dcm"].FrameOfReferenceUID == secret.uid(FRAME)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["input"]["series_uid"] == secret.uid(SERIES)
    assert report["clinical"]["fields"]["case_id"]["value"] == secret.name(STUDY)


def test_dates_move_together_so_that_intervals_stay(cases: tuple[Path, Path]) -> None:
    _, out = cases
    record = json.loads((out / "report.json").read_text(encoding="utf-8"))["clinical"]["fields"]
    scan, surgery = (date.fromisoformat(record[name]["value"]) for name in ("scan_date", "planned_surgery_date"))
    assert surgery - scan == timedelta(days=16)
    assert scan < date(2026, 3, 4)
    assert dcmread(out / "dicom" / "seg.dcm").StudyDate == scan.strftime("%Y%m%d")


def test_a_copy_of_the_scan_without_its_patient_reads_as_the_same_volume(cases: tuple[Path, Path]) -> None:
    home, out = cases
    copy = home / "copy"
    scan = home / f"{WORD}_scan"
    assert run(["dicom", "deidentify", str(scan), "-o", str(copy), "--key", str(home / "key"), "--quiet"]) == 0
    before, after = read_image(scan), read_image(copy)
    assert np.array_equal(before.array, after.array)
    assert np.array_equal(before.grid.affine, after.grid.affine)
    for path in copy.rglob("*.dcm"):
        content = path.read_bytes()
        assert WORD.encode() not in content
        assert STUDY.encode() not in content
        assert dcmread(path).StudyInstanceUID == dcmread(out / "dicom" / "seg.dcm").StudyInstanceUID


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("BurnedInAnnotation", "YES", "burnt-in"),
        ("RecognizableVisualFeatures", "YES", "recognizable"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", "secondary capture"),
    ],
)
def test_pixels_that_may_show_the_patient_are_not_copied(
    cases: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], keyword: str, value: str, words: str
) -> None:
    dataset = dcmread(next((cases[0] / f"{WORD}_scan").iterdir()))
    setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "one.dcm")
    assert run(["dicom", "deidentify", str(tmp_path / "one.dcm"), "-o", str(tmp_path / "out")]) == 3
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_key_is_made_once_for_its_owner_alone_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config" / "key"
    first, again = pseudonyms(path), pseudonyms(path)
    assert first == again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    with pytest.raises(InputError, match="does not read"):
        pseudonyms(path)


def test_the_same_key_gives_the_same_names_and_another_key_gives_others() -> None:
    other = Pseudonyms(b"x" * 32)
    assert SECRET.uid(STUDY) == SECRET.uid(STUDY) != other.uid(STUDY) != STUDY
    assert SECRET.name(STUDY) != other.name(STUDY)
    assert len(SECRET.uid(STUDY)) <= 64


@given(st.dates(date(1950, 1, 1), date(2090, 1, 1)), st.text(min_size=1, max_size=20))
def test_a_date_moves_back_by_whole_days_in_every_notation(day: date, patient: str) -> None:
    disguise = Disguise(SECRET, "x", SECRET.shift(patient))
    moved = day + disguise.shift
    assert timedelta(days=-3652) <= disguise.shift <= timedelta(days=-1)
    assert disguise.moved(day.strftime("%Y%m%d")) == moved.strftime("%Y%m%d")
    assert disguise.moved(day.strftime("%Y%m%d") + "101112.5") == moved.strftime("%Y%m%d") + "101112.5"
    assert disguise.moved(day.isoformat()) == moved.isoformat()
    assert disguise.moved("no date") == ""
