"""Orthanc as Debian packs it, for tests. It listens on every interface whatever it is told: run it where there is only
`lo` (test_orthanc.py does)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DICOM, HTTP, LISTENER = 4242, 8042, 11112
NODE, WEB, REST = f"ORTHANC@127.0.0.1:{DICOM}", f"http://127.0.0.1:{HTTP}/dicom-web", f"http://127.0.0.1:{HTTP}"


def program() -> str | None:
    """Orthanc, where it is installed with its DICOMweb plugin."""
    found = shutil.which("Orthanc", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return found if found and PLUGIN.exists() else None


@contextmanager
def orthanc(folder: Path) -> Iterator[None]:
    """Orthanc with an empty store in `folder` while the block runs; it knows LIVERPLAN and sends to it."""
    executable = program()
    assert executable is not None
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "DicomAet": "ORTHANC",
        "DicomPort": DICOM,
        "HttpPort": HTTP,
        "DicomCheckCalledAet": True,
        "DicomScpTimeout": 300,  # a busy machine may let a sender wait
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(PLUGIN)],
        "DicomModalities": {"liverplan": ["LIVERPLAN", "127.0.0.1", LISTENER]},
        "OverwriteInstances": False,
        "StorageCompression": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        server = subprocess.Popen([executable, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            _wait_for_answer(server, folder / "orthanc.log")
            yield
        finally:
            server.terminate()
            server.wait(30)


def rest(path: str) -> Any:
    """What Orthanc's own interface says at `path`."""
    answer = requests.get(REST + path, timeout=60)
    answer.raise_for_status()
    return answer.json()


def post(path: str, body: object) -> Any:
    answer = requests.post(REST + path, data=json.dumps(body), timeout=120)
    answer.raise_for_status()
    return answer.json()


def route(study_uid: str) -> None:
    """Let Orthanc send a study to the receiver, as a rule for routing would."""
    post("/modalities/liverplan/store", {"Resources": [study_id(study_uid)], "Synchronous": True})


def study_id(study_uid: str) -> str:
    """What Orthanc calls a study."""
    found = post("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study_uid}})
    assert len(found) == 1
    return str(found[0])


def instances_of(study_uid: str) -> list[dict[str, Any]]:
    """The tags of every object of a study."""
    found = rest(f"/studies/{study_id(study_uid)}/instances")
    return [{**one["MainDicomTags"], "id": one["ID"], "series": one["ParentSeries"]} for one in found]


def modalities_of(study_uid: str) -> list[str]:
    """The modality of every series of a study, sorted."""
    return sorted(s["MainDicomTags"]["Modality"] for s in rest(f"/studies/{study_id(study_uid)}/series"))


def _wait_for_answer(server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text(errors="replace")
        try:
            rest("/system")
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("Orthanc does not answer")
