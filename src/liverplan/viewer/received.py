"""Files from the page: stored under generated names, counted and limited, and never by a name that was sent.

A scan comes as DICOM files, as one volume file, or as a zip of either; beside it may be masks under the names that
`--segmentation` knows, or a DICOM Segmentation. Of a sent name only this is looked at: whether its last part ends like
a volume or a zip, and whether it is one of the known names of masks or lies in a folder of masks.
"""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from liverplan.errors import ResourceError, UnreadableInput
from liverplan.io.dicom_seg_in import segmentation_in
from liverplan.io.folder import writing
from liverplan.io.segmentations import NAMES, SEGMENTS, VENOUS_SYSTEM

VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha")
ZIP = ".zip"
DICOM, MASKS, PACKED = "dicom", "masks", "packed"
SEGMENTATION = "seg.dcm"
MASK_FOLDERS = ("masks", "segmentation", "segmentations")
"""In folders of these names other structures (bone, arteries) lie beside those that are read; they are no scans."""
CHUNK_BYTES = 1 << 20
_LEFT_ALONE = re.compile(r"^(\.[^.].*|thumbs\.db|desktop\.ini|__macosx)$", re.IGNORECASE)
"""What operating systems put beside files."""


@dataclass(frozen=True)
class Limits:
    """What one load may bring. Generous for any study (a 4D liver CT has 5 000 slices, 2.6 GB), not for bombs.

    ratio: unpacked to packed size of a whole zip, looked at above `ratio_from` bytes: empty masks pack 1000 to 1,
    scans 2 or 3 to 1.
    """

    files: int = 20_000
    total_bytes: int = 8 << 30
    ratio: float = 100.0
    ratio_from: int = 512 << 20


LIMITS = Limits()


class Received:
    """A new folder that files are put into."""

    def __init__(self, home: Path, limits: Limits = LIMITS) -> None:
        self.home, self.limits = home, limits
        self.bytes, self._files = 0, 0
        self._volume: Path | None = None
        self.packed: Path | None = None

    @contextmanager
    def opening(self, told: str) -> Iterator[Sink | None]:
        """Where the file that was sent as `told` is written; None for what is left alone.

        Raises UnreadableInput (too many files, too large, two scans), ResourceError (disk full), OutputError.
        """
        self._files += 1
        if self._files > self.limits.files:
            raise _refused("too many files", f"more than {self.limits.files}", f"at most {self.limits.files} files")
        path = self._path(told)
        if path is None:
            yield None
            return
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                yield Sink(self, file)

    def counted(self, n_bytes: int) -> None:
        self.bytes += n_bytes
        if self.bytes > self.limits.total_bytes:
            most = f"{self.limits.total_bytes / (1 << 30):.3g} GB"
            raise _refused("too large", f"more than {most}", f"at most {most} at a time")

    def image(self) -> Path:
        """The scan: the volume, or the folder of DICOM files. Raises UnreadableInput where there is none, or two; and
        as `masks`."""
        self._set_apart()
        series = self.home / DICOM
        others = sorted(series.iterdir()) if series.is_dir() else []
        if self._volume is None:
            if not others:
                raise _refused("there is no scan in it", "no file that could be one", "a scan, with masks or without")
            return series
        if any(_says_dicom(path) for path in others):
            raise _refused("there are two scans in it", "DICOM files and a volume file", "one scan at a time")
        return self._volume

    def masks(self) -> Path | None:
        """The folder of masks that came with the scan. Mask files go before a DICOM Segmentation, as `--segmentation`
        has it. Raises SegmentationRefused where there are several DICOM Segmentations and no mask files."""
        self._set_apart()
        return self.home / MASKS if (self.home / MASKS).is_dir() else None

    def _set_apart(self) -> None:
        """Put a DICOM Segmentation that was sent among the scan's files where masks are looked for."""
        series, masks = self.home / DICOM, self.home / MASKS
        if not series.is_dir() or masks.is_dir():
            return
        found = segmentation_in(series)
        if found is not None:
            with writing(masks):
                masks.mkdir()
                found.rename(masks / SEGMENTATION)

    def _path(self, told: str) -> Path | None:
        parts = re.split(r"[/\\]", told.lower())
        name = parts[-1]
        if any(_LEFT_ALONE.search(part) for part in parts):
            return None
        ending = next((ending for ending in VOLUMES if name.endswith(ending)), "")
        if name.endswith(ZIP):
            if self.packed is not None:
                raise _refused("there are two zip files", "a second zip, or one within another", "one zip at a time")
            self.packed = self.home / f"{PACKED}{ZIP}"
            return self.packed
        if not ending:
            return self.home / DICOM / f"{self._files:05d}"
        stem = name.removesuffix(ending)
        if stem in NAMES or stem in SEGMENTS or stem == VENOUS_SYSTEM:
            return self._mask(stem, ending)
        if len(parts) > 1 and parts[-2] in MASK_FOLDERS:
            return None
        if self._volume is not None:
            raise _refused("there are two scans in it", "two volume files", "one scan, and masks by their known names")
        self._volume = self.home / f"volume{ending}"
        return self._volume

    def _mask(self, stem: str, ending: str) -> Path:
        path = self.home / MASKS / f"{stem}{ending}"
        if path.exists():
            raise _refused("one mask is in it twice", f"{stem}{ending}", "each mask once")
        return path


