"""The printed report as a DICOM Encapsulated PDF (PS3.3 A.45.1), so that it is found beside the scan."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.io.dicom_source import Header, SourceSeries, derived_uid, save

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
SERIES_NUMBER = 903
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_SOFTWARE = "liverplan"


def write_pdf(path: Path, pdf: bytes, source: SourceSeries, digest: str) -> None:
    """Write the bytes of a PDF to `path`. `digest`: of what the PDF says; it decides the UIDs.

    Raises OutputError, ResourceError.
    """
    from highdicom.base import SOPClass
    from pydicom.dataset import Dataset

    first = source.first
    uid = derived_uid("pdf", source.series_uid, digest)
    document = SOPClass(
        study_instance_uid=first.StudyInstanceUID,
        series_instance_uid=derived_uid("series", uid),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        sop_class_uid=ENCAPSULATED_PDF,
        instance_number=1,
        modality="DOC",
        manufacturer=_SOFTWARE,
        manufacturer_model_name=_SOFTWARE,
        software_versions=__version__,
        device_serial_number=__version__,
        transfer_syntax_uid=_EXPLICIT_LITTLE_ENDIAN,
        patient_id=first.PatientID,
        patient_name=first.PatientName,
        patient_birth_date=first.PatientBirthDate,
        patient_sex=first.PatientSex,
        accession_number=first.AccessionNumber,
        study_id=first.StudyID,
        study_date=first.StudyDate,
        study_time=first.StudyTime,
        referring_physician_name=first.ReferringPhysicianName,
        series_description="Liver plan report (research use only)",
    )
    document.copy_patient_and_study_information(first)
    document.ConversionType = "WSD"
    document.BurnedInAnnotation = "YES"  # a report may name the case
    document.AcquisitionDateTime = None
    document.DocumentTitle = f"Liver plan. {RESEARCH_USE_ONLY}"
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "126000", "DCM", "Imaging Measurement Report"
    document.ConceptNameCodeSequence = [title]
    document.SourceInstanceSequence = [_reference(header) for header in source.headers]
    _embed(document, pdf)
    save(document, path, source.patient_name)


def renew_pdf(path: Path, pdf: bytes, digest: str) -> bool:
    """Put another PDF into what `write_pdf` wrote, as a new instance of its series; False when it is the same one.

    Raises OutputError, ResourceError.
    """
    import pydicom

    document = pydicom.dcmread(path)
    if document.EncapsulatedDocument[: document.EncapsulatedDocumentLength] == pdf:
        return False
    uid = derived_uid("pdf", document.SOPInstanceUID, digest)
    now = datetime.now()
    document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = uid
    document.InstanceCreationDate = document.ContentDate = now.strftime("%Y%m%d")
    document.InstanceCreationTime = document.ContentTime = now.strftime("%H%M%S.%f")
    document.SoftwareVersions = __version__
    _embed(document, pdf)
    save(document, path, document.PatientName)
    return True


def _embed(document: Header, pdf: bytes) -> None:
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)


def _reference(header: Header) -> Header:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
