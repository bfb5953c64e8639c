"""`liverplan dicom` says what is wrong with what it is given, and with which status."""

from __future__ import annotations

from pathlib import Path

import pytest

from liverplan.cli.main import run


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "nonsense"],
        ["query", "http://pacs.example/dicom-web"],
        ["query", "PACS@127.0.0.1:1"],
        ["query", "PACS@127.0.0.1:1", "--study", "../up"],
        ["retrieve", "PACS@127.0.0.1:1", "../up", "-o", "OUT"],
        ["retrieve", "PACS@127.0.0.1:1", "1.2", "-o", "OUT", "--port", "0"],
        ["listen", "--state", "OUT", "--host", "0.0.0.0", "--port", "0"],
        ["listen", "--state", "OUT", "--status"],
        ["listen", "--state", "OUT", "--allow-aet", "SEVENTEEN_LETTERS"],
    ],
)
def test_refusals_end_with_3_and_say_what_to_do(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["dicom", *(str(tmp_path / "out") if a == "OUT" else a for a in arguments)]) == 3
    said = capsys.readouterr().err
    assert [line.split(":")[0].strip() for line in said.splitlines()] == ["error", "got", "wanted", "do"]


def test_nothing_to_send_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "note.txt").write_text("nothing")
    assert run(["dicom", "send", "PACS@127.0.0.1:1", str(tmp_path)]) == 3
    assert "nothing to send" in capsys.readouterr().err


def test_a_failed_fetch_leaves_no_folder(tmp_path: Path) -> None:
    assert run(["dicom", "retrieve", "PACS@127.0.0.1:1", "1.2", "-o", str(tmp_path / "out"), "--port", "0"]) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["query", "retrieve", "send", "listen"])
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dicom", verb, "--help"]) == 0
    assert f"liverplan dicom {verb}" in capsys.readouterr().out.partition("Options:")[0].partition("Example")[2]
