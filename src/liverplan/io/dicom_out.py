"""`write_dicom`: a plan as DICOM objects that an archive files beside the scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liverplan.io.dicom_labelmap import write_label_map
from liverplan.io.dicom_pdf import renew_pdf, write_pdf
from liverplan.io.dicom_seg import write_seg
from liverplan.io.dicom_source import SourceSeries, record_digest, silently, source_series
from liverplan.io.dicom_sr import write_sr
from liverplan.io.folder import writing
from liverplan.volume import Segmentation

__all__ = ["SourceSeries", "renew_report", "source_series", "write_dicom"]


def write_dicom(
    folder: Path, record: Mapping[str, Any], segmentation: Segmentation, source: SourceSeries, label_map: bool = False
) -> tuple[Path, ...]:
    """Write folder/dicom/seg.dcm, sr.dcm and, when folder/report.pdf stands there, report.dcm; return the paths.

    label_map: one label map instead of a binary segment per structure (`dicom_labelmap` says what gets lost).
    record: what report.json holds. segmentation: on the image's own grid, lesions with the record's ids as values.
    source: `source_series(image_path, volume)`. File names hold nothing of the patient.
    Raises GeometryMismatch when the masks are not on the grid of the series; OutputError, ResourceError.
    """
    target = Path(folder) / "dicom"
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    paths = [target / "seg.dcm", target / "sr.dcm"]
    report = Path(folder) / "report.pdf"
    with silently():
        written = (write_label_map if label_map else write_seg)(paths[0], segmentation, source)
        write_sr(paths[1], record, written, source)
        if report.is_file():
            paths.append(target / "report.dcm")
            write_pdf(paths[2], report.read_bytes(), source, record_digest(record))
    return tuple(paths)


def renew_report(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """Put folder/report.pdf into folder/dicom/report.dcm again, after the report was rendered anew; without the scan.

    Returns None, and does nothing, where one of the two is missing or the PDF is the one that is already in it.
    Raises OutputError, ResourceError.
    """
    pdf, target = Path(folder) / "report.pdf", Path(folder) / "dicom" / "report.dcm"
    if not (pdf.is_file() and target.is_file()):
        return None
    with silently():
        return target if renew_pdf(target, pdf.read_bytes(), record_digest(record)) else None
