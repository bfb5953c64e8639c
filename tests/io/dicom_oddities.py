"""Series as scanners, archives and people leave them: each is read voxel by voxel, or refused with a known message.

Every entry writes its files and says what has to come of them; docs/dicom.md holds the same table in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from dicom_series import (
    AXIAL,
    COLUMNS,
    ROWS,
    SPACING_MM,
    THICKNESS_MM,
    frame_item,
    multiframe_file,
    voxels,
    write_series,
)
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

ORIGIN = np.array([-20.0, -30.0, 100.0])
CORONAL_OBLIQUE = (np.cos(0.1), np.sin(0.1), 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Read:
    """What must come out: voxels (i, j, k), their affine, and words of the notes ("" for none).

    series: what `--series` gets. reader: who else reads it ("series" or "multiframe" of highdicom; None where nobody
    does). within: how far a voxel may be off.
    """

    array: np.ndarray
    affine: np.ndarray
    notes: str = ""
    series: str | None = None
    reader: str | None = "series"
    within: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """The message, as a regular expression."""

    message: str


def affine(
    orientation: Sequence[float] = AXIAL, gap_mm: float = THICKNESS_MM, origin: np.ndarray = ORIGIN
) -> np.ndarray:
    """The affine that PS3.3 C.7.6.2.1.1 gives a straight stack."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    result = np.eye(4)
    result[:3, 0], result[:3, 1] = row * SPACING_MM[1], column * SPACING_MM[0]
    result[:3, 2], result[:3, 3] = np.cross(row, column) * gap_mm, origin
    return result


def _plain(folder: Path) -> Read:
    write_series(folder / "a" / "b")
    return Read(voxels(), affine())


def _coronal(folder: Path) -> Read:
    write_series(folder, orientation=CORONAL_OBLIQUE)
    return Read(voxels(), affine(CORONAL_OBLIQUE))


def _sagittal(folder: Path) -> Read:
    write_series(folder, orientation=SAGITTAL)
    return Read(voxels(), affine(SAGITTAL))


def _downwards(folder: Path) -> Read:
    write_series(folder, step=(0, 0, -THICKNESS_MM))
    return Read(voxels()[:, :, ::-1], affine(origin=ORIGIN - [0, 0, 5 * THICKNESS_MM]))


def _two_patients(folder: Path) -> Refused:
    write_series(folder / "1")
    write_series(folder / "2", change=lambda k, d: setattr(d, "PatientID", "0816"))
    return Refused(r"several patients: got 2 series: patient \d, .*; patient \d, .*--series")


def _two_studies(folder: Path) -> Refused:
    write_series(folder / "1")
    write_series(folder / "2", change=lambda k, d: setattr(d, "StudyInstanceUID", "1.2.3"))
    return Refused(r"not clear: got 2 series: study \d: .*portal-venous.*; study \d: .*portal-venous")


def _phases(folder: Path) -> Read:
    write_series(folder / "x" / "1", voxels() + 50, description="Abdomen arterial")
    write_series(folder / "x" / "2", description="Abdomen portal venous")
    write_series(folder / "y" / "3", voxels() + 90, description="Abdomen portal venous COR", orientation=SAGITTAL)
    write_series(folder / "y" / "4", voxels() + 70, description="Abdomen delayed")
    return Read(
        voxels(), affine(), reader=None, facts={"series_reason": "the only portal-venous axial scan of 4 series"}
    )


def _thinnest(folder: Path) -> Read:
    def one(thickness: float) -> Callable[[int, Dataset], None]:
        def change(k: int, dataset: Dataset) -> None:
            dataset.SliceThickness, dataset.FrameOfReferenceUID = thickness, "1.2.3.4"

        return change

    write_series(folder / "thick", voxels() + 9, change=one(5.0))
    write_series(folder / "thin", change=one(2.0))
    return Read(
        voxels(),
        affine(),
        reader=None,
        facts={"series_reason": "the thinnest of 2 portal-venous scans, 2 series in all", "slice_thickness_mm": "2"},
    )


