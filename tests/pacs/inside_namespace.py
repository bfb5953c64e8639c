"""Against a real Orthanc; test_orthanc.py runs this file in a network namespace that has only `lo`."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from orthanc_server import LISTENER, NODE, REST, WEB, instances_of, modalities_of, orthanc, rest, route
from pacs_case import LESIONS, files_of, study_uid, write_study
from pydicom import dcmread
from receiver_process import ReceiverProcess

from liverplan.anatomy import Structure
from liverplan.io.dicom_seg_in import read_dicom_seg
from liverplan.io.images import read_image
from liverplan.pacs.addresses import parse_address
from liverplan.pacs.archive import objects_in, query, retrieve, send
from liverplan.pacs.find import Wanted
from liverplan.pacs.receiver import Receiver

ARCHIVES = [NODE, WEB]
N_STUDIES = int(os.environ.get("LIVERPLAN_TEST_STUDIES", "20"))
OPTIONS = ("--send-to", NODE, "--idle-s", "2", "--port", str(LISTENER), "--no-pictures", "--allow-aet", "ORTHANC")
COARSE = (6.0, 6.0, 6.0)
ME = "LIVERPLAN"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    names = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    assert names == {"lo"}, "Orthanc listens on every interface: there must be none but lo"
    with orthanc(tmp_path_factory.mktemp("orthanc")):
        yield


@pytest.mark.parametrize("address", ARCHIVES)
def test_a_study_is_sent_found_and_fetched_with_every_voxel(address: str, tmp_path: Path, server: None) -> None:
    number = 100 + ARCHIVES.index(address)
    uid = write_study(tmp_path / "study", number, spacing_mm=COARSE)
    archive = parse_address(address)
    send(archive, objects_in(tmp_path / "study"), ME)
    rows = query(archive, Wanted(patient_id=f"P-{number}"), ME)
    assert [(r["StudyInstanceUID"], r["StudyDate"], r["PatientID"]) for r in rows] == [(uid, "20260102", f"P-{number}")]
    assert query(archive, Wanted(patient_id="nobody"), ME) == []
    series = query(archive, Wanted(study_uid=uid), ME)
    assert sorted(r["Modality"] for r in series) == ["CT", "SEG"]
    n = retrieve(archive, uid, None, tmp_path / "back", Receiver(ME, port=LISTENER, allowed=("ORTHANC",)))
    assert n == len(files_of(tmp_path / "study"))
    ct = next(r["SeriesInstanceUID"] for r in series if r["Modality"] == "CT")
    ours, back = read_image(tmp_path / "study" / "ct"), read_image(tmp_path / "back" / ct)
    assert np.array_equal(ours.array, back.array)
    assert np.allclose(ours.grid.affine, back.grid.affine)


def test_a_study_is_planned_and_its_results_come_back_readable(tmp_path: Path, server: None) -> None:
    receiver = ReceiverProcess(tmp_path / "state", *OPTIONS)
    for number in (201, 202, 203):
        write_study(tmp_path / str(number), number, spacing_mm=COARSE, lesions=LESIONS[: number - 200])
        send(parse_address(NODE), objects_in(tmp_path / str(number)), ME)
    receiver.start()
    for number in (201, 202, 203):
        route(study_uid(number))
    receiver.wait_for(lambda: len(receiver.events("done")) == 3, 900)
    assert receiver.stop() == 0
    for number in (201, 202, 203):
        _require_results(study_uid(number), tmp_path)
    given = tmp_path / "201"
    _require_same_masks(study_uid(201), given, tmp_path)


def test_twenty_studies_and_two_kills_give_twenty_results_none_twice(tmp_path: Path, server: None) -> None:
    receiver = ReceiverProcess(tmp_path / "state", *OPTIONS)
    uids = [write_study(tmp_path / str(n), n, spacing_mm=COARSE, lesions=LESIONS[:1]) for n in range(1, N_STUDIES + 1)]
    for n in range(1, N_STUDIES + 1):
        send(parse_address(NODE), objects_in(tmp_path / str(n)), ME)
    receiver.start()
    for uid in uids[: N_STUDIES // 2]:
        route(uid)
    receiver.wait_for(lambda: len(receiver.events("planning")) >= 2, 300)
    receiver.kill()  # one study is being planned, others wait
    receiver.start()
    for uid in uids[N_STUDIES // 2 :]:
        route(uid)
    receiver.wait_for(lambda: len(receiver.events("sent")) >= 4, 600)
    receiver.kill()  # results of a study are on their way
    receiver.start()
    receiver.wait_for(lambda: receiver.counts() == {"done": N_STUDIES}, 2400)
    assert receiver.stop() == 0
    for uid in uids:
        # The SEG that came with the study, and one result of each kind.
        assert modalities_of(uid) == ["CT", "DOC", "SEG", "SEG", "SR"]
        results = [i["SOPInstanceUID"] for i in instances_of(uid) if i["SOPInstanceUID"].startswith("2.25.")]
        assert len(set(results)) == len(results)
    assert rest("/statistics")["CountStudies"] >= N_STUDIES


def _require_results(uid: str, tmp_path: Path) -> None:
    """SEG, SR and PDF lie in the study: Orthanc's DICOMweb gives them, DCMTK reads them, dciodvfy finds no error."""
    listed = requests.get(f"{WEB}/studies/{uid}/series", timeout=60).json()
    assert sorted(s["00080060"]["Value"][0] for s in listed) == ["CT", "DOC", "SEG", "SEG", "SR"]
    read = 0
    for one in instances_of(uid):
        found = dcmread(io.BytesIO(requests.get(f"{REST}/instances/{one['id']}/file", timeout=60).content))
        if found.Modality == "CT" or found.InstanceNumber is None:
            continue
        path = tmp_path / f"{one['id']}.dcm"
        found.save_as(path)
        _require_valid(path)
        read += 1
    assert read == 4


def _require_valid(path: Path) -> None:
    if shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], said
    if shutil.which("dcmdump"):
        assert subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, check=False).returncode == 0
    if dcmread(path).Modality == "SR" and shutil.which("dsrdump"):
        said = subprocess.run(["dsrdump", "-q", str(path)], capture_output=True, check=False)
        assert b"Imaging Measurement Report" in said.stdout


def _require_same_masks(uid: str, given: Path, tmp_path: Path) -> None:
    """The liver that came as SEG is the liver of the SEG that came back."""
    grid = read_image(given / "ct").grid
    livers = []
    for file in tmp_path.glob("*.dcm"):
        found = dcmread(file)
        if found.Modality == "SEG" and found.StudyInstanceUID == uid:
            livers += [np.asarray(s.mask) for s in read_dicom_seg(file, grid) if s.structure is Structure.LIVER]
    assert len(livers) == 2
    assert np.array_equal(livers[0] > 0, livers[1] > 0)
