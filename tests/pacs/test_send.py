"""`liverplan dicom send` to a real receiver on this machine, with and without the patient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pynetdicom = pytest.importorskip("pynetdicom")

from pacs_case import write_study  # noqa: E402
from pydicom import dcmread  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

from liverplan import audit  # noqa: E402
from liverplan.cli.main import run  # noqa: E402


class Archive:
    """Stores what it is sent."""

    def __init__(self) -> None:
        self.stored: list[Dataset] = []
        entity = pynetdicom.AE("ARCHIVE")
        entity.supported_contexts = pynetdicom.AllStoragePresentationContexts
        handlers = [(pynetdicom.evt.EVT_C_STORE, self._store)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.address = f"ARCHIVE@127.0.0.1:{self.server.server_address[1]}"

    def _store(self, event: object) -> int:
        self.stored.append(event.dataset)  # type: ignore[attr-defined]
        return 0x0000


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive()
    yield found
    found.server.shutdown()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path / "study", spacing_mm=(8.0, 8.0, 10.0))
    return tmp_path / "study"


def test_objects_go_as_they_are(archive: Archive, study: Path) -> None:
    assert run(["dicom", "send", archive.address, str(study)]) == 0
    sent = {d.SOPInstanceUID: d.PatientID for d in archive.stored}
    assert sent == {d.SOPInstanceUID: d.PatientID for d in map(dcmread, study.rglob("*.dcm"))}


def test_deidentified_copies_name_nobody_and_still_belong_together(
    archive: Archive, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "study.key"
    command = ["dicom", "send", archive.address, str(study), "--deidentify", "--deidentify-key", str(key), "--json"]
    assert run(command) == 0
    before = [dcmread(path) for path in study.rglob("*.dcm")]
    assert len(archive.stored) == len(before)
    told = " ".join(str(d) for d in archive.stored)
    for word in (
        {str(d.PatientName) for d in before} | {d.PatientID for d in before} | {d.SOPInstanceUID for d in before}
    ):
        assert word not in told
    assert len({(d.PatientID, d.StudyInstanceUID, d.FrameOfReferenceUID) for d in archive.stored}) == 1
    images = {d.SOPInstanceUID for d in archive.stored if d.Modality == "CT"}
    seg = next(d for d in archive.stored if d.Modality == "SEG")
    referred = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred <= images
    result = json.loads(capsys.readouterr().out)
    assert result["deidentified"] is True
    assert all("/" not in name for name in result["sent"]), "no path of the original is told"


def test_the_same_key_gives_the_same_objects_again(archive: Archive, study: Path, tmp_path: Path) -> None:
    command = ["dicom", "send", archive.address, str(study), "--deidentify", "--deidentify-key", str(tmp_path / "key")]
    assert run([*command, "--pseudonym", "case-017"]) == 0
    first = {d.SOPInstanceUID for d in archive.stored}
    assert run([*command, "--pseudonym", "case-017"]) == 0
    assert {d.SOPInstanceUID for d in archive.stored} == first
    assert {d.PatientID for d in archive.stored} == {"case-017"}


def test_how_without_whether_is_a_wrong_use(archive: Archive, study: Path) -> None:
    assert run(["dicom", "send", archive.address, str(study), "--pseudonym", "x"]) == 2
    assert archive.stored == []


def test_the_log_of_a_case_counts_what_was_sent_and_copied(archive: Archive, study: Path, tmp_path: Path) -> None:
    """A burnt-in object and a document are left out of copies, and out of the count."""
    case = tmp_path / "case"
    (study / "ct").rename(tmp_path / "scan")
    (case / "dicom").mkdir(parents=True)
    (case / "report.json").write_text("{}", encoding="utf-8")
    for number, path in enumerate(sorted((tmp_path / "scan").glob("*.dcm"))[:4]):
        slice_ = dcmread(path)
        if number == 0:
            slice_.BurnedInAnnotation = "YES"
        slice_.save_as(case / "dicom" / path.name)
    key = ["--deidentify-key", str(tmp_path / "key")]
    assert run(["dicom", "send", archive.address, str(case), "--deidentify", *key]) == 0
    assert len(archive.stored) == 3
    assert run(["dicom", "send", archive.address, str(case)]) == 0
    assert (
        run(["dicom", "deidentify", str(case / "dicom"), "-o", str(tmp_path / "copy"), "--key", str(tmp_path / "key")])
        == 0
    )
    events = list(audit.read(case).events())
    assert [(e["action"], e["objects"]) for e in events] == [("sent", 3), ("sent", 4), (audit.COPIED, 3)]