def _enhanced_ct(folder: Path) -> Read:
    multiframe_file(folder / "ct.dcm")
    return Read(voxels(), affine(), "No DICOM objects", reader="multiframe")


def _enhanced_mr(folder: Path) -> Read:
    """Frames in another order than the slices, each with its own slope."""
    order = [3, 0, 5, 1, 4, 2]
    slopes = [1.5, 1.0, 2.0, 0.5, 1.0, 1.25]

    def change(dataset: Dataset) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        dataset.Modality = "MR"
        del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            group.PlanePositionSequence[0].ImagePositionPatient = [-20, -30, 100 + order[n] * THICKNESS_MM]
            group.PixelValueTransformationSequence = [
                frame_item(RescaleSlope=slopes[n], RescaleIntercept=-10, RescaleType="US")
            ]

    multiframe_file(folder / "mr.dcm", change=change)
    stored = voxels().astype(np.float64) + 1024
    expected = np.empty_like(stored)
    for n, k in enumerate(order):
        expected[:, :, k] = stored[:, :, n] * slopes[n] - 10
    return Read(expected, affine(), "No DICOM objects", reader="multiframe")


def _enhanced_phases(folder: Path) -> Refused:
    _two_phases_in_frames(folder)
    return Refused(r"not clear: got 2 series: .*#1 .*phase 1.*; .*#2 .*phase 2")


def _enhanced_phase(folder: Path) -> Read:
    uid = _two_phases_in_frames(folder)
    return Read(voxels()[:, :, 1::2], affine(), "No DICOM objects", series=f"{uid}#2", reader=None)


