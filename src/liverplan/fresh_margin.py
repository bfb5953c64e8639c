"""What is left of a planned margin on the fresh specimen, per transection device. Illustrative: docs/fresh-margin.md.

    fresh = planned - loss + execution error          loss = specimen_share * band of the device

Loss, execution error and the planned margin's error are independent Gaussians, so that the result has a closed form.
The numbers come from a file (cut_loss.toml unless another is named); no one has measured them in patients.

- Half of the band (Hammond 2012) comes off the specimen: an assumption. Necrosis stays on it and is not subtracted.
- The loss's Gaussian is not cut off at zero: for the file's devices at most 1.2 % of it is negative.
- A specimen's margin is not negative. A prediction below zero (a cut through the tumour) is reported as 0 mm, value
  and ends; `p_at_least` is computed before that.
- An interval of the planned margin already holds the segmentation's error. Each side takes the larger of that and
  `segmentation_sd_mm`, never both: counted once, and not lost where the plan came without an interval.
- Sides of unequal width stay unequal, each combined as the root of its sum of squares (the two-piece normal of
  `liverplan.probability`). That is exact for equal sides. Where one side of the plan's interval is twice the other,
  `p_at_least` is off by up to 0.05, and too high when the low side is the long one (0.08 at four times).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from scipy.special import ndtri

from liverplan.errors import UnreadableInput
from liverplan.probability import Z_95, p_at_least
from liverplan.quantity import Quantity

_DEFAULT = "cut_loss.toml"


@dataclass(frozen=True)
class Device:
    """A transection device: the band that it destroys along the cut, mean and standard deviation in mm."""

    title: str
    band_mm: float
    band_sd_mm: float


@dataclass(frozen=True)
class CutLossModel:
    """Devices by name, and the spreads (one standard deviation, mm) that go with any of them."""

    version: str
    source: str
    illustrative: bool
    specimen_share: float
    execution_sd_mm: float
    segmentation_sd_mm: float
    devices: Mapping[str, Device]

    def loss_mm(self, device: Device) -> float:
        """Mean loss on the specimen's side."""
        return self.specimen_share * device.band_mm

    def spread_mm(self, device: Device, measurement_sd_mm: float) -> float:
        """Standard deviation of the fresh margin around its mean, segmentation counted once."""
        measured = max(measurement_sd_mm, self.segmentation_sd_mm)
        return math.hypot(self.specimen_share * device.band_sd_mm, self.execution_sd_mm, measured)


@dataclass(frozen=True)
class FreshMargin:
    """The margin expected on the fresh specimen.

    margin_mm: median and central 95 %, none below 0. p_at_least: probability that it is `limit_mm` or more.
    illustrative: the model's numbers were not measured in patients, and whoever shows this has to say so.
    """

    title: str
    margin_mm: Quantity
    limit_mm: float
    p_at_least: float
    illustrative: bool


def predict(planned_mm: Quantity, limit_mm: float, model: CutLossModel) -> Mapping[str, FreshMargin]:
    """The fresh margin of a planned one (mm, its interval as central 95 %) by device, against a limit in mm."""
    return {name: _predict(planned_mm, limit_mm, model, device) for name, device in model.devices.items()}


