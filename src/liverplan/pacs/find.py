"""Which studies or series an archive holds, as plain records: C-FIND for application entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import Node
from liverplan.pacs.association import associated, require_success

Row = dict[str, str]

_STUDY_KEYS = (
    "StudyInstanceUID",
    "StudyDate",
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDescription",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
_SERIES_KEYS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesDescription",
    "SeriesNumber",
    "NumberOfSeriesRelatedInstances",
)
_PENDING = (0xFF00, 0xFF01)


@dataclass(frozen=True)
class Wanted:
    """What is looked for; empty strings match everything. date: YYYYMMDD, or a range YYYYMMDD-YYYYMMDD.

    study_uid: with it the study's series are listed, without it studies.
    """

    patient_id: str = ""
    patient_name: str = ""
    date: str = ""
    modality: str = ""
    accession: str = ""
    study_uid: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The attributes that an answer holds."""
        return _SERIES_KEYS if self.study_uid else _STUDY_KEYS

    @property
    def filters(self) -> dict[str, str]:
        """DICOM keywords and what they must match."""
        names = {
            "patient_id": "PatientID",
            "patient_name": "PatientName",
            "date": "StudyDate",
            "modality": "Modality" if self.study_uid else "ModalitiesInStudy",
            "accession": "AccessionNumber",
            "study_uid": "StudyInstanceUID",
        }
        values = {names[f.name]: str(getattr(self, f.name)) for f in fields(self)}
        return {name: value for name, value in values.items() if value}


def find(node: Node, wanted: Wanted, own_title: str, limit: int) -> list[Row]:
    """Ask an application entity (C-FIND, study root). At most `limit` rows. Raises ArchiveError."""
    from pydicom.dataset import Dataset
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Model

    query = Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    query.QueryRetrieveLevel = "SERIES" if wanted.study_uid else "STUDY"
    for name in wanted.keys:
        setattr(query, name, "")
    for name, value in wanted.filters.items():
        setattr(query, name, value)
    rows: list[Row] = []
    with associated(node, own_title, [Model]) as association:
        for answer in _answers(association.send_c_find(query, Model), node):
            rows.append(row_of(answer, wanted.keys))
            if len(rows) >= limit:
                association.abort()
                break
    return rows


def row_of(answer: Any, keys: tuple[str, ...]) -> Row:
    """The texts of an answer; an attribute that is absent or odd is an empty text."""
    row = {}
    for name in keys:
        value = answer.get(name)
        many = value is not None and not isinstance(value, str) and hasattr(value, "__iter__")
        row[name] = "\\".join(map(str, value)) if many else str(value if value is not None else "")
    return row


def _answers(responses: Iterator[tuple[Any, Any]], node: Node) -> Iterator[Any]:
    for status, answer in responses:
        if status and status.Status in _PENDING:
            if answer is not None:
                yield answer
            continue
        require_success(status, node, "the query")


def plain(row: Mapping[str, str]) -> str:
    """One line for a person at a terminal."""
    return "  ".join(value for value in row.values() if value)


def nothing_found(where: object) -> ArchiveError:
    """The refusal of a study that the archive does not have."""
    return ArchiveError(
        "the archive sent nothing",
        got=f"no instance from {where}",
        wanted="a study that the archive holds",
        do="Look for it with `liverplan dicom query`.",
    )
