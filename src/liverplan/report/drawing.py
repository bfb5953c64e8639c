"""Lines, letters and labels on a picture, drawn larger and scaled down so that every edge is smooth."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from liverplan.io.folder import write_bytes_atomic
from liverplan.report.figures import WITNESS_RGB

Colour: TypeAlias = tuple[int, int, int]
Pixel: TypeAlias = Sequence[float]

MAX_PNG_BYTES = 150_000
INK: Colour = (24, 32, 44)
PAPER: Colour = (255, 255, 255)
SHORT_PX = 13.0
"""Lines shorter than this are circled, or nobody finds them."""


class Canvas:
    """A picture in the making. All coordinates and widths are pixels of the finished picture.

    pixels: (height * oversampling, width * oversampling, 3) uint8.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], oversampling: int, *, dark: bool = False) -> None:
        self._image = Image.fromarray(np.ascontiguousarray(pixels))
        self._draw = ImageDraw.Draw(self._image)
        self._zoom = oversampling
        # Grey slices keep their few coloured outlines by coverage; shaded surfaces stay smooth by median cut.
        self._palette = Image.Quantize.MAXCOVERAGE if dark else Image.Quantize.MEDIANCUT
        self.ink, self.halo = (PAPER, INK) if dark else (INK, PAPER)
        self.size = self._image.width // oversampling, self._image.height // oversampling
        self._taken: list[tuple[float, float, float, float]] = []

    def polyline(self, points: npt.ArrayLike, colour: Colour, width: float, halo: float = 0.0) -> None:
        """Connected points (N, 2); `halo` is the width of a rim that sets the line off from the picture."""
        path = [tuple(p) for p in (np.asarray(points, dtype=float) * self._zoom).tolist()]
        if len(path) < 2:
            return
        if halo:
            self._draw.line(path, self.halo, round((width + 2 * halo) * self._zoom), joint="curve")
        self._draw.line(path, colour, max(round(width * self._zoom), 1), joint="curve")

    def segments(self, segments: npt.ArrayLike, colour: Colour, width: float) -> None:
        """Separate pieces of line (N, 2, 2)."""
        for start, end in np.asarray(segments, dtype=float).reshape(-1, 2, 2):
            self.polyline([start, end], colour, width)

    def corner_tag(self, words: str, height: float, fill: Colour) -> None:
        """A boxed label in the upper left corner, where it hides the least."""
        self._box((8 + self._half_width(words, height), 8 + 0.8 * height), words, height, fill)

    def dot(self, centre: Pixel, radius: float, colour: Colour) -> None:
        for grown, fill in ((1.5, self.halo), (0.0, colour)):
            reach = (radius + grown) * self._zoom
            x, y = centre[0] * self._zoom, centre[1] * self._zoom
            self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)

    def text(self, at: Pixel, words: str, height: float, colour: Colour | None = None, anchor: str = "mm") -> None:
        """Words with a rim, at an anchor as Pillow names them ("mm" middle, "la" left ascender ...)."""
        place = (at[0] * self._zoom, at[1] * self._zoom)
        rim = max(round(height * self._zoom / 9), 1)
        font = ImageFont.load_default(height * self._zoom)
        fill = colour or self.ink
        self._draw.text(place, _drawable(words), fill, font, anchor=anchor, stroke_width=rim, stroke_fill=self.halo)

    def tag(self, at: Pixel, words: str, height: float, fill: Colour = INK, away: int = 16) -> None:
        """A boxed label at least `away` pixels from `at`, joined to it by a line, where no other tag is."""
        half_width = self._half_width(words, height)
        x, y = self._free_place(at, half_width, 0.8 * height, away)
        self.polyline([at, (x, y)], fill, 1.2, halo=0.8)
        self._box((x, y), words, height, fill)

    def witness(self, start: Pixel, end: Pixel, words: str = "", height: float = 17, away: int = 16) -> None:
        """The line that a distance was measured along, with its ends and its value."""
        self.polyline([start, end], WITNESS_RGB, 2.2, halo=1.2)
        for tip in (start, end):
            self.dot(tip, 2.6, WITNESS_RGB)
            self.keep_clear(tip, 7.0)
        if np.hypot(end[0] - start[0], end[1] - start[1]) < SHORT_PX:
            self._ring([(start[0] + end[0]) / 2, (start[1] + end[1]) / 2], SHORT_PX)
        if words:
            self.tag([(start[0] + end[0]) / 2, (start[1] + end[1]) / 2], words, height, WITNESS_RGB, away)

    def scale_bar(self, pixels_per_mm: float) -> None:
        """A bar of a round length in the lower left corner."""
        fitting = [mm for mm in (5, 10, 20, 50, 100) if mm * pixels_per_mm < 0.3 * self.size[0]]
        length_mm = fitting[-1] if fitting else 5
        x, y = 14.0, self.size[1] - 14.0
        end = x + length_mm * pixels_per_mm
        for line in ([(x, y), (end, y)], [(x, y - 5), (x, y + 5)], [(end, y - 5), (end, y + 5)]):
            self.polyline(line, self.ink, 2.0, halo=1.2)
        self.text((x, y - 9), f"{length_mm} mm", 15, anchor="ls")

    def edge_letters(self, letters: dict[str, str]) -> None:
        """The patient's directions at the edges: {"left": "R", "right": "L", "top": "S", "bottom": "I"}."""
        width, height = self.size
        places: dict[str, tuple[float, float]] = {"left": (14, height / 2), "right": (width - 14, height / 2)}
        places |= {"top": (width / 2, 15), "bottom": (width / 2, height - 15)}
        for side, letter in letters.items():
            self.text(places[side], letter, 21)

    def _ring(self, centre: Pixel, radius: float) -> None:
        turn = np.linspace(0, 2 * np.pi, 49)
        self.polyline(
            np.stack([centre[0] + radius * np.cos(turn), centre[1] + radius * np.sin(turn)], 1), WITNESS_RGB, 1.6, 0.8
        )

    def keep_clear(self, centre: Pixel, radius: float) -> None:
        """No tag is put over this place."""
        self._taken.append((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius))

    def save(self, path: Path, most_bytes: int | None = MAX_PNG_BYTES) -> None:
        """Write a PNG of at most `most_bytes`: fewer colours first, then fewer pixels; all of both for None."""
        finished = self._image.resize(self.size, Image.Resampling.LANCZOS)
        if most_bytes is None:
            buffer = io.BytesIO()
            finished.save(buffer, format="PNG")
            write_bytes_atomic(path, buffer.getvalue())
            return
        for colours, share in ((256, 1.0), (128, 1.0), (96, 0.9), (64, 0.8), (48, 0.7), (32, 0.6)):
            data = _png(finished, self._palette, colours, share)
            if len(data) <= most_bytes:
                break
        write_bytes_atomic(path, data)

    def _half_width(self, words: str, height: float) -> float:
        font = ImageFont.load_default(height * self._zoom)
        return self._draw.textlength(_drawable(words), font=font) / self._zoom / 2 + 0.5 * height

    def _box(self, centre: tuple[float, float], words: str, height: float, fill: Colour) -> None:
        (x, y), half_width, half_height = centre, self._half_width(words, height), 0.8 * height
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        self._taken.append(box)
        scaled = [side * self._zoom for side in box]
        self._draw.rounded_rectangle(scaled, 0.35 * height * self._zoom, fill=fill, outline=PAPER, width=self._zoom)
        font = ImageFont.load_default(height * self._zoom)
        self._draw.text((x * self._zoom, y * self._zoom), _drawable(words), PAPER, font, anchor="mm")

    def _free_place(self, at: Pixel, half_width: float, half_height: float, away: int) -> tuple[float, float]:
        """The nearest place for a box around `at` that is inside the picture and overlaps no other tag."""
        width, height = self.size
        best = (float(at[0]), float(at[1]))
        for x, y in _around(at, half_width, half_height, away):
            across = x - half_width >= 4 and x + half_width <= width - 4
            down = y - half_height >= 4 and y + half_height <= height - 4
            if across and down and not self._overlaps(x, y, half_width, half_height):
                return x, y
        return best

    def _overlaps(self, x: float, y: float, half_width: float, half_height: float) -> bool:
        return any(
            x - half_width < right and x + half_width > left and y - half_height < bottom and y + half_height > top
            for left, top, right, bottom in self._taken
        )


