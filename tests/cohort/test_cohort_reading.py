"""A table or a folder is checked whole, and every row that cannot be used is named at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cohort_cases import row_of, write_table
from hypothesis import given
from hypothesis import strategies as st

from liverplan.cohort.cases import is_id
from liverplan.cohort.reading import read_cohort
from liverplan.errors import InputError


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """Files that are there; nothing of them is read."""
    folder = tmp_path / "p1"
    (folder / "masks").mkdir(parents=True)
    (folder / "image.nii.gz").write_bytes(b"x")
    (folder / "masks" / "liver.nii.gz").write_bytes(b"x")
    return folder


def refused(source: Path) -> str:
    with pytest.raises(InputError) as error:
        read_cohort(source)
    assert error.value.exit_status == 3
    return error.value.got


def test_a_row_is_a_case_with_its_files_and_its_record(patient: Path, tmp_path: Path) -> None:
    (tmp_path / "plane.json").write_text("{}", encoding="utf-8")
    (tmp_path / "mine.stl").write_text("x", encoding="utf-8")
    row = row_of(patient, resection="plane.json | mine.stl", modality="ct", margin_mm="5", ecog=1, albumin=41)
    cases = read_cohort(write_table(tmp_path / "t.csv", [row | {"albumin_unit": "g/L", "prior_chemotherapy": "yes"}]))
    assert [case.id for case in cases] == ["p1"]
    case = cases[0]
    assert case.segmentation == patient / "masks"
    assert case.resections == (tmp_path / "plane.json", tmp_path / "mine.stl")
    assert (case.modality, case.margin_mm) == ("CT", 5.0)
    assert case.clinical == {"ecog": 1, "prior_chemotherapy": True, "albumin": {"value": 41, "unit": "g/L"}}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_may_be_parted_by_comma_semicolon_or_tab(patient: Path, tmp_path: Path, delimiter: str) -> None:
    path = write_table(tmp_path / "t.csv", [row_of(patient, sex="female")], delimiter)
    assert read_cohort(path)[0].clinical == {"sex": "female"}


def test_paths_start_from_the_table_and_a_byte_order_mark_is_no_letter(patient: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffid,image,masks\np1,p1/image.nii.gz,p1/masks\n", encoding="utf-8")
    assert read_cohort(path)[0].segmentation == patient / "masks"


def test_every_bad_row_is_listed_at_once(patient: Path, tmp_path: Path) -> None:
    good = row_of(patient)
    empty = tmp_path / "empty.nii.gz"
    empty.touch()
    rows = [
        good,
        good | {"id": "P1"},
        good | {"id": "../p3"},
        good | {"id": "p4", "image": tmp_path / "nowhere.nii.gz"},
        good | {"id": "p5", "image": empty},
        good | {"id": "p6", "segmentation": "gone"},
        good | {"id": "p7", "ecog": 9},
        good | {"id": "p8", "albumin": 41},
        good | {"id": "p9", "image": Path(__file__)},
        good | {"id": "p10", "margin_mm": "wide"},
        good | {"id": "", "modality": "PET"},
        good | {"id": "p12"},
    ]
    got = refused(write_table(tmp_path / "t.csv", rows))
    assert got.startswith("10 of 12 rows")
    for words in (
        "row 3 (P1): the id 'P1' was given before, in row 2 (p1)",
        "row 4 (../p3): the id '../p3' cannot name a folder",
        f"row 5 (p4): the image {tmp_path}/nowhere.nii.gz does not exist",
        "empty.nii.gz is empty (0 bytes)",
        "row 7 (p6): the segmentation gone does not exist",
        "row 8 (p7): the clinical columns: ecog cannot be used: got 9",
        "row 9 (p8): the clinical columns: albumin",
        "row 10 (p9): the image test_cohort_reading.py is no .nii",
        "row 11 (p10): margin_mm is 'wide'; wanted 0.5 to 30",
        "row 12: no id",
        "row 12: the modality 'PET'",
    ):
        assert words in got, words


def test_a_row_with_several_faults_tells_them_all(patient: Path, tmp_path: Path) -> None:
    row = row_of(patient, ecog=9, modality="PET", margin_mm="-1") | {"segmentation": "gone"}
    assert refused(write_table(tmp_path / "t.csv", [row])).count("row 2 (p1)") == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,image\n", "no cases"),
        ("", "no cases"),
        ("id,scan\np1,x\n", "'scan'"),
        ("image\nx\n", "no column id"),
        ("id\np1\n", "no column image"),
        ("id,image,id\np1,x,p1\n", "two columns named 'id'"),
        ("id,image,masks,segmentation\np1,x,y,z\n", "both a column masks and a column segmentation"),
        ("id,image\np1,x,y\n", "3 cells under 2 columns"),
        ('id,image\n"p1,x\n', "unexpected end"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    assert words in refused(path)


def test_letters_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,image\nM\u00fcller,x\n".encode("latin-1"))
    assert "UTF-8" in refused(path)


def test_a_spreadsheet_is_refused_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK")
    assert ".xlsx" in refused(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "t.csv")


def test_parquet_says_the_same_as_csv(patient: Path, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {name: str(value) for name, value in row_of(patient).items()}
    typed = row | {"ecog": 1, "prior_chemotherapy": True, "age_years": 63.0, "sex": None, "inr": float("nan")}
    parquet.write_table(pyarrow.Table.from_pylist([typed]), tmp_path / "t.parquet")
    text = row | {"ecog": "1", "prior_chemotherapy": "true", "age_years": "63", "sex": "", "inr": ""}
    assert read_cohort(tmp_path / "t.parquet") == read_cohort(write_table(tmp_path / "t.csv", [text]))


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not")
    assert refused(tmp_path / "t.parquet")


def test_a_folder_has_a_case_per_sub_folder(patient: Path, tmp_path: Path) -> None:
    (patient / "clinical.yaml").write_text("ecog: 1\n", encoding="utf-8")
    (patient / "resections").mkdir()
    (patient / "resections" / "mine.stl").write_text("x", encoding="utf-8")
    dicom = tmp_path / "p2" / "dicom"
    dicom.mkdir(parents=True)
    (dicom / "IM1").write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    first, second = read_cohort(tmp_path)
    assert (first.id, first.segmentation, first.clinical) == ("p1", patient / "masks", {"ecog": 1})
    assert first.resections == (patient / "resections" / "mine.stl",)
    assert (second.id, second.image, second.segmentation) == ("p2", dicom, None)


def test_a_sub_folder_that_is_no_case_is_named_not_skipped(patient: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    both = tmp_path / "p3"
    both.mkdir()
    for name in ("image.nii.gz", "image.nrrd"):
        (both / name).write_bytes(b"x")
    got = refused(tmp_path)
    assert "folder notes: no image in it" in got
    assert "folder p3: 2 images: image.nii.gz, image.nrrd" in got
    assert got.startswith("2 of 3 rows")


def test_a_record_as_a_file_and_in_columns_is_refused(patient: Path, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"ecog": 1}')
    alone = row_of(patient, clinical="record.json")
    assert read_cohort(write_table(tmp_path / "t.csv", [alone]))[0].clinical == {"ecog": 1}
    assert "which counts is not known" in refused(write_table(tmp_path / "t.csv", [alone | {"asa": 2}]))


@given(st.text(max_size=120))
def test_an_id_names_one_folder_and_leaves_none(text: str) -> None:
    if is_id(text):
        home = Path("/out/cases")
        assert (home / text).resolve().parent == home
        assert not text.startswith(".")
        assert text == text.strip()


@given(st.binary(max_size=400))
def test_no_table_ends_in_anything_but_cases_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(b"id,image\n" + data)
    with contextlib.suppress(InputError):
        read_cohort(path)
