"""DICOM objects without their patient: the Basic Application Level Confidentiality Profile (PS3.15 annex E).

What becomes of every attribute is the profile's own table (E.1-1, as `dicom-anonymizer` carries it), applied at every
depth of sequences. Beside the profile one option: Retain Longitudinal Temporal Information With Modified Dates; all
dates of a patient move by the same number of whole days. Private attributes go. UIDs, pseudonyms and shifts come from a
secret key: the same key gives the same ones in every run, and nobody without it can lead them back.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import uuid
from base64 import b32encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from liverplan.errors import InputError, UnreadableInput
from liverplan.io.folder import MARKER, output_folder, write_json_atomic, writing

Header: TypeAlias = Any
"""A pydicom Dataset."""
Tag: TypeAlias = tuple[int, int]

TABLE = "dicomfields_2024b"
"""Edition of PS3.15 table E.1-1."""
METHOD = "liverplan, PS3.15 2024b basic profile, modified dates"
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
_LONGEST_SHIFT_DAYS = 3652
_KEY_BYTES = 32
_DUMMY = "REMOVED"
_DUMMY_TIME = "000000"
_DATE_VRS = ("DA", "DT")
_TEXT_VRS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
_NUMBER_VRS = ("DS", "IS", "FD", "FL", "SS", "US", "SL", "UL")
_NAMED_BY_PSEUDONYM = {(0x0010, 0x0010), (0x0010, 0x0020)}
_WHEN_GROUPS = (0x0008, 0x0018, 0x0032, 0x0040)
"""Groups that say when something was done: their dates are moved and their times kept. A birth date is no such date."""


@dataclass(frozen=True)
class Pseudonyms:
    """UIDs, names and date shifts under a secret key."""

    key: bytes

    def uid(self, uid: str) -> str:
        """Always the same other UID for a UID, under the root 2.25 (PS3.5 B.2)."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid)[:16], version=4).int}"

    def name(self, study_uid: str) -> str:
        """The default pseudonym of a study, ten letters and digits."""
        return f"LP-{b32encode(self._digest('study', study_uid))[:10].decode()}"

    def shift(self, patient_id: str) -> timedelta:
        """How far the dates of a patient move: back by 1 to 3652 whole days."""
        return timedelta(days=-1 - int.from_bytes(self._digest("days", patient_id)[:8], "big") % _LONGEST_SHIFT_DAYS)

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{text}".encode(), hashlib.sha256).digest()


