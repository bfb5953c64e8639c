"""The letters of report.pdf: DejaVu Sans, which comes with Matplotlib and so with VTK, embedded as a subset.

DejaVu (Bitstream Vera and public domain licence) has Latin, Greek and Cyrillic letters, superscripts and relations.
Where it is missing, Bitstream Vera of ReportLab stands in, which has fewer letters. A letter that a font lacks is
drawn as a box and stays in the text for whoever copies it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

SANS, BOLD = "LiverplanSans", "LiverplanSans-Bold"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_DEJAVU = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
_VERA = ("Vera.ttf", "VeraBd.ttf")
_UNDRAWABLE = {"Cc", "Cs", "Cn", "Co", "Cf"}
"""Control, surrogate, unassigned, private and format characters: no font draws them, and XML refuses some."""


@lru_cache(maxsize=1)
def register_fonts() -> None:
    """Make SANS and BOLD known to ReportLab, once."""
    for name, path in zip((SANS, BOLD), font_files(), strict=True):
        pdfmetrics.registerFont(TTFont(name, str(path)))
    pdfmetrics.registerFontFamily(SANS, normal=SANS, bold=BOLD, italic=SANS, boldItalic=BOLD)


def font_files() -> tuple[Path, Path]:
    """The regular and the bold font file."""
    # find_spec does not import Matplotlib, which takes a second.
    matplotlib, reportlab = (find_spec(name) for name in ("matplotlib", "reportlab"))
    places = []
    if matplotlib is not None and matplotlib.origin is not None:
        places.append((Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf", _DEJAVU))
    if reportlab is not None and reportlab.origin is not None:
        places.append((Path(reportlab.origin).parent / "fonts", _VERA))
    for folder, (regular, bold) in places:
        if (folder / regular).is_file() and (folder / bold).is_file():
            return folder / regular, folder / bold
    raise FileNotFoundError("neither Matplotlib's nor ReportLab's fonts are installed")


def clean(text: object, limit: int) -> str:
    """Text on one line without undrawable characters, at most `limit` letters; what is cut off is marked."""
    words = "".join(" " if unicodedata.category(c) in _UNDRAWABLE else c for c in str(text))
    # Only plain white space is folded: a no-break space keeps a number at its unit.
    folded = " ".join(part for part in words.split(" ") if part)
    return folded if len(folded) <= limit else folded[: max(limit - 1, 0)].rstrip() + ELLIPSIS


def markup(text: object, limit: int = 400) -> str:
    """Text for a ReportLab paragraph, in which nothing is read as markup."""
    return escape(clean(text, limit))
