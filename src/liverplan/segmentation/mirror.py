"""Where models are pulled from: a folder, or an address on the web, with files that can be continued."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import IO, Protocol

from liverplan import __version__
from liverplan.errors import InputError, UnreadableInput

_SECONDS = 30
"""A server that is silent for longer is not there."""
_MOST_REGISTRY_BYTES = 2**22


class Mirror(Protocol):
    """A models folder somewhere."""

    def read(self, name: str) -> bytes:
        """A small file. Raises UnreadableInput."""

    def append(self, name: str, kept: IO[bytes]) -> None:
        """Add to `kept`, open for appending, what it lacks of a file. Raises UnreadableInput; `kept` stays as it is."""


def mirror_at(source: str, pinned: bool) -> Mirror:
    """The mirror at a folder or an address. pinned: the model's hash is known, so that http will do.

    Raises InputError for an address that anybody on the way may change.
    """
    scheme = urllib.parse.urlsplit(source).scheme.lower()
    if scheme not in ("http", "https"):
        return FolderMirror(Path(source))
    if scheme == "http" and not pinned:
        raise InputError(
            "a mirror without encryption can be changed on the way",
            got=source,
            wanted="an https address, or the model's hash with --sha256",
            do="Ask whoever runs the mirror for the hash (`liverplan models info` prints it).",
        )
    return WebMirror(source.rstrip("/") + "/")


class FolderMirror:
    """A folder on this machine or a mounted one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise _absent(str(self._folder), name, str(error.strerror)) from error

    def append(self, name: str, kept: IO[bytes]) -> None:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(kept.tell())
                shutil.copyfileobj(file, kept)
        except FileNotFoundError as error:
            raise _absent(str(self._folder), name, str(error.strerror)) from error


class WebMirror:
    """A folder behind http or https. base: its address, ending in a slash."""

    def __init__(self, base: str) -> None:
        self._base = base

    def read(self, name: str) -> bytes:
        try:
            with urllib.request.urlopen(self._request(name), timeout=_SECONDS) as answer:
                content: bytes = answer.read(_MOST_REGISTRY_BYTES)
                return content
        except (OSError, ValueError) as error:
            raise _absent(self._base, name, str(error)) from error

    def append(self, name: str, kept: IO[bytes]) -> None:
        at = kept.tell()
        try:
            with urllib.request.urlopen(self._request(name, at), timeout=_SECONDS) as answer:
                if at and answer.status != HTTPStatus.PARTIAL_CONTENT:
                    kept.truncate(0)  # a server that always sends the whole
                shutil.copyfileobj(answer, kept)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # it is all there; its hash tells whether it is right
            raise _absent(self._base, name, str(error)) from error
        except (OSError, ValueError) as error:
            raise _absent(self._base, name, str(error)) from error

    def _request(self, name: str, start: int = 0) -> urllib.request.Request:
        headers = {"User-Agent": f"liverplan/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
        return urllib.request.Request(self._base + urllib.parse.quote(name), headers=headers)


def _absent(where: str, name: str, got: str) -> UnreadableInput:
    return UnreadableInput(
        "the mirror does not give a file",
        got=f"{name} of {where}: {got}",
        wanted="a models folder: registry.toml and the files that it lists",
        do="Check the address; what arrived is kept, and pulling again goes on there.",
    )
