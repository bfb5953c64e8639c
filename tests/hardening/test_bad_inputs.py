"""Bad input gives a clear error or a stated degradation: no traceback, no half-written result, no name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bad_inputs import ROWS, Place, Row, patient

from liverplan.cli.main import run

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hardening.md"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return patient(tmp_path_factory.mktemp("patient"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_bad_input(row: Row, whole: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole.folder, tmp_path / "p")
    place = Place(tmp_path / "p", whole.drawn, whole.volume)
    arguments = row.build(place)
    assert run(arguments) == row.status
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "Secret" not in said
    report = place.folder / "out" / "report.json"
    if row.status == 0:
        assert re.search(row.says, report.read_text(encoding="utf-8"))
        return
    assert re.search(row.says, said, re.DOTALL)
    assert not report.exists()
    assert not [p.name for p in place.folder.iterdir() if "partial" in p.name]
    if row.status == 3:
        assert all(word in said for word in ("error:", "got:", "wanted:", "do:"))


def test_the_document_lists_every_row() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [row.id for row in ROWS if f"| `{row.id}` |" not in text] == []
    assert len(ROWS) >= 60
    assert len({row.id for row in ROWS}) == len(ROWS)
