"""Files at an address that fsspec opens (s3://, gs://, https://): looked at, fetched for a case, copied to.

fsspec is loaded where an address is met and nowhere else. Credentials and end points come from the environment, as its
file systems read them (AWS_ACCESS_KEY_ID, FSSPEC_S3_ENDPOINT_URL ...); none is ever written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from liverplan.errors import InputError, LiverplanError, ResourceError, UnreadableInput

BETWEEN = "://"
"""Makes a text an address."""


@dataclass(frozen=True)
class Remote:
    """A file or a folder at an address."""

    url: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.url.rstrip("/")).name

    @property
    def suffixes(self) -> list[str]:
        return PurePosixPath(self.name).suffixes

    def __str__(self) -> str:
        return self.url


Location: TypeAlias = "Path | Remote"


@dataclass(frozen=True)
class RemoteFile:
    """A file below an address. path: from it, empty for the address itself. mark: whatever changes with the content."""

    path: str
    size: int
    mark: str


def is_address(text: str) -> bool:
    """Whether a text is an address and no path of this machine."""
    return BETWEEN in text


def file_system(url: str) -> tuple[Any, str]:
    """The file system of an address and the path in it, without a cache of what was there a moment ago.

    Raises InputError when nothing here can open it.
    """
    scheme = url.partition(BETWEEN)[0]
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"addresses of {scheme}{BETWEEN} cannot be opened here",
            got=str(error),
            wanted="fsspec with its package for this storage",
            do="pip install 'liverplan[s3]' for S3; for others see the list of fsspec's known implementations.",
        ) from error
    return system, str(path)


def files_at(remote: Remote) -> list[RemoteFile]:
    """Every file at or below an address. Raises UnreadableInput when there is none, ResourceError, InputError."""
    system, path = file_system(remote.url)
    with reaching(remote.url):
        # `find` knows nothing of a path that is a file itself.
        found = {path: system.info(path)} if system.isfile(path) else system.find(path, detail=True)
    if not found:
        raise _absent(remote.url)
    return sorted((_file(path, name, facts) for name, facts in found.items()), key=lambda file: file.path)


def fetch(remote: Remote, target: Path) -> None:
    """Copy what lies at an address to the new path `target`. Raises as `files_at`."""
    system, path = file_system(remote.url)
    with reaching(remote.url):
        target.parent.mkdir(parents=True, exist_ok=True)
        if system.isfile(path):
            system.get_file(path, str(target))
            return
        for name in system.find(path):
            place = target / PurePosixPath(name).relative_to(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(name, str(place))
    if not target.exists():
        raise _absent(remote.url)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Give what a storage raises a form that says whether another attempt may help."""
    try:
        yield
    except LiverplanError:
        raise
    except FileNotFoundError as error:
        raise _absent(url) from error
    except Exception as error:  # each storage has errors of its own
        raise ResourceError(
            "a storage cannot be reached, or refuses",
            got=f"{url}: {type(error).__name__}: {error}",
            wanted="a storage that answers, and credentials that are allowed to",
            do="Check address, end point and credentials; then run the command again.",
        ) from error


def _file(root: str, name: str, facts: dict[str, Any]) -> RemoteFile:
    path = "" if name == root else str(PurePosixPath(name).relative_to(root))
    read: Callable[[str], Any] = facts.get
    mark = next((read(key) for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime") if read(key)), "")
    return RemoteFile(path, int(facts.get("size") or 0), str(mark))


def _absent(url: str) -> UnreadableInput:
    return UnreadableInput(
        "there is nothing at an address", got=url, wanted="a file or a folder", do="Correct the row."
    )