def _two_phases_in_frames(folder: Path) -> str:
    def change(dataset: Dataset) -> None:
        for n, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            group.PlanePositionSequence[0].ImagePositionPatient = [-20, -30, 100 + n // 2 * THICKNESS_MM]
            group.FrameContentSequence[0].TemporalPositionIndex = n % 2 + 1

    return str(dcmread(multiframe_file(folder / "ct.dcm", change=change)).SeriesInstanceUID)


def _enhanced_jpeg_ls(folder: Path) -> Read:
    path = multiframe_file(folder / "ct.dcm")
    dataset = dcmread(path)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.save_as(path)
    return Read(voxels(), affine(), "No DICOM objects", reader="multiframe")


def _enhanced_rle(folder: Path) -> Read:
    path = multiframe_file(folder / "ct.dcm")
    dataset = dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    return Read(voxels(), affine(), "No DICOM objects", reader="multiframe")


def _frames_without_places(folder: Path) -> Refused:
    def change(k: int, dataset: Dataset) -> None:
        dataset.NumberOfFrames = 6
        dataset.PixelData = dataset.PixelData * 6

    write_series(folder, voxels(1), change=change)
    return Refused("multi-frame object that does not say where its frames are")


def _compressed(syntax: str) -> Callable[[Path], Read]:
    def write(folder: Path) -> Read:
        write_series(folder)
        for path in folder.iterdir():
            dataset = dcmread(path)
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.save_as(path)
        return Read(voxels(), affine())

    return write


def _by_itk(compressor: str) -> Callable[[Path], Read]:
    """JPEG lossless and JPEG 2000 as GDCM writes them."""

    def write(folder: Path) -> Read:
        import SimpleITK as sitk

        write_series(folder, change=lambda k, d: setattr(d, "RescaleIntercept", 0))
        for path in folder.iterdir():
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
            writer = sitk.ImageFileWriter()
            writer.SetFileName(str(path))
            writer.SetImageIO("GDCMImageIO")
            writer.KeepOriginalImageUIDOn()
            writer.UseCompressionOn()
            writer.SetCompressor(compressor)
            writer.Execute(image)
            assert dcmread(path).file_meta.TransferSyntaxUID.is_compressed
        return Read(voxels() + 1024, affine(), reader=None)

    return write


def _saved_as(syntax: str) -> Callable[[Path], Read]:
    def write(folder: Path) -> Read:
        write_series(folder)
        for path in folder.iterdir():
            dataset = dcmread(path)
            if syntax == ExplicitVRBigEndian:
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
            little = syntax != ExplicitVRBigEndian
            dcmwrite(path, dataset, little_endian=little, implicit_vr=False, force_encoding=True)
        return Read(voxels(), affine())

    return write


def _without_preamble(folder: Path) -> Read:
    write_series(folder)
    for path in folder.iterdir():
        dataset = dcmread(path)
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        path.write_bytes(path.read_bytes().removeprefix(b"\0" * 128 + b"DICM"))
    return Read(voxels(), affine(), reader=None)


def _lossy(folder: Path) -> Read:
    write_series(folder, change=lambda k, d: setattr(d, "LossyImageCompression", "01"))
    return Read(voxels(), affine(), "compressed with loss")


def _unknown_compression(folder: Path) -> Refused:
    _compressed(RLELossless)(folder)
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
        dataset.save_as(path)
    return Refused("pixels compressed as High-Throughput JPEG 2000.*uncompressed")


def _compressed_and_cut(folder: Path) -> Refused:
    _compressed(RLELossless)(folder)
    path = folder / "IM0024"
    path.write_bytes(path.read_bytes()[:-60])
    return Refused("IM0024 is damaged.*end too early")


def _tilt(sine: float) -> dict[str, Sequence[float]]:
    cosine = float(np.sqrt(1 - sine**2))
    return {"orientation": (1.0, 0.0, 0.0, 0.0, cosine, -sine), "step": (0.0, 0.0, THICKNESS_MM)}


def _tilt_by_whole_pixels(folder: Path) -> Read:
    """2.5 mm x 0.32 is one row of 0.8 mm per slice: nothing is averaged."""
    tilt = _tilt(0.32)
    write_series(folder, **tilt)
    expected = np.full((COLUMNS, ROWS + 5, 6), voxels().min(), dtype=np.int16)
    for k in range(6):
        expected[:, 5 - k : 5 - k + ROWS, k] = voxels()[:, :, k]
    row_down = np.array(tilt["orientation"][3:]) * SPACING_MM[0]
    upright = affine(tilt["orientation"], THICKNESS_MM * float(np.sqrt(1 - 0.32**2)), ORIGIN - 5 * row_down)
    return Read(expected, upright, r"tilted by 18\.7 degrees", reader=None)


def _tilt_between_pixels(folder: Path) -> Read:
    """5/8 of a row per slice. The image is linear along the rows: so is what lies between them."""
    tilt = _tilt(0.2)
    write_series(folder, **tilt)
    rows = np.arange(ROWS + 4)[None, :, None]
    k = np.arange(6)[None, None, :]
    row = rows - 4 + 0.625 * k  # of the stored slice
    exact = np.broadcast_to(-1000 + 100 * k + 7 * row + np.arange(COLUMNS)[:, None, None], (COLUMNS, ROWS + 4, 6))
    expected = np.where((row >= -1e-6) & (row <= ROWS - 1 + 1e-6), exact, voxels().min())
    row_down = np.array(tilt["orientation"][3:]) * SPACING_MM[0]
    upright = affine(tilt["orientation"], THICKNESS_MM * float(np.sqrt(0.96)), ORIGIN - 4 * row_down)
    return Read(expected, upright, r"tilted by 11\.5 degrees", reader=None, within=0.5)


def _tilt_too_far(folder: Path) -> Refused:
    write_series(folder, **_tilt(0.6))
    return Refused(r"shifted sideways.*36\.9 degrees.*up to 30 degrees")


def _wandering(folder: Path) -> Refused:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-20, -30 + 0.3 * k**2, 100 + k * THICKNESS_MM]

    write_series(folder, change=change)
    return Refused(r"shifted sideways.*beside a straight line")