@dataclass(frozen=True)
class Disguise:
    """What one patient's objects are changed by."""

    pseudonyms: Pseudonyms
    pseudonym: str
    shift: timedelta

    @classmethod
    def of(cls, header: Header, pseudonyms: Pseudonyms, pseudonym: str | None = None) -> Disguise:
        """For the patient and study of a header. Where it has no patient id, its study stands for the patient."""
        study = str(header.get("StudyInstanceUID") or header.get("SeriesInstanceUID") or "")
        patient = str(header.get("PatientID") or study)
        return cls(pseudonyms, pseudonym or pseudonyms.name(study), pseudonyms.shift(patient))

    def apply(self, dataset: Header) -> Header:
        """A copy of the dataset without its patient, marked as such."""
        import copy

        from pydicom.dataset import Dataset

        result = copy.deepcopy(dataset)
        self._clean(result)
        if hasattr(result, "file_meta"):
            self._clean_meta(result)
        result.PatientName = result.PatientID = self.pseudonym
        result.PatientIdentityRemoved = "YES"
        result.DeidentificationMethod = METHOD
        items = []
        for code, meaning in _CODES:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
            items.append(item)
        result.DeidentificationMethodCodeSequence = items
        result.LongitudinalTemporalInformationModified = "MODIFIED"
        return result

    def moved(self, text: str) -> str:
        """A DICOM date or date and time (DA, DT), or an ISO date, moved; empty where it is none."""
        plain = text.replace("-", "") if text[4:5] == "-" else text
        try:
            day = date(int(plain[:4]), int(plain[4:6]), int(plain[6:8])) + self.shift
        except (ValueError, OverflowError):
            return ""
        if text[4:5] == "-":
            return day.isoformat() + text[10:]
        return day.strftime("%Y%m%d") + plain[8:]

    def _clean(self, dataset: Header) -> None:
        rules = _rules()
        for element in list(dataset):
            tag = (element.tag.group, element.tag.element)
            rule = rules.get(tag) or _repeating(tag)
            if element.tag.is_private or element.VR == "UN":
                del dataset[element.tag]
            elif rule is not None and element.VR in _DATE_VRS and tag[0] in _WHEN_GROUPS:
                element.value = self._dates(element.value)
            elif rule is not None and element.VR == "TM" and tag[0] in _WHEN_GROUPS:
                continue
            elif rule is not None:
                rule(self, dataset, element)
            elif element.VR == "SQ":
                for item in element.value:
                    self._clean(item)

    def _clean_meta(self, dataset: Header) -> None:
        meta = dataset.file_meta
        if "SOPInstanceUID" in dataset:
            meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for name in (
            "SourceApplicationEntityTitle",
            "SendingApplicationEntityTitle",
            "ReceivingApplicationEntityTitle",
            "PrivateInformationCreatorUID",
            "PrivateInformation",
        ):
            if name in meta:
                delattr(meta, name)
        if hasattr(dataset, "preamble"):
            dataset.preamble = b"\0" * 128

    def _dates(self, value: Any) -> Any:
        from pydicom.multival import MultiValue

        if isinstance(value, MultiValue):
            return [self.moved(str(one)) for one in value]
        return self.moved(str(value)) if value else value

    # What the profile's letters do. Dates never come here.

    def _other_uid(self, dataset: Header, element: Any) -> None:
        from pydicom.multival import MultiValue

        if element.VR != "UI":
            self._dummy(dataset, element)
        elif isinstance(element.value, MultiValue):
            element.value = [self.pseudonyms.uid(str(one)) for one in element.value]
        elif element.value:
            element.value = self.pseudonyms.uid(str(element.value))

    def _delete(self, dataset: Header, element: Any) -> None:
        del dataset[element.tag]

    def _empty(self, _dataset: Header, element: Any) -> None:
        if element.VR == "UI":
            self._other_uid(_dataset, element)
        else:
            element.value = [] if element.VR == "SQ" else b"" if element.VR in ("OB", "OW", "UN") else None

    def _dummy(self, dataset: Header, element: Any) -> None:
        if element.VR == "SQ":
            for item in element.value:
                self._clean(item)
        elif element.VR == "UI":
            self._other_uid(dataset, element)
        elif element.VR in _TEXT_VRS:
            element.value = _DUMMY
        elif element.VR == "TM":
            element.value = _DUMMY_TIME
        elif element.VR in _NUMBER_VRS:
            element.value = 0
        elif element.VR == "AS":
            element.value = "000Y"
        else:
            self._empty(dataset, element)


_Rule: TypeAlias = Callable[[Disguise, Header, Any], None]


@cache
def _tables() -> Mapping[str, list[tuple[int, ...]]]:
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    tables: Mapping[str, list[tuple[int, ...]]] = dicom_anonymization_database_selector(TABLE)
    return tables


_BY_LETTER: Mapping[str, _Rule] = {
    "D_TAGS": Disguise._dummy,
    "Z_TAGS": Disguise._empty,
    "X_TAGS": Disguise._delete,
    "U_TAGS": Disguise._other_uid,
    "Z_D_TAGS": Disguise._dummy,
    "X_Z_TAGS": Disguise._empty,
    "X_D_TAGS": Disguise._dummy,
    "X_Z_D_TAGS": Disguise._dummy,
    "X_Z_U_STAR_TAGS": Disguise._dummy,
}


