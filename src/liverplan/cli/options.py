"""Options that several verbs have: one wording, one default, one meaning."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DEFAULT_PROTOCOL = "nct06934018"
"""That of `liverplan.protocol`, which takes longer to import than `--help` may (a test holds the two equal)."""
KEY_HELP = "Secret that pseudonyms are made with; default: the user's own."


class Device(enum.StrEnum):
    """Where the network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Modality(enum.StrEnum):
    """What kind of image it is, when the file does not say."""

    CT = "CT"
    MR = "MR"


Image: TypeAlias = Annotated[Path, typer.Argument(metavar="IMAGE", help="The scan: a DICOM folder or one image file.")]
NewFolder: TypeAlias = Annotated[
    Path, typer.Option("-o", "--out", metavar="OUT", help="Folder to write; made by the command.")
]
Series: TypeAlias = Annotated[
    str | None, typer.Option(metavar="UID", help="DICOM series, when the folder has several.")
]
OfModality: TypeAlias = Annotated[Modality | None, typer.Option(help="CT or MR, for files that do not say.")]
ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A name of `liverplan models list`, totalsegmentator, or a folder: MONAI bundle, nnU-Net v2 model.",
    ),
]
OnDevice: TypeAlias = Annotated[Device, typer.Option(help="Where the network runs.")]
ProtocolName: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Trial protocol by name or as a TOML file.")
]
Pictures: TypeAlias = Annotated[bool, typer.Option(help="Draw the pictures of the report.")]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in OUT.")]
Pseudonym: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="In place of name and id; default: made from the study.")
]
DeidentifyKey: TypeAlias = Annotated[Path | None, typer.Option("--deidentify-key", metavar="FILE", help=KEY_HELP)]