def _one_missing(folder: Path) -> Read:
    hu = voxels(24)
    write_series(folder, hu, step=(0, 0, 1.25), skip=(7,), change=_thin)
    return Read(hu, affine(gap_mm=1.25), r"1 missing slice was interpolated.*2\.50 mm", reader=None,
                facts={"slice_thickness_mm": "2.5"})  # fmt: skip


def _thin(k: int, dataset: Dataset) -> None:
    dataset.SliceThickness = 1.25


def _two_missing_in_a_row(folder: Path) -> Refused:
    write_series(folder, voxels(24), step=(0, 0, 1.25), skip=(7, 8), change=_thin)
    return Refused(r"missing slices: got 2 missing.*3\.75 mm instead of 1\.25 mm.*bridged where")


def _many_missing(folder: Path) -> Refused:
    write_series(folder, voxels(24), step=(0, 0, 1.25), skip=(4, 9, 15), change=_thin)
    return Refused("missing slices: got 3 missing")


def _one_missing_of_a_thick_series(folder: Path) -> Refused:
    write_series(folder, voxels(24), skip=(7,))
    return Refused(r"missing slices: got 1 missing.*5\.00 mm instead of 2\.50 mm")


def _uneven(folder: Path) -> Refused:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-20, -30, 100 + (k * 2.5 if k < 6 else 15 + (k - 6) * 3.1)]

    write_series(folder, voxels(12), change=change)
    return Refused("not equally spaced")


def _copies(folder: Path) -> Read:
    write_series(folder / "a")
    for path in list((folder / "a").iterdir())[:3]:
        (folder / "a" / f"{path.name} copy").write_bytes(path.read_bytes())
    return Read(voxels(), affine(), "3 of 9 images were copies", reader=None)


def _twice_and_different(folder: Path) -> Refused:
    uid = write_series(folder / "a", change=_in_one_frame)
    write_series(folder / "b", voxels() + 1, uid=uid, change=_in_one_frame)
    return Refused("duplicate slices.*6 of 12")


