"""Credentials go into the request's header, from the environment, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import WebAddress
from liverplan.pacs.find import Wanted
from liverplan.pacs.web import PASSWORD, TOKEN, USER, web_find

ANSWER = b'[{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, "00100020": {"vr": "LO", "Value": ["42"]}}]'


class Service(HTTPServer):
    """Answers every query alike, to those who know the secret."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str | None] = []
        self.wanted: str | None = None


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        self.server.seen.append(given)
        self.send_response(200 if given == self.server.wanted else 401)
        self.send_header("Content-Type", "application/dicom+json")
        self.end_headers()
        if given == self.server.wanted:
            self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name in (TOKEN, USER, PASSWORD):
        monkeypatch.delenv(name, raising=False)
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _ask(service: Service) -> list[dict[str, str]]:
    return web_find(WebAddress(f"http://127.0.0.1:{service.server_port}"), Wanted(patient_id="42"), 10)


def test_a_service_that_asks_for_nothing_gets_nothing(service: Service) -> None:
    assert [(r["StudyInstanceUID"], r["PatientID"], r["PatientName"]) for r in _ask(service)] == [("1.2.3", "42", "")]
    assert service.seen == [None]


def test_a_token_is_a_bearer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "s3cret")
    service.wanted = "Bearer s3cret"
    assert len(_ask(service)) == 1


def test_user_and_password_are_basic_authentication(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "me")
    monkeypatch.setenv(PASSWORD, "pw")
    service.wanted = "Basic bWU6cHc="
    assert len(_ask(service)) == 1


def test_a_refusal_names_the_service_and_not_the_secret(
    service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TOKEN, "s3cret")
    service.wanted = "Bearer other"
    with pytest.raises(ArchiveError, match="HTTP status 401") as refused:
        _ask(service)
    assert "s3cret" not in str(refused.value) + "".join(capfd.readouterr())
    assert refused.value.__suppress_context__
