"""Results are whole or absent: nothing half-written is ever found under a result's name."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from liverplan.errors import OutputError, ResourceError
from liverplan.io.folder import (
    MARKER,
    atomic_file,
    output_folder,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if "partial" in p.name or p.name.endswith(".old")]


def test_a_folder_takes_its_name_when_everything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with output_folder(out) as work:
        write_text_atomic(work / "a.txt", "a")
        assert not out.exists()
    assert (out / "a.txt").read_text() == "a"
    assert leftovers(out.parent) == []
    assert out.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), output_folder(tmp_path / "out") as work:  # noqa: PT012
        write_text_atomic(work / "a.txt", "a")
        raise failure
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_a_day_ago_is_removed_and_what_runs_now_is_kept(tmp_path: Path) -> None:
    old, now, other = (tmp_path / f".{name}.partial" for name in ("out.a", "out.b", "outer.c"))
    for folder in (old, now, other):
        (folder / "meshes").mkdir(parents=True)
        (folder / "meshes" / "liver.stl").write_bytes(b"")
        for path in (folder / "meshes" / "liver.stl", folder / "meshes", folder):
            os.utime(path, (1e9, 1e9))
    os.utime(now / "meshes" / "liver.stl")
    with output_folder(tmp_path / "out"):
        pass
    assert not old.exists()
    assert now.exists()
    assert other.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems rename twice")
def test_an_earlier_result_is_replaced_without_a_moment_without_one(tmp_path: Path) -> None:
    """Somebody who looks all the time always finds one result or the other."""
    out = tmp_path / "out"
    with output_folder(out) as work:
        write_text_atomic(work / MARKER, "{}")
    stop, missing = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            if not (out / MARKER).exists():
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(60):
        with output_folder(out, overwrite=True) as work:
            write_text_atomic(work / MARKER, "{}")
    stop.set()
    watcher.join()
    assert missing == []
    assert leftovers(tmp_path) == []


def test_where_names_cannot_be_exchanged_the_earlier_result_steps_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liverplan.io.folder._exchanged", lambda one, other: False)
    for text in ("1", "2"):
        with output_folder(tmp_path / "out", overwrite=True) as work:
            write_text_atomic(work / MARKER, text)
    assert (tmp_path / "out" / MARKER).read_text() == "2"
    assert leftovers(tmp_path) == []


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with output_folder(tmp_path / "out") as work:
        write_text_atomic(work / "a.txt", "a")
    assert (tmp_path / "out" / "a.txt").exists()
    assert leftovers(tmp_path) == []


def test_a_folder_with_content_is_refused_unless_it_is_an_earlier_result_to_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out) as work:
        write_json_atomic(work / MARKER, {})
        write_text_atomic(work / "old.txt", "old")
    with pytest.raises(OutputError, match=r"not empty.*--overwrite"), output_folder(out):
        pass
    with output_folder(out, overwrite=True) as work:
        write_json_atomic(work / MARKER, {})
        assert (out / "old.txt").exists()
    assert sorted(p.name for p in out.iterdir()) == [MARKER]
    assert leftovers(tmp_path) == []


def test_a_failed_replacement_keeps_the_earlier_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out) as work:
        write_json_atomic(work / MARKER, {"n": 1})
    with pytest.raises(ValueError, match="broken"), output_folder(out, overwrite=True):
        raise ValueError("broken")
    assert json.loads((out / MARKER).read_text()) == {"n": 1}


def test_overwrite_never_removes_what_another_program_wrote(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputError, match="something else than an earlier result"),
        output_folder(tmp_path, overwrite=True),
    ):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="not a folder"), output_folder(tmp_path / "out"):
        pass
    with pytest.raises(OutputError, match="cannot be written"), output_folder(tmp_path / "out" / "deeper"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"), output_folder(tmp_path / "out"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_cannot_hold_folders_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"), output_folder(Path("/proc/liverplan/out")):
        pass


def test_a_mounted_volume_is_filled_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self == out)
    before = out.stat().st_ino
    for name in ("first.txt", "second.txt"):
        with output_folder(out, overwrite=True) as work:
            write_json_atomic(work / MARKER, {})
            write_text_atomic(work / name, name)
    assert sorted(p.name for p in out.iterdir()) == [MARKER, "second.txt"]
    assert out.stat().st_ino == before


def test_an_input_that_vanishes_is_not_called_an_unwritable_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), output_folder(tmp_path / "out"):
        (tmp_path / "input.nii").read_bytes()


def test_a_result_that_cannot_be_written_inside_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"), output_folder(tmp_path / "out") as work:  # noqa: PT012
        (work / "a").write_text("a file")
        (work / "a" / "b").write_text("below a file")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_lack_of_resources(tmp_path: Path, code: int) -> None:
    with pytest.raises(ResourceError, match="disk is full") as full, output_folder(tmp_path / "out"):
        raise OSError(code, os.strerror(code))
    assert full.value.exit_status == 4
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_device_is_a_lack_of_resources() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    from liverplan.io.folder import writing

    with pytest.raises(ResourceError, match="disk is full"), writing(Path("/dev/full")):
        Path("/dev/full").write_bytes(b"x" * 100)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes_atomic(path, b"old")
    with pytest.raises(ValueError, match="stop"), atomic_file(path) as file:  # noqa: PT012
        file.write(b"half")
        raise ValueError("stop")
    assert path.read_bytes() == b"old"
    write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_file_has_the_permissions_that_the_user_gives_new_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes_atomic(tmp_path / "a.bin", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o666 & ~umask


def test_files_written_by_many_threads_leave_the_umask_alone(tmp_path: Path) -> None:
    before = _umask()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: write_bytes_atomic(tmp_path / f"{n}.bin", b"new"), range(400)))
    assert _umask() == before
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o666 & ~before}


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"name": "Müller", "value": None})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "Müller", "value": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(tmp_path / "b.json", {"value": float("nan")})
    assert not (tmp_path / "b.json").exists()