def _in_one_frame(k: int, dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = "1.2.3.4"


def _volumes(folder: Path, *changes: Callable[[Dataset], None], modality: str = "CT") -> str:
    """Several volumes of one series at one place; the second is one brighter than the first, and so on."""
    uid = None
    for n, own in enumerate(changes):

        def change(k: int, dataset: Dataset, own: Callable[[Dataset], None] = own) -> None:
            _in_one_frame(k, dataset)
            dataset.Modality = modality
            if modality == "MR":
                dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
            own(dataset)

        uid = write_series(folder / str(n), voxels() + n, uid=uid, change=change, description="Abdomen")
    assert uid is not None
    return uid


def _said(**values: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for name, value in values.items():
            setattr(dataset, name, value)

    return change


PHASES = tuple(_said(TemporalPositionIdentifier=n) for n in (1, 2, 3))
ECHOES = (_said(EchoTime=2.3), _said(EchoTime=4.6))
DIXON = tuple(_said(ImageType=["DERIVED", "PRIMARY", "DIXON", name]) for name in ("FAT", "WATER"))
DIFFUSION = tuple(_said(DiffusionBValue=b) for b in (50.0, 400.0, 800.0))
BOLUS = (_said(AcquisitionNumber=3, ContrastBolusAgent="x"), _said(AcquisitionNumber=4, ContrastBolusAgent="x"))


def _four_dimensional(folder: Path) -> Refused:
    _volumes(folder, *PHASES)
    return Refused(r"not clear: got 3 series: .*#1 .*phase 1.*; .*#2 .*phase 2.*; .*#3 .*phase 3.*--series")


def _one_of(changes: Sequence[Callable[[Dataset], None]], n: int, modality: str = "MR") -> Callable[[Path], Read]:
    def write(folder: Path) -> Read:
        uid = _volumes(folder, *changes, modality=modality)
        return Read(voxels() + n - 1, affine(), series=f"{uid}#{n}", reader=None)

    return write


def _echoes(folder: Path) -> Refused:
    _volumes(folder, *ECHOES, modality="MR")
    return Refused(r"not clear: got 2 series: .*echo time 2\.3.*echo time 4\.6")


def _with_localizer(folder: Path) -> Read:
    uid = write_series(folder, change=_in_one_frame)

    def change(k: int, dataset: Dataset) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(folder / "scout", voxels(1), uid=uid, orientation=SAGITTAL, change=change)
    return Read(voxels(), affine(), "1 of 7 images of the series are localizers: left out", reader=None)


def _stray_plane(folder: Path) -> Refused:
    uid = write_series(folder, change=_in_one_frame)
    write_series(folder / "x", voxels(1), uid=uid, orientation=SAGITTAL, change=_in_one_frame)
    return Refused("not parallel")


def _captured(k: int, dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE


def _with_secondary_capture(folder: Path) -> Read:
    uid = write_series(folder)
    write_series(folder / "dose", voxels(2), uid=uid, change=_captured)
    return Read(voxels(), affine(), "2 of 8 images of the series are secondary captures: left out", reader=None)


def _secondary_captures(folder: Path) -> Refused:
    write_series(folder, change=_captured)
    return Refused("not a scan that can be measured: got secondary captures")


def _slopes(folder: Path) -> Read:
    write_series(folder, change=lambda k, d: setattr(d, "RescaleSlope", 1 + 0.25 * k))
    expected = (voxels().astype(np.float64) + 1024) * (1 + 0.25 * np.arange(6)) - 1024
    return Read(expected, affine())


def _burnt_in(folder: Path) -> Read:
    """12 bits with an overlay in the unused ones, an overlay of its own, private tags, one of them nonsense."""

    def change(k: int, dataset: Dataset) -> None:
        stored = np.frombuffer(dataset.PixelData, "<i2").astype(np.uint16)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelData = (stored | np.uint16(0x8000) * (np.arange(stored.size) % 3 == 0)).astype("<u2").tobytes()
        dataset.BurnedInAnnotation = "YES"
        dataset.add_new(0x60000010, "US", ROWS)
        dataset.add_new(0x60000011, "US", COLUMNS)
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 16)
        dataset.add_new(0x60000102, "US", 15)
        dataset.add_new(0x00090010, "LO", "ACME")
        dataset.add_new(0x00091001, "DS", "1.5")
        dataset.add_new(0x00211002, "UN", b"\xff\xfe\x00PixelSpacing\x00")
        dataset.add_new(0x20051409, "DS", "77")

    write_series(folder, change=change)
    return Read(voxels(), affine(), reader=None)


def _table(folder: Path) -> Refused:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ModalityLUTSequence = [
            frame_item(LUTDescriptor=[4, 0, 16], ModalityLUTType="HU", LUTData=b"\0\0\x0a\0\x14\0\x1e\0")
        ]
        del dataset.RescaleSlope, dataset.RescaleIntercept

    write_series(folder, change=change)
    return Refused("Modality LUT")


def _no_slope(folder: Path) -> Refused:
    write_series(folder, change=lambda k, d: setattr(d, "RescaleSlope", 0))
    return Refused("rescale slope of zero")


def _dark_is_high(folder: Path) -> Read:
    write_series(folder, change=lambda k, d: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    return Read(voxels(), affine())


def _large_values(folder: Path) -> Read:
    write_series(folder, change=lambda k, d: setattr(d, "RescaleSlope", 100))
    return Read((voxels().astype(np.int64) + 1024) * 100 - 1024, affine())


def _two_frames_of_reference(folder: Path) -> Refused:
    write_series(folder, change=lambda k, d: setattr(d, "FrameOfReferenceUID", f"1.2.{k // 3}"))
    return Refused("different frames of reference")


def _rounded(folder: Path) -> Read:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-20, -30, round(100 + k * 0.625, 2)]
        dataset.SliceThickness = 0.625

    write_series(folder, voxels(17), change=change)
    return Read(voxels(17), affine(gap_mm=0.625))


def _beside_others(folder: Path) -> Read:
    """A report, a media directory, a localizer series and files of the computer beside the scan."""
    write_series(folder / "scan")
    write_series(folder / "scout", voxels(2), description="scout", change=_localizer)
    report = dcmread(next((folder / "scan").iterdir()))
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    report.Modality, report.SeriesInstanceUID = "SR", "1.2.3.4.5"
    report.save_as(folder / "sr.dcm")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"not read")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / ".DS_Store").write_bytes(b"\0" * 200)
    return Read(voxels(), affine(), reader=None, facts={"series_reason": "the only scan of 2 series"})