def _neutral(palette: list[int]) -> list[int]:
    """The palette with its nearly grey entries made grey: a tint in a CT slice is seen at once."""
    colours = np.array(palette, dtype=np.int64).reshape(-1, 3)
    nearly = np.ptp(colours, axis=1) <= 14
    colours[nearly] = colours[nearly].mean(axis=1, keepdims=True).round()
    return [int(value) for value in colours.ravel()]


def _drawable(words: str) -> str:
    """The built-in font has neither a no-break space nor a true minus sign."""
    return words.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def enlarged(pixels: npt.NDArray[np.uint8], times: int) -> npt.NDArray[np.uint8]:
    """A picture (height, width, 3) enlarged with smooth edges."""
    image = Image.fromarray(pixels)
    size = image.width * times, image.height * times
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.uint8)


def _around(at: Pixel, half_width: float, half_height: float, away: int) -> Iterable[tuple[float, float]]:
    for distance in range(away, 240, 12):
        for degrees in (-60, -120, 60, 120, -90, 90, 0, 180, -30, -150, 30, 150):
            cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            yield float(at[0] + cosine * (distance + half_width)), float(at[1] + sine * (distance + half_height))


def _png(image: Image.Image, method: Image.Quantize, colours: int, share: float) -> bytes:
    size = round(image.width * share), round(image.height * share)
    small = image if share == 1.0 else image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    palette = small.quantize(colours, method=method, dither=Image.Dither.NONE)
    palette.putpalette(_neutral(palette.getpalette() or []))
    palette.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