class Sink:
    """An open file whose bytes are counted before they are written."""

    def __init__(self, received: Received, file: IO[bytes]) -> None:
        self._received, self._file = received, file

    def write(self, chunk: bytes) -> None:
        self._received.counted(len(chunk))
        self._file.write(chunk)


def unpack(received: Received) -> None:
    """Put what is in the zip beside it, by the same rules, and remove the zip.

    Raises UnreadableInput (damaged, locked with a password, more than a scan can be), ResourceError, OutputError.
    """
    packed = received.packed
    assert packed is not None
    try:
        with zipfile.ZipFile(packed) as archive:
            entries = archive.infolist()
            _require_bearable(entries, packed.stat().st_size, received)
            for entry in entries:
                if not entry.is_dir():
                    _unpack_one(archive, entry, received)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused(
            "the zip cannot be read", str(error) or "a damaged zip", "a whole zip without password"
        ) from error
    packed.unlink()


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, received: Received) -> None:
    with received.opening(entry.filename) as sink:
        if sink is not None:
            with archive.open(entry) as source:
                while chunk := source.read(CHUNK_BYTES):
                    sink.write(chunk)


def _require_bearable(entries: list[zipfile.ZipInfo], packed_bytes: int, received: Received) -> None:
    """By what the zip says of itself; what it really holds is counted while it is unpacked."""
    limits, total = received.limits, sum(entry.file_size for entry in entries)
    if len(entries) > limits.files:
        raise _refused("too many files in the zip", str(len(entries)), f"at most {limits.files}")
    if total > limits.total_bytes:
        most = f"{limits.total_bytes / (1 << 30):.3g} GB"
        raise _refused("the zip is too large", f"{total / (1 << 30):.3g} GB unpacked", f"at most {most}")
    if total > limits.ratio_from and total > limits.ratio * packed_bytes:
        raise _refused(
            "the zip is not what a scan looks like",
            f"{total / max(packed_bytes, 1):.0f} times its size when unpacked",
            f"at most {limits.ratio:g} times",
        )
    require_room(received.home, total)


def require_room(home: Path, n_bytes: int) -> None:
    """Raises ResourceError where the disk has no room for so many bytes."""
    free = shutil.disk_usage(home).free
    if n_bytes > free:
        raise ResourceError(
            "the disk is full",
            got=f"{free / 1e9:.3g} GB free for {n_bytes / 1e9:.3g} GB",
            wanted="room for the scan",
            do="Free some space, or start the viewer on a folder of another disk.",
        )


def linked(home: Path, root: Path, told: str, as_name: str) -> Path:
    """A name below `home` for a scan or masks that lie below `root` already. `told`: as typed, absolute or from root.

    Raises UnreadableInput for what is not there, and for what lies elsewhere, however it is written.
    """
    root = root.resolve()
    try:
        path = (root / told.strip()).resolve()
        inside = told.strip() != "" and path != root and path.is_relative_to(root) and path.exists()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise _refused("there is no such scan", told[:200], f"a file or folder below {root.name}")
    ending = "" if path.is_dir() else next((e for e in VOLUMES if path.name.lower().endswith(e)), path.suffix)
    link = home / f"{as_name}{ending}"
    try:
        link.symlink_to(path, target_is_directory=path.is_dir())
    except OSError:
        with writing(link):
            shutil.copytree(path, link) if path.is_dir() else shutil.copy2(path, link)
    return link


def _says_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _refused(what: str, got: str, wanted: str) -> UnreadableInput:
    return UnreadableInput(what, got=got, wanted=wanted, do="Choose a DICOM folder, a .zip, .nii.gz or .nrrd file.")