def _localizer(k: int, dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def _pet(folder: Path) -> Refused:
    write_series(folder, change=lambda k, d: setattr(d, "Modality", "PT"))
    return Refused("modality PT.*CT or MR")


ODDITIES: dict[str, Callable[[Path], Read | Refused]] = {
    "plain axial CT, nested folders": _plain,
    "coronal oblique": _coronal,
    "sagittal": _sagittal,
    "slices stored from head to feet": _downwards,
    "positions rounded by the scanner": _rounded,
    "two patients": _two_patients,
    "two studies of a patient": _two_studies,
    "arterial, portal-venous (axial and sagittal) and delayed series": _phases,
    "two portal-venous series of one study": _thinnest,
    "scan beside report, localizers, DICOMDIR and other files": _beside_others,
    "enhanced CT": _enhanced_ct,
    "enhanced MR, frames shuffled, slope per frame": _enhanced_mr,
    "enhanced CT with two phases": _enhanced_phases,
    "enhanced CT with two phases, one chosen": _enhanced_phase,
    "enhanced CT, JPEG-LS": _enhanced_jpeg_ls,
    "enhanced CT, RLE": _enhanced_rle,
    "several frames without places": _frames_without_places,
    "RLE": _compressed(RLELossless),
    "JPEG-LS": _compressed(JPEGLSLossless),
    "JPEG lossless": _by_itk("JPEG"),
    "JPEG 2000": _by_itk("JPEG2000"),
    "deflated": _saved_as(DeflatedExplicitVRLittleEndian),
    "big endian": _saved_as(ExplicitVRBigEndian),
    "implicit, without preamble": _without_preamble,
    "marked as compressed with loss": _lossy,
    "high-throughput JPEG 2000": _unknown_compression,
    "compressed and cut off": _compressed_and_cut,
    "gantry tilt by whole pixels": _tilt_by_whole_pixels,
    "gantry tilt between pixels": _tilt_between_pixels,
    "gantry tilt of 37 degrees": _tilt_too_far,
    "slices that wander sideways": _wandering,
    "one slice of 1.25 mm missing": _one_missing,
    "two slices in a row missing": _two_missing_in_a_row,
    "three of 24 slices missing": _many_missing,
    "one slice of 2.5 mm missing": _one_missing_of_a_thick_series,
    "unequal gaps": _uneven,
    "copies of slices": _copies,
    "every place twice, different pixels, headers alike": _twice_and_different,
    "4D, three phases": _four_dimensional,
    "4D, second phase chosen": _one_of(PHASES, 2, "CT"),
    "4D by acquisition number, first chosen": _one_of(BOLUS, 1, "CT"),
    "MR with two echoes": _echoes,
    "MR with two echoes, second chosen": _one_of(ECHOES, 2),
    "MR Dixon, water chosen": _one_of(DIXON, 2),
    "MR diffusion, third b-value chosen": _one_of(DIFFUSION, 3),
    "localizer among the slices": _with_localizer,
    "unmarked slice in another plane": _stray_plane,
    "secondary captures among the slices": _with_secondary_capture,
    "secondary captures alone": _secondary_captures,
    "rescale slope per slice": _slopes,
    "slope of zero": _no_slope,
    "values beyond 16 bits": _large_values,
    "12 bits, overlays, burnt-in and private tags": _burnt_in,
    "MONOCHROME1": _dark_is_high,
    "table instead of slope": _table,
    "two frames of reference": _two_frames_of_reference,
    "positron emission": _pet,
}
"""By name, as docs/dicom.md lists them."""
