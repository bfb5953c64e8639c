"""Addresses of archives and the names in them: `AET@host:port`, a DICOMweb URL, UIDs and application entity titles.

What comes from a network is checked here before anything is done with it. A file name is made of a UID only.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from liverplan.errors import ArchiveError

OWN_TITLE = "LIVERPLAN"
"""The application entity title that this program calls itself, when nothing else is said."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""PS3.5 9.1; leading zeros, which the standard forbids and scanners write, do no harm."""
_UID_LENGTH = 64
_TITLE = re.compile(r"[A-Za-z0-9_.\- ]{1,16}")
"""PS3.5 6.2, AE: up to 16 characters. Narrower than the standard, which allows any that can be printed."""
_NODE = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:/\s]+):(?P<port>[0-9]{1,5})")
_WANTED = "AET@host:port (such as ORTHANC@127.0.0.1:4242) or the https URL of a DICOMweb service"


@dataclass(frozen=True)
class Node:
    """An application entity: title, host and TCP port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class WebAddress:
    """The root of a DICOMweb service, without credentials."""

    url: str

    def __str__(self) -> str:
        return self.url


Address: TypeAlias = Node | WebAddress


def parse_address(text: str) -> Address:
    """`AET@host:port`, or a URL of a DICOMweb service. Raises ArchiveError.

    Plain http is for this machine only: it would show the patient to everyone on the way.
    """
    if "://" in text:
        return _web(text)
    found = _NODE.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ArchiveError("the address of the archive is not one", got=repr(text), wanted=_WANTED, do="Correct it.")
    return Node(require_title(found["title"]), found["host"].strip("[]"), int(found["port"]))


def require_title(title: str) -> str:
    """An application entity title. Raises ArchiveError."""
    if _TITLE.fullmatch(title) is None or not title.strip():
        raise ArchiveError(
            "the application entity title is not one",
            got=repr(title),
            wanted="1 to 16 letters, digits, underscores, points or hyphens",
            do="Ask the archive's administrator how the two sides are called.",
        )
    return title.strip()


def is_uid(value: object) -> bool:
    """Whether a value can be a UID: digits and points only, so that it can name a file."""
    return len(str(value)) <= _UID_LENGTH and _UID.fullmatch(str(value)) is not None


def require_uid(value: object, what: str) -> str:
    """The value as a UID. Raises ArchiveError."""
    if not is_uid(value):
        raise ArchiveError(
            f"{what} is not a UID",
            got=repr(str(value)[:80]),
            wanted="digits and points, 64 characters at most",
            do="Copy it from `liverplan dicom query`.",
        )
    return str(value)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its number or as `localhost`; names are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _web(text: str) -> WebAddress:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ArchiveError("the address of the archive is not one", got="a URL", wanted=_WANTED, do="Correct it.")
    if parts.username or parts.password:
        raise ArchiveError(
            "the URL holds a user name or a password",
            got="a URL with user@host",
            wanted="credentials in the environment, where process lists and logs do not show them",
            do="Set LIVERPLAN_DICOMWEB_TOKEN, or LIVERPLAN_DICOMWEB_USER and LIVERPLAN_DICOMWEB_PASSWORD.",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ArchiveError(
            "the archive's address is not encrypted",
            got=f"http to {parts.hostname}",
            wanted="https, or http to this machine",
            do="Use the https address, or a tunnel that ends on this machine.",
        )
    return WebAddress(text.strip().rstrip("/"))