def planned_for_mm(probability: float, limit_mm: float, model: CutLossModel, device: str) -> float:
    """The planned margin in mm that is `limit_mm` or more on the fresh specimen with this probability.

    For a plan whose own interval is no wider than the model's segmentation_sd_mm. Raises ValueError unless
    0 < probability < 1, KeyError when the model has no such device.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"a probability lies between 0 and 1, got {probability}")
    found = model.devices[device]
    return limit_mm + model.loss_mm(found) + float(ndtri(probability)) * model.spread_mm(found, 0.0)


def load_cut_loss(path: Path | None = None) -> CutLossModel:
    """The model in a TOML file, or the one that comes with the package.

    Raises UnreadableInput when there is no such file, or naming line and key of what does not fit, and what was wanted.
    """
    if path is None:
        entry = resources.files("liverplan") / _DEFAULT
        return _parse(entry.read_bytes(), _DEFAULT)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableInput(
            "the cut-loss file cannot be read",
            got=f"{str(path)!r} ({error.strerror})",
            wanted="a TOML file like cut_loss.toml",
            do="Check the path, or leave it away to use the file that comes with the package.",
        ) from error
    return _parse(content, path.name)


def _predict(planned_mm: Quantity, limit_mm: float, model: CutLossModel, device: Device) -> FreshMargin:
    middle = planned_mm.value - model.loss_mm(device)
    below = model.spread_mm(device, (planned_mm.value - planned_mm.low) / Z_95)
    above = model.spread_mm(device, (planned_mm.high - planned_mm.value) / Z_95)
    free = Quantity(middle, middle - Z_95 * below, middle + Z_95 * above)
    shown = Quantity(max(free.value, 0.0), max(free.low, 0.0), max(free.high, 0.0))
    reached = 1.0 if limit_mm <= 0.0 else p_at_least(free, limit_mm)
    return FreshMargin(device.title, shown, limit_mm, reached, model.illustrative)


def _parse(content: bytes, file_name: str) -> CutLossModel:
    try:
        text = content.decode("utf-8")
        data = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _refuse(file_name, "", got=str(error), wanted="TOML in UTF-8")
    root = _Table(data, "", text, file_name)
    root.only(("model", "device"))
    model, devices = root.table("model"), root.table("device")
    if not devices.data:
        root.refuse("device", "one or more tables [device.NAME]")
    model.only(key for key in CutLossModel.__dataclass_fields__ if key != "devices")
    return CutLossModel(
        version=model.text("version"),
        source=model.text("source"),
        illustrative=model.flag("illustrative"),
        specimen_share=model.number("specimen_share", most=1.0),
        execution_sd_mm=model.number("execution_sd_mm"),
        segmentation_sd_mm=model.number("segmentation_sd_mm"),
        devices=MappingProxyType({name: _device(devices.table(name)) for name in devices.data}),
    )


def _device(table: _Table) -> Device:
    table.only(Device.__dataclass_fields__)
    return Device(table.text("title"), table.number("band_mm"), table.number("band_sd_mm"))


@dataclass(frozen=True)
class _Table:
    """A table of the file, read key by key, so that a refusal names line, key, got and wanted."""

    data: Mapping[str, Any]
    name: str
    text_of_file: str
    file_name: str

    def table(self, key: str) -> _Table:
        name = f"{self.name}.{key}" if self.name else key
        value = self.data.get(key)
        if not isinstance(value, dict):
            self.refuse(key, f"a table [{name}]")
        return _Table(value, name, self.text_of_file, self.file_name)

    def text(self, key: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, "a text that is not empty")
        return value

    def flag(self, key: str) -> bool:
        value = self.data.get(key)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def number(self, key: str, most: float = math.inf) -> float:
        """A number from 0 to `most`."""
        value = self.data.get(key)
        wanted = f"a number from 0 to {most:g}" if math.isfinite(most) else "a number, 0 or more"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(key, wanted)
        if not 0.0 <= value <= most or math.isinf(value):
            self.refuse(key, wanted)
        return float(value)

    def only(self, keys: Iterable[str]) -> None:
        """Refuse keys that mean nothing: a typo must not leave a number as it was."""
        known = tuple(keys)
        for key in self.data:
            if key not in known:
                self.refuse(key, f"one of {', '.join(known)}", got="an unknown key")

    def refuse(self, key: str, wanted: str, got: str = "") -> NoReturn:
        shown = repr(self.data[key]) if key in self.data else "nothing"
        line = _line_of(self.text_of_file, self.name, key)
        table = f"[{self.name}] " if self.name else ""
        place = f"line {line}, {table}{key}" if line else f"{table}{key}"
        _refuse(self.file_name, place, got=got or shown, wanted=wanted)


def _refuse(file_name: str, place: str, got: str, wanted: str) -> NoReturn:
    raise UnreadableInput(
        f"the cut-loss file {file_name} does not load{': ' if place else ''}{place}",
        got=got,
        wanted=wanted,
        do="Correct the file; docs/fresh-margin.md says what belongs in it.",
    )


def _line_of(text: str, table: str, key: str) -> int | None:
    """Number of the line that sets `key` in a table, else of the table's header; tomllib keeps no line numbers."""
    header, current = None, ""
    setting = re.compile(rf"^\s*{re.escape(key)}\s*=")
    for number, line in enumerate(text.splitlines(), start=1):
        opened = re.match(r"^\s*\[\s*([\w.-]+)\s*\]", line)
        current = opened.group(1) if opened else current
        if opened and current in (table, f"{table}.{key}".lstrip(".")):
            header = header or number
        if current == table and setting.match(line):
            return number
    return header
