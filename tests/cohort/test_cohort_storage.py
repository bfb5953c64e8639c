"""Scans at addresses: fetched for their case, known by their content, and results copied to a storage."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cohort_cases import attempts, row_of, run, same_tables, table, told, touch, write_patients, write_table

from liverplan.cohort.publish import publish
from liverplan.cohort.reading import read_cohort
from liverplan.cohort.remote import Remote, fetch, files_at
from liverplan.errors import InputError, ResourceError, UnreadableInput

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_patients(tmp_path_factory.mktemp("storage") / "patients", 3)
    short = folder / "p3" / "image.nii.gz"
    short.write_bytes(short.read_bytes()[:2000])
    return folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers put what they fetch."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def addressed(patients: Path, path: Path, root: str) -> Path:
    rows = [
        {"id": n, "image": f"{root}/{n}/image.nii.gz", "segmentation": f"{root}/{n}/masks"} for n in ("p1", "p2", "p3")
    ]
    return write_table(path, rows)


def test_scans_at_addresses_give_the_tables_of_scans_here_and_leave_nothing_behind(
    patients: Path, scratch: Path, tmp_path: Path
) -> None:
    source, out = addressed(patients, tmp_path / "cases.csv", f"file://{patients}"), tmp_path / "remote"
    summary, _ = run(source, out)
    assert (summary.done, summary.failed) == (2, 1)
    run(write_table(tmp_path / "here.csv", [row_of(patients / n) for n in ("p1", "p2", "p3")]), tmp_path / "local")
    assert same_tables(out, tmp_path / "local")
    assert not [path for path in scratch.iterdir() if path.name.startswith("liverplan-")]

    _, again = run(source, out)
    assert told(again, "case") == []
    touch(patients / "p1" / "masks" / "liver.nii.gz")
    _, again = run(source, out)
    assert told(again, "kept") == ["p1"], "another time and the same content"
    assert publish(out, f"file://{tmp_path / 'there'}") == (2, 0)
    assert publish(out, f"file://{tmp_path / 'there'}") == (0, 2)
    copy = tmp_path / "there"
    assert same_tables(copy, out)
    for path in out.rglob("*"):
        if path.is_file() and path.name not in (".lock",) and not path.name.startswith("cohort.sqlite"):
            assert (copy / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_a_scan_that_is_not_at_its_address_is_a_row(patients: Path, scratch: Path, tmp_path: Path) -> None:
    source = write_table(tmp_path / "cases.csv", [{"id": "gone", "image": f"file://{patients}/p9/image.nii.gz"}])
    summary, _ = run(source, tmp_path / "out")
    assert summary.failures == {"refused": 1}
    assert "nothing at an address" in table(tmp_path / "out", "cases")[0]["failure_reason"]
    assert str(patients) not in (tmp_path / "out" / "tables" / "cases.csv").read_text(encoding="utf-8")
    assert attempts(tmp_path / "out") == [("gone", "refused")]


def test_files_below_an_address_are_known_by_their_path_in_it(patients: Path, tmp_path: Path) -> None:
    found = files_at(Remote(f"file://{patients}/p1/masks"))
    assert [file.path for file in found] == sorted(path.name for path in (patients / "p1" / "masks").iterdir())
    (one,) = files_at(Remote(f"file://{patients}/p1/image.nii.gz"))
    assert one.path == ""
    assert one.size == (patients / "p1" / "image.nii.gz").stat().st_size
    fetch(Remote(f"file://{patients}/p1"), tmp_path / "copy")
    assert (tmp_path / "copy" / "masks" / "liver.nii.gz").is_file()
    with pytest.raises(UnreadableInput):
        fetch(Remote(f"file://{patients}/p9"), tmp_path / "none")


def test_an_address_that_nothing_here_opens_is_refused_before_anything_runs(tmp_path: Path) -> None:
    source = write_table(tmp_path / "cases.csv", [{"id": "p1", "image": "nosuch://bucket/p1.nii.gz"}])
    with pytest.raises(InputError, match="nosuch://"):
        read_cohort(source)
    source = write_table(
        tmp_path / "cases.csv", [{"id": "p1", "image": "file:///x.nii.gz", "clinical": "file:///c.json"}]
    )
    with pytest.raises(InputError, match="at an address"):
        read_cohort(source)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A storage that speaks S3, in this process, on the loopback."""
    pytest.importorskip("s3fs", reason="needs s3fs (the extra s3)")
    server = pytest.importorskip("moto.server", reason="needs moto[server] for a storage that speaks S3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    running.start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    fsspec.config.set_conf_env(fsspec.config.conf)
    fsspec.filesystem("s3").mkdir("scans")
    yield "s3://scans"
    fsspec.config.conf.pop("s3", None)
    running.stop()


def test_scans_in_a_bucket_are_planned_and_results_go_to_one(
    bucket: str, patients: Path, scratch: Path, tmp_path: Path
) -> None:
    system = fsspec.filesystem("s3")
    for path in patients.rglob("*"):
        if path.is_file():
            system.put_file(str(path), f"scans/{path.relative_to(patients)}")
    source, out = addressed(patients, tmp_path / "cases.csv", bucket), tmp_path / "out"
    summary, _ = run(source, out)
    assert (summary.done, summary.failed) == (2, 1)
    _, again = run(source, out)
    assert told(again, "case") == []
    assert publish(out, f"{bucket}/out") == (2, 0)
    assert system.cat_file("scans/out/tables/cases.csv") == (out / "tables" / "cases.csv").read_bytes()
    with pytest.raises((ResourceError, UnreadableInput)):
        files_at(Remote("s3://no-such-bucket/p1"))
