"""An archive over DICOMweb: QIDO-RS, WADO-RS, STOW-RS. Credentials come from the environment and go nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import WebAddress, require_uid
from liverplan.pacs.association import ANSWER_S, CONNECT_S, quiet_network
from liverplan.pacs.find import Row, Wanted, row_of

TOKEN, USER, PASSWORD = "LIVERPLAN_DICOMWEB_TOKEN", "LIVERPLAN_DICOMWEB_USER", "LIVERPLAN_DICOMWEB_PASSWORD"
"""Environment variables: a bearer token, or user and password for basic authentication."""
_ANY_SYNTAX = (("application/dicom", "*"),)
"""As stored: nothing is decompressed or compressed on the way."""


def web_find(address: WebAddress, wanted: Wanted, limit: int) -> list[Row]:
    """Studies, or the series of a study (QIDO-RS). Raises ArchiveError."""
    from pydicom.dataset import Dataset

    with _asking(address, "the query") as client:
        filters = wanted.filters
        study = filters.pop("StudyInstanceUID", None)
        asked: dict[str, Any] = {"limit": limit, "search_filters": filters, "fields": list(wanted.keys)}
        if study:
            found = client.search_for_series(study_instance_uid=require_uid(study, "the study"), **asked)
        else:
            found = client.search_for_studies(**asked)
        rows = [row_of(Dataset.from_json(one), wanted.keys) for one in found]
    for row in rows if study else ():
        row["StudyInstanceUID"] = row["StudyInstanceUID"] or study or ""
    return rows[:limit]


def web_fetch(address: WebAddress, study: str, series: str | None) -> Iterator[Any]:
    """The instances of a study or series, one after the other (WADO-RS). Raises ArchiveError."""
    with _asking(address, "sending the study") as client:
        if series is None:
            yield from client.iter_study(study, media_types=_ANY_SYNTAX)
        else:
            yield from client.iter_series(study, series, media_types=_ANY_SYNTAX)


def web_store(address: WebAddress, paths: Sequence[Path], sent: Callable[[Path], None] = lambda path: None) -> None:
    """Send DICOM files (STOW-RS), one per request, so that each is known to be kept or not. Raises ArchiveError."""
    from pydicom import dcmread

    with _asking(address, "storing") as client:
        for path in paths:
            answer = client.store_instances([dcmread(path)])
            failed = answer.get("FailedSOPSequence") or ()
            if failed:
                reason = int(failed[0].get("FailureReason") or 0)
                raise _failed("storing", f"{path.name}: reason 0x{reason:04X} from {address}")
            sent(path)


@contextmanager
def _asking(address: WebAddress, what: str) -> Iterator[Any]:
    """A client; what goes wrong on the network becomes ArchiveError, without the headers of the request."""
    import requests
    from dicomweb_client import DICOMwebClient

    quiet_network()
    session = requests.Session()
    # Always set: without it requests would look into ~/.netrc.
    session.auth = _credentials()
    client = DICOMwebClient(address.url, session=session, timeout=(CONNECT_S, ANSWER_S))
    client.set_http_retry_params(retry=False)
    try:
        yield client
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else "?"
        raise _failed(what, f"HTTP status {code} from {address}") from None
    except (requests.RequestException, OSError) as error:
        raise _failed(what, f"{type(error).__name__} at {address}") from None
    finally:
        session.close()


def _failed(what: str, got: str) -> ArchiveError:
    return ArchiveError(
        f"the archive failed at {what}",
        got=got,
        wanted="a DICOMweb service that answers, and credentials that it accepts where it asks for some",
        do=f"Check the URL; set {TOKEN}, or {USER} and {PASSWORD}.",
    )


def _credentials() -> Callable[[Any], Any]:
    """What adds the Authorization header. requests drops it when it is sent on to another host."""
    from requests.auth import HTTPBasicAuth

    token, user, password = os.environ.get(TOKEN), os.environ.get(USER), os.environ.get(PASSWORD)
    if not token and user and password is not None:
        basic: Callable[[Any], Any] = HTTPBasicAuth(user, password)
        return basic

    def added(request: Any) -> Any:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    return added
