"""What counts as an address, a title and a UID; nothing else gets any further."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import Node, WebAddress, is_loopback, is_uid, parse_address, require_title, require_uid


def test_an_application_entity_is_title_host_and_port() -> None:
    assert parse_address("ORTHANC@127.0.0.1:4242") == Node("ORTHANC", "127.0.0.1", 4242)
    assert parse_address("PACS@[::1]:104") == Node("PACS", "::1", 104)


def test_a_dicomweb_service_is_a_url_without_a_trailing_slash() -> None:
    assert parse_address("https://pacs.example/dicom-web/") == WebAddress("https://pacs.example/dicom-web")
    assert parse_address("http://localhost:8042/dicom-web") == WebAddress("http://localhost:8042/dicom-web")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:4242",
        "A@host",
        "A@host:0",
        "A@host:65536",
        "A@host:port",
        "@host:1",
        "SEVENTEEN_LETTERS@host:1",
        "A\\B@host:1",
        "ftp://host/x",
        "https://",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ArchiveError):
        parse_address(text)


def test_a_patient_does_not_travel_unencrypted() -> None:
    with pytest.raises(ArchiveError, match="not encrypted"):
        parse_address("http://pacs.example/dicom-web")


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ArchiveError) as refused:
        parse_address("https://me:hunter2@pacs.example/dicom-web")
    assert "hunter2" not in str(refused.value)


@given(st.text())
def test_whatever_passes_as_a_uid_is_one_plain_file_name(text: str) -> None:
    if is_uid(text):
        assert PurePosixPath("home", text).parts == ("home", text)
        assert text not in (".", "..")
        assert len(text) <= 64


@pytest.mark.parametrize("text", ["", ".", "..", "1..2", "1.2.", ".1", "1/2", "1.2\n", "1.2\0", "a", "1" * 65, "١.٢"])
def test_what_is_no_uid_is_refused(text: str) -> None:
    assert not is_uid(text)
    with pytest.raises(ArchiveError):
        require_uid(text, "the study")


def test_real_uids_pass_also_with_a_leading_zero() -> None:
    for uid in ("1.2.840.10008.1.2", "2.25." + "9" * 38, "1.02.3"):
        assert require_uid(uid, "the study") == uid


def test_titles_are_trimmed() -> None:
    assert require_title(" PACS ") == "PACS"
    with pytest.raises(ArchiveError):
        require_title("   ")


def test_loopback_is_told_by_number_not_by_looking_a_name_up() -> None:
    assert [
        h for h in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "10.0.0.1", "pacs") if is_loopback(h)
    ] == [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "localhost",
    ]
