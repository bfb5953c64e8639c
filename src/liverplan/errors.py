"""What can go wrong, as one tree. Only `liverplan.cli` turns an error into an exit status.

LiverplanError
|-- InputError                 status 3: the user's input is refused
|   |-- UnreadableInput        a file or series cannot be read as what it claims to be
|   |-- GeometryError          an image without usable geometry (2D, 4D, zero spacing, sheared, NaN)
|   |-- GeometryMismatch       two images that do not lie on the same grid or frame of reference
|   |-- SegmentationRefused    masks that cannot be a liver case (no liver, lesion outside the liver)
|   |-- ProtocolError          a trial protocol that does not load
|   |-- ClinicalError          a clinical record that does not load
|   |-- ModelError             a model that is missing, damaged or does not fit
|   |-- ArchiveError           an image archive (PACS) that does not answer, refuses, or is called by a wrong address
|   `-- OutputError            a place where results cannot be written
`-- ResourceError              status 4: memory, disk or device ran out
"""

from __future__ import annotations


class LiverplanError(Exception):
    """Base of every error of this package: what happened, what was got, what was wanted, what to do."""

    exit_status = 1

    def __init__(self, what: str, *, got: str, wanted: str, do: str) -> None:
        self.what = what
        self.got = got
        self.wanted = wanted
        self.do = do
        super().__init__(f"{what}: got {got}; wanted {wanted}. {do}")


class InputError(LiverplanError):
    """The user's input is refused."""

    exit_status = 3


class UnreadableInput(InputError):
    """A file or series cannot be read as what it claims to be."""


class GeometryError(InputError):
    """An image without usable geometry."""


class GeometryMismatch(InputError):
    """Two images that do not lie on the same grid or in the same frame of reference."""


class SegmentationRefused(InputError):
    """Masks that cannot be a liver case."""


class ProtocolError(InputError):
    """A trial protocol that does not load."""


class ClinicalError(InputError):
    """A clinical record that does not load."""


class ModelError(InputError):
    """A segmentation model that is missing, damaged or does not fit."""


class ArchiveError(InputError):
    """An image archive (PACS) that does not answer, refuses, or is called by a wrong address."""


class OutputError(InputError):
    """A place where results cannot be written."""


class ResourceError(LiverplanError):
    """Memory, disk or device ran out."""

    exit_status = 4
