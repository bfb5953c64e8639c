"""A plan on a DICOM series leaves DICOM objects that say the same numbers, of the same patient, in the same place."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from dicom_case import FRAME, by_pydicom, expected, random_masks, scan
from dicom_series import write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

import simple_case
from liverplan.anatomy import Structure
from liverplan.errors import UnreadableInput
from liverplan.io.dicom_out import SourceSeries, renew_report, source_series, write_dicom
from liverplan.io.dicom_seg import write_seg
from liverplan.io.images import read_image
from liverplan.io.writing import write_volume
from liverplan.plan import plan
from liverplan.protocol import DEFAULT_PROTOCOL, load_protocol
from liverplan.record import to_record
from liverplan.volume import Segmentation, Volume

LESIONS = (simple_case.Ball((-22.0, 4.0, 36.0), 7.0), simple_case.Ball((12.0, 3.0, -30.0), 6.0))
SPACING_MM = (2.0, 2.0, 2.5)
REPEATED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
)
PDF = b"%PDF-1.7 not even"  # an odd number of bytes: DICOM pads it


class Planned:
    """A planned case with its DICOM results in `folder`."""

    def __init__(self, folder: Path) -> None:
        grid = simple_case.grid(SPACING_MM)
        masks = simple_case.masks(grid, LESIONS)
        image = simple_case.image(grid, masks)
        self.scan = folder / "scan"
        write_as_dicom(self.scan, image)
        self.volume = read_image(self.scan)
        assert np.array_equal(self.volume.array, image.array)
        masks = Segmentation(self.volume.grid, masks.masks)
        found = plan(self.volume, masks, load_protocol(DEFAULT_PROTOCOL))
        self.record: dict[str, Any] = to_record(found)
        self.masks = found.segmentation
        self.out = folder / "out"
        self.out.mkdir()
        (self.out / "report.pdf").write_bytes(PDF)
        self.paths = write_dicom(self.out, self.record, self.masks, self.source)

    @property
    def source(self) -> SourceSeries:
        source = source_series(self.scan, self.volume)
        assert source is not None
        return source

    def read(self, name: str) -> Dataset:
        return dcmread(self.out / "dicom" / name)


def write_as_dicom(folder: Path, image: Volume) -> None:
    def change(k: int, dataset: Dataset) -> None:
        i_mm, j_mm, k_mm = image.grid.spacing_mm
        dataset.PixelSpacing = [j_mm, i_mm]
        dataset.SliceThickness = k_mm
        dataset.FrameOfReferenceUID = FRAME
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260102", "101112", "7"
        dataset.AccessionNumber, dataset.PatientBirthDate, dataset.PatientSex = "A-1", "19600102", "F"
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Größe^Zoë"

    write_series(folder, image.array, origin=image.grid.origin_lps_mm, step=image.grid.affine[:3, 2], change=change)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    return Planned(tmp_path_factory.mktemp("planned"))


# ---- the files ---------------------------------------------------------------------------------------------------


def test_three_objects_are_written_and_their_names_hold_nothing_of_the_patient(planned: Planned) -> None:
    assert [p.relative_to(planned.out).as_posix() for p in planned.paths] == [
        "dicom/seg.dcm",
        "dicom/sr.dcm",
        "dicom/report.dcm",
    ]
    assert sorted(p.name for p in (planned.out / "dicom").iterdir()) == ["report.dcm", "seg.dcm", "sr.dcm"]


@pytest.mark.parametrize("name", ["seg.dcm", "sr.dcm", "report.dcm"])
def test_patient_and_study_are_those_of_the_scan(planned: Planned, name: str) -> None:
    found = planned.read(name)
    first = dcmread(next(planned.scan.iterdir()))
    for keyword in REPEATED:
        assert found[keyword].value == first[keyword].value, keyword
    assert str(found.PatientName) == "Größe^Zoë"
    assert "research use only" in found.SeriesDescription
    assert found.Manufacturer == "liverplan"
    assert not [e.keyword for e in found if e.tag.is_private]


def test_uids_are_valid_new_and_unique(planned: Planned) -> None:
    files = [planned.read(name) for name in ("seg.dcm", "sr.dcm", "report.dcm")]
    uids = [str(f[k].value) for f in files for k in ("SOPInstanceUID", "SeriesInstanceUID")]
    assert len(set(uids)) == len(uids)
    taken = {str(planned.source.series_uid), *(str(h.SOPInstanceUID) for h in planned.source.headers)}
    assert not taken & set(uids)
    tracking = {str(s.TrackingUID) for s in files[0].SegmentSequence}
    for uid in (*uids, *tracking):
        assert uid.startswith("2.25.")
        assert UID(uid).is_valid
        assert int(uid.removeprefix("2.25.")) < 2**128
    assert all(f.file_meta.MediaStorageSOPInstanceUID == f.SOPInstanceUID for f in files)


def test_the_same_run_gives_the_same_files_apart_from_times(planned: Planned, tmp_path: Path) -> None:
    shutil.copy(planned.out / "report.pdf", tmp_path)
    for path in write_dicom(tmp_path, planned.record, planned.masks, planned.source):
        again, first = dcmread(path), planned.read(path.name)
        for dataset in (again, first):
            for keyword in ("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"):
                if keyword in dataset:
                    delattr(dataset, keyword)
            dataset.pop("ContributingEquipmentSequence", None)  # says when this software contributed
        assert again == first, path.name


def test_other_numbers_are_another_report(planned: Planned, tmp_path: Path) -> None:
    record = copy.deepcopy(planned.record)
    record["liver"]["volume_ml"] += 1.0
    (tmp_path / "report.pdf").write_bytes(PDF)
    write_dicom(tmp_path, record, planned.masks, planned.source)
    assert dcmread(tmp_path / "dicom" / "seg.dcm").SOPInstanceUID == planned.read("seg.dcm").SOPInstanceUID
    for name in ("sr.dcm", "report.dcm"):
        assert dcmread(tmp_path / "dicom" / name).SOPInstanceUID != planned.read(name).SOPInstanceUID


def test_the_segmentation_is_the_plans(planned: Planned) -> None:
    found = by_pydicom(planned.read("seg.dcm"), planned.source)
    wanted = expected(planned.masks)
    assert list(found) == list(wanted)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


# ---- the PDF -----------------------------------------------------------------------------------------------------


def test_the_pdf_comes_back_byte_by_byte(planned: Planned) -> None:
    found = planned.read("report.dcm")
    assert found.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert len(found.EncapsulatedDocument) % 2 == 0
    assert found.EncapsulatedDocument[: found.EncapsulatedDocumentLength] == PDF
    assert "Research use only" in found.DocumentTitle
    assert len(found.SourceInstanceSequence) == planned.volume.grid.shape[2]


def test_without_a_pdf_there_is_no_such_object(planned: Planned, tmp_path: Path) -> None:
    paths = write_dicom(tmp_path, planned.record, planned.masks, planned.source)
    assert [p.name for p in paths] == ["seg.dcm", "sr.dcm"]
    assert not (tmp_path / "dicom" / "report.dcm").exists()


def test_a_report_that_is_rendered_anew_becomes_a_new_instance_of_the_same_series(
    planned: Planned, tmp_path: Path
) -> None:
    shutil.copytree(planned.out, tmp_path / "out")
    assert renew_report(tmp_path / "out", planned.record) is None  # nothing new
    (tmp_path / "out" / "report.pdf").write_bytes(b"%PDF-1.7 another")
    path = renew_report(tmp_path / "out", planned.record)
    assert path is not None
    before, after = planned.read("report.dcm"), dcmread(path)
    assert after.EncapsulatedDocument[: after.EncapsulatedDocumentLength] == b"%PDF-1.7 another"
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != before.SOPInstanceUID
    assert after.SeriesInstanceUID == before.SeriesInstanceUID
    assert after.PatientName == before.PatientName
    assert renew_report(tmp_path, planned.record) is None  # no DICOM case


# ---- the structured report ---------------------------------------------------------------------------------------


def groups(report: Dataset) -> list[Dataset]:
    """The measurement groups (125007)."""
    (measurements,) = (i for i in report.ContentSequence if code(i) == "126010")
    return [i for i in measurements.ContentSequence if code(i) == "125007"]


def code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def inside(item: Dataset, name: str) -> Iterator[Dataset]:
    return (i for i in item.ContentSequence if code(i) == name)


def titled(report: Dataset, title: str) -> list[Dataset]:
    return [g for g in groups(report) if next(inside(g, "112039")).TextValue == title]


def number(found: list[Dataset], name: str) -> Dataset:
    (item,) = (i for group in found for i in inside(group, name))
    return item


def value(item: Dataset) -> tuple[float, str]:
    measured = item.MeasuredValueSequence[0]
    unit = measured.MeasurementUnitsCodeSequence[0]
    assert unit.CodingSchemeDesignator == "UCUM"
    return float(measured.NumericValue), str(unit.CodeValue)


def interval(item: Dataset) -> tuple[float, float]:
    at, unit = value(item)
    (above, above_unit), (below, below_unit) = (value(next(inside(item, name))) for name in ("371886008", "371885007"))
    assert above_unit == below_unit == unit
    return at - below, at + above


def test_every_number_of_a_lesion_is_there_with_its_unit_and_interval(planned: Planned) -> None:
    report = planned.read("sr.dcm")
    for lesion in planned.record["lesions"]:
        about = titled(report, f"Lesion {lesion['id']}")
        assert value(number(about, "118565006")) == (pytest.approx(lesion["volume_ml"]), "mL")
        assert value(number(about, "L0JK")) == (pytest.approx(lesion["longest_diameter_mm"]), "mm")
        measured = {
            "capsule_distance": lesion["capsule_distance"],
            "nearest_lesion": lesion["nearest_lesion"],
            "margin_upper": lesion["margin_upper_mm"],
            "margin_planned": lesion["margin_planned_mm"],
            "cl_portal_vein": lesion["vessels"][0]["clearance_mm"],
            "cl_hepatic_veins": lesion["vessels"][1]["clearance_mm"],
            "cl_vena_cava": lesion["vessels"][2]["clearance_mm"],
        }
        assert [v["structure"] for v in lesion["vessels"]] == ["portal_vein", "hepatic_veins", "inferior_vena_cava"]
        for name, wanted in measured.items():
            item = number(about, name)
            assert value(item) == (pytest.approx(wanted["value"]), "mm"), name
            assert interval(item) == pytest.approx((wanted["low"], wanted["high"]), abs=1e-3), name


def test_both_witness_points_are_a_line_in_the_scans_frame_of_reference(planned: Planned) -> None:
    report = planned.read("sr.dcm")
    for lesion in planned.record["lesions"]:
        about = titled(report, f"Lesion {lesion['id']}")
        lines = {
            "cl_portal_vein": lesion["vessels"][0]["witness_lps_mm"],
            "capsule_distance": lesion["capsule_distance"]["witness_lps_mm"],
            "nearest_lesion": lesion["nearest_lesion"]["witness_lps_mm"],
            "L0JK": lesion["longest_diameter_witness_lps_mm"],
            "margin_upper": lesion["limiting"]["witness_lps_mm"],
        }
        for name, points in lines.items():
            if points is None:  # a margin that no single place limits
                assert not any(i.ValueType == "SCOORD3D" for i in number(about, name).ContentSequence)
                continue
            (line,) = (i for i in number(about, name).ContentSequence if i.ValueType == "SCOORD3D")
            assert line.GraphicType == "POLYLINE"
            assert line.ReferencedFrameOfReferenceUID == FRAME
            assert np.reshape(line.GraphicData, (-1, 3)) == pytest.approx(np.array(points), abs=1e-3), name
    clearance = lesion["vessels"][0]
    apart = np.linalg.norm(np.subtract(*clearance["witness_lps_mm"]))
    assert apart == pytest.approx(clearance["clearance_mm"]["value"], abs=0.6)


def test_the_liver_and_each_resection_have_their_volumes(planned: Planned) -> None:
    report, record = planned.read("sr.dcm"), planned.record
    liver = titled(report, "Liver")
    assert value(number(liver, "118565006")) == (pytest.approx(record["liver"]["volume_ml"]), "mL")
    wanted = record["liver"]["volume_low_ml"], record["liver"]["volume_high_ml"]
    assert interval(number(liver, "118565006")) == pytest.approx(wanted, abs=1e-3)
    assert value(number(liver, "tumour_volume")) == (pytest.approx(record["liver"]["tumour_volume_ml"]), "mL")
    assert record["resections"]
    for resection in record["resections"]:
        about = titled(report, f"Resection {resection['name']}")
        assert value(number(about, "resected_volume")) == (pytest.approx(resection["volume_ml"]["value"]), "mL")
        assert value(number(about, "remnant_volume")) == (pytest.approx(resection["remnant_ml"]), "mL")
        assert value(number(about, "flr_percent")) == (pytest.approx(resection["flr_percent"]["value"]), "%")


def test_groups_refer_to_the_segments_and_to_the_slices_that_hold_them(planned: Planned) -> None:
    report, seg = planned.read("sr.dcm"), planned.read("seg.dcm")
    for segment in seg.SegmentSequence[:3]:
        about = titled(report, segment.SegmentLabel)
        assert {str(next(inside(g, "112040")).UID) for g in about} == {str(segment.TrackingUID)}
        image = next(inside(about[0], "121191")).ReferencedSOPSequence[0]
        assert image.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert image.ReferencedSegmentNumber == segment.SegmentNumber
    slices = {
        str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for i in inside(titled(report, "Lesion 1")[0], "121233")
    }
    hit = (planned.masks.masks[Structure.LESIONS] == 1).any(axis=(0, 1))
    assert slices == {str(planned.source.headers[k].SOPInstanceUID) for k in np.flatnonzero(hit)}
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {str(s.SeriesInstanceUID) for s in evidence} == {planned.source.series_uid, str(seg.SeriesInstanceUID)}
    assert sum(len(s.ReferencedSOPSequence) for s in evidence) == planned.volume.grid.shape[2] + 1


def test_highdicom_reads_the_report_as_its_template(planned: Planned) -> None:
    report = highdicom.sr.srread(planned.out / "dicom" / "sr.dcm").content
    found = report.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in found] == ["Liver", "Lesion 1", "Lesion 2"]
    (volume,) = found[1].get_measurements(name=highdicom.sr.CodedConcept("118565006", "SCT", "Volume"))
    assert volume.value == pytest.approx(planned.record["lesions"][0]["volume_ml"])
    others = report.get_image_measurement_groups()
    assert [g.tracking_identifier for g in others][:3] == ["Case", "Lesion 1", "Lesion 2"]


def test_the_report_is_preliminary_and_says_what_it_is_for(planned: Planned) -> None:
    report = planned.read("sr.dcm")
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    comments = [i.TextValue for i in inside(report, "121106")]
    assert any(c.startswith("Research use only") for c in comments)
    assert set(planned.record["assumptions"]) < set(comments)
    schemes = [i.CodingSchemeDesignator for i in report.CodingSchemeIdentificationSequence]
    assert "99LIVERPLAN" in schemes


def test_what_is_not_known_is_no_number_and_says_why(planned: Planned, tmp_path: Path) -> None:
    record = copy.deepcopy(planned.record)
    why = "slices ≥ 5 mm – too thick"  # beyond Latin-1 as well
    record["lesions"][0]["vessels"][0] |= {"clearance_mm": {"value": None, "reason": why}, "witness_lps_mm": None}
    record["lesions"][0]["margin_planned_mm"] = None
    record["resections"] = []
    write_dicom(tmp_path, record, planned.masks, planned.source)
    about = titled(dcmread(tmp_path / "dicom" / "sr.dcm"), "Lesion 1")
    assert not [g for g in about for _ in inside(g, "cl_portal_vein")]
    assert f"Clearance to portal vein: not assessed, {why}" in [i.TextValue for g in about for i in inside(g, "121106")]
    assert not [g for g in about for _ in inside(g, "margin_planned")]


def test_a_record_of_other_masks_is_a_mistake(planned: Planned, tmp_path: Path) -> None:
    lesions = planned.masks.masks[Structure.LESIONS].copy()
    lesions[lesions == 2] = 0
    other = replace(planned.masks, masks={**planned.masks.masks, Structure.LESIONS: lesions})
    with pytest.raises(ValueError, match="lesion 2"):
        write_dicom(tmp_path, planned.record, other, planned.source)


# ---- the source --------------------------------------------------------------------------------------------------


def test_an_image_that_was_no_dicom_series_has_no_source(planned: Planned, tmp_path: Path) -> None:
    path = write_volume(planned.volume, tmp_path / "image.nii.gz")
    assert source_series(path, read_image(path)) is None


def test_headers_are_kept_without_pixels_in_the_order_of_the_slices(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan", step=(0.0, 0.0, -2.5))
    positions = [h.ImagePositionPatient for h in case.source.headers]
    assert np.array(positions, dtype=float) == pytest.approx(
        np.array([case.grid.to_world([0, 0, k]) for k in range(6)]), abs=1e-6
    )
    assert not any("PixelData" in h for h in case.source.headers)


def test_one_of_several_series_is_the_source(tmp_path: Path) -> None:
    wanted = scan(tmp_path / "all" / "a").source.series_uid
    scan(tmp_path / "all" / "b")
    volume = read_image(tmp_path / "all", wanted)
    source = source_series(tmp_path / "all", volume)
    assert source is not None
    assert source.series_uid == wanted
    assert len(source.headers) == 6


def test_a_series_that_changed_while_it_was_planned_is_refused(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    volume = read_image(case.folder)
    next(case.folder.iterdir()).unlink()
    with pytest.raises(UnreadableInput, match="not the one that was read before"):
        source_series(case.folder, volume)


def test_what_a_scan_leaves_out_or_gets_wrong_does_not_stop_the_results(planned: Planned, tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "FrameOfReferenceUID"):
            delattr(dataset, keyword)
        dataset.PatientSex = "U"
        dataset.StudyDate = "2026-13-41"

    shutil.copytree(planned.scan, tmp_path / "scan")
    for path in (tmp_path / "scan").iterdir():
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)
    volume = read_image(tmp_path / "scan")
    source = source_series(tmp_path / "scan", volume)
    assert source is not None
    write_dicom(tmp_path, planned.record, planned.masks, source)
    seg, report = (dcmread(tmp_path / "dicom" / name) for name in ("seg.dcm", "sr.dcm"))
    assert seg.PatientSex == seg.StudyDate == ""
    assert seg.StudyInstanceUID == report.StudyInstanceUID
    assert UID(seg.StudyInstanceUID).is_valid
    assert UID(seg.FrameOfReferenceUID).is_valid


@pytest.mark.parametrize(
    ("charset", "name", "study"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "CT"),
        ("ISO_IR 100", "Größe^Zoë", "Oberbauch, späte Phase"),
        ("ISO_IR 144", "Люкceмбypг", "Печень"),
    ],
)
def test_texts_in_other_alphabets_survive(tmp_path: Path, charset: str | list[str], name: str, study: str) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = charset
        dataset.PatientName, dataset.StudyDescription = name, study

    case = scan(tmp_path / "scan", change=change)
    write_seg(tmp_path / "seg.dcm", random_masks(case.grid), case.source)
    found = dcmread(tmp_path / "seg.dcm")
    assert (str(found.PatientName), found.StudyDescription) == (name, study)


def test_nothing_of_the_patient_is_printed(
    planned: Planned,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Libraries quote what they find odd: a name of one part, a date that is none, an identifier that is too long."""
    shutil.copytree(planned.scan, tmp_path / "scan")
    for path in (tmp_path / "scan").iterdir():
        dataset = dcmread(path)
        dataset.PatientName, dataset.PatientID = "SECRET=A=B=C=D", "SECRET" * 20
        dataset.save_as(path)
    recwarn.clear()
    source = source_series(tmp_path / "scan", read_image(tmp_path / "scan"))
    assert source is not None
    paths = write_dicom(tmp_path, planned.record, planned.masks, source)
    assert {str(dcmread(path).PatientName) for path in paths} == {"SECRET=A=B=C=D"}
    assert "SECRET" not in "".join((*capfd.readouterr(), caplog.text, *(str(w.message) for w in recwarn)))


def test_a_name_never_reaches_the_library_that_would_quote_it(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Silence is one guard, and another thread may break it; keeping the name apart is the other."""
    case = scan(tmp_path / "scan", change=lambda k, dataset: setattr(dataset, "PatientName", "SECRET"))
    recwarn.clear()
    write_seg(tmp_path / "seg.dcm", random_masks(case.grid), case.source)
    assert dcmread(tmp_path / "seg.dcm").PatientName == "SECRET"
    assert not [w for w in recwarn if "SECRET" in str(w.message)]