@cache
def _rules() -> Mapping[Tag, _Rule]:
    return {
        (tag[0], tag[1]): rule
        for letter, rule in _BY_LETTER.items()
        for tag in _tables()[letter]
        if len(tag) == 2 and (tag[0], tag[1]) not in _NAMED_BY_PSEUDONYM
    }


@cache
def _repeating(tag: Tag) -> _Rule | None:
    """The rule of a repeating group (curves, overlays): group, element and the mask of each."""
    for letter, rule in _BY_LETTER.items():
        for entry in _tables()[letter]:
            if len(entry) == 4 and (tag[0] & entry[2], tag[1] & entry[3]) == (entry[0] & entry[2], entry[1] & entry[3]):
                return rule
    return None


# ----------------------------------------------------------------------------------------------------------- keys


def default_key_file() -> Path:
    """In the user's own configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("liverplan") / "deidentify.key"


def pseudonyms(key_file: Path | None = None) -> Pseudonyms:
    """Under the key in a file, the user's own by default; one is made, for its owner alone, where there is none.

    Raises InputError for a file that is no key, OutputError where none can be made.
    """
    path = key_file or default_key_file()
    if not path.exists():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                own = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(own, "w") as file:
                    file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) < _KEY_BYTES:
        raise InputError(
            "the key for pseudonyms does not read",
            got=str(path),
            wanted=f"at least {2 * _KEY_BYTES} hexadecimal digits",
            do="Name another file with --deidentify-key; a new one is made where none is. With another key come other "
            "pseudonyms.",
        )
    return Pseudonyms(key)


def burnt_in(header: Header) -> str | None:
    """Why the pixels of an object may show the patient, None where nothing says so."""
    kind = [str(part) for part in header.get("ImageType") or ()]
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        return "its pixels carry burnt-in annotation"
    if str(header.get("RecognizableVisualFeatures") or "").upper() == "YES":
        return "its pixels show recognizable features"
    if str(header.get("SOPClassUID") or "").startswith("1.2.840.10008.5.1.4.1.1.7"):
        return "it is a secondary capture, which may show annotation"
    if "SCREEN SAVE" in kind:
        return "it is a screen shot"
    if "EncapsulatedDocument" in header:
        return "it holds a document"
    return None


def write_copies(
    path: Path, out: Path, secret: Pseudonyms, pseudonym: str | None = None, overwrite: bool = False
) -> tuple[int, dict[str, int]]:
    """Copies of all DICOM files under `path` in the folder `out`, whole or not at all, named by their new UIDs.

    Returns how many, and how many were left out by reason. Raises UnreadableInput when nothing is left, OutputError.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    left_out: Counter[str] = Counter()
    written = 0
    with output_folder(out, overwrite=overwrite) as work:
        for file in files:
            try:
                dataset = pydicom.dcmread(file)
            except (InvalidDicomError, OSError):
                left_out["not a DICOM file"] += 1
                continue
            if (reason := _not_an_image(dataset) or burnt_in(dataset)) is not None:
                left_out[reason] += 1
                continue
            copy = Disguise.of(dataset, secret, pseudonym).apply(dataset)
            place = work / str(copy.get("SeriesInstanceUID") or "series")
            place.mkdir(exist_ok=True)
            copy.save_as(place / f"{copy.SOPInstanceUID}.dcm", enforce_file_format=True)
            written += 1
        if not written:
            raise UnreadableInput(
                "nothing here can be copied without its patient",
                got=f"{len(files)} file(s): " + ("; ".join(f"{n} {why}" for why, n in left_out.items()) or "none"),
                wanted="DICOM images whose pixels show no annotation",
                do="Choose the folder of the scan itself.",
            )
        write_json_atomic(work / MARKER, {"written_by": "liverplan dicom deidentify", "objects": written})
    return written, dict(left_out)


def _not_an_image(header: Header) -> str | None:
    return None if header.get("SOPInstanceUID") else "an index of DICOM files"
