"""A foreign MONAI bundle's configuration, read and never run.

A MONAI config may name any Python callable and hold expressions. Here only four parts are looked at, as data: the
network (from an allow-list of `monai.networks.nets`), the transforms before it (from an allow-list), the sliding
window, and the names of the classes. Anything else in the file is not looked at, and nothing of it is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from liverplan.errors import ModelError

NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "DynUNet",
    "SegResNet",
    "SegResNetDS",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""Networks of MONAI that take an image and give class scores, and whose arguments are plain values."""
_LEFT_OUT = ("LoadImage", "EnsureChannelFirst", "EnsureType", "ToTensor", "CastToType")
"""Transforms that the image has already been through when it comes here."""
TRANSFORMS = (
    "CropForeground",
    "NormalizeIntensity",
    "Orientation",
    "ScaleIntensity",
    "ScaleIntensityRange",
    "ScaleIntensityRangePercentiles",
    "Spacing",
    "ThresholdIntensity",
)
"""Transforms before the network: they keep the axes parallel to the image's, so that results find back."""
_WINDOWED = ("SlidingWindowInferer", "SlidingWindowInfererAdapt")
_WHOLE = ("SimpleInferer",)
_DEEPEST = 8
"""References that refer to references further than this are a circle."""


@dataclass(frozen=True)
class Call:
    """A class of MONAI by its bare name, and its arguments as plain values."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class BundleConfig:
    """Everything that is read of a bundle. classes: channel of the output to name. window: arguments of the sliding
    window, None for the whole image at once. several: classes may overlap (sigmoid), instead of one per voxel."""

    network: Call
    preprocessing: tuple[Call, ...]
    window: Mapping[str, Any] | None
    classes: Mapping[int, str]
    modality: str
    several: bool


def config_file(folder: Path) -> Path | None:
    """The inference configuration of a bundle, or None."""
    names = ("inference.json", "inference.yaml", "inference.yml")
    return next((f for name in names if (f := folder / "configs" / name).is_file()), None)


def read_bundle(folder: Path) -> BundleConfig:
    """Read a bundle's inference configuration and metadata. Raises ModelError for whatever is not on the lists."""
    path = config_file(folder)
    if path is None:
        raise bad_bundle(folder, "no configs/inference.json or .yaml", "a MONAI bundle")
    config = _load(path)
    metadata = _load(folder / "configs" / "metadata.json")
    classes, modality = _format(metadata, folder)
    reader = _Reader(config, folder)
    steps = reader.transforms("preprocessing", "pre_transforms")
    return BundleConfig(
        reader.network(),
        tuple(step for step in steps if step.name not in _LEFT_OUT),
        reader.window(),
        classes,
        modality,
        reader.several(),
    )


@dataclass(frozen=True)
class _Reader:
    """A config as data, with references to plain values followed."""

    config: Mapping[str, Any]
    folder: Path

    def network(self) -> Call:
        definition = self.config.get("network_def")
        if not isinstance(definition, Mapping):
            raise self._bad("no network_def", "the network under network_def")
        return self._call(definition, "monai.networks.nets", NETWORKS)

    def transforms(self, *keys: str) -> list[Call]:
        """The steps of a Compose, allow-listed."""
        found: Any = next((self.config[key] for key in keys if key in self.config), {"transforms": []})
        block = self._followed(found, 0)
        steps = block.get("transforms") if isinstance(block, Mapping) else block
        if isinstance(steps, str):
            steps = self._followed(steps, 0)
        if not isinstance(steps, list):
            raise self._bad(f"{keys[0]} without a list of transforms", "a Compose with its transforms")
        known = (*TRANSFORMS, *_LEFT_OUT)
        return [self._for_image(self._call(step, "monai.transforms", known, dictionary=True)) for step in steps]

    def window(self) -> Mapping[str, Any] | None:
        inferer = self._call(self.config.get("inferer", {}), "monai.inferers", (*_WINDOWED, *_WHOLE))
        if inferer.name in _WHOLE:
            return None
        wanted = ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval")
        window = {name: inferer.arguments[name] for name in wanted if name in inferer.arguments}
        if "roi_size" not in window:
            raise self._bad("a sliding window without roi_size", "its size")
        return window

    def several(self) -> bool:
        """Whether the classes go through a sigmoid. Read from the text of the step only."""
        block = self.config.get("postprocessing", self.config.get("post_transforms", {}))
        steps = block.get("transforms", []) if isinstance(block, Mapping) else block
        steps = steps if isinstance(steps, list) else []
        return any(isinstance(s, Mapping) and s.get("sigmoid") is True for s in steps)

    def _call(self, block: Any, module: str, allowed: tuple[str, ...], dictionary: bool = False) -> Call:
        target = block.get("_target_") if isinstance(block, Mapping) else None
        short = str(target or "nothing")
        name = re.sub(rf"^{re.escape(module)}(\.[a-z_0-9]+)*\.", "", short)
        name = re.sub(r"(d|D|Dict)$", "", name) if dictionary and name not in allowed else name
        if target is None or name not in allowed:
            raise self._bad(f"_target_ {short}", f"one of {', '.join(allowed)} of {module}")
        arguments = {str(k): self._plain(v, 0) for k, v in block.items() if not str(k).startswith("_")}
        return Call(name, arguments)

    def _for_image(self, step: Call) -> Call:
        """The step for the image alone, where a list of keys has a setting for each."""
        keys = step.arguments.get("keys", "image")
        first = {
            k: v[0] if isinstance(v, list) and k in ("mode", "padding_mode") else v for k, v in step.arguments.items()
        }
        if isinstance(keys, list) and "image" in keys and len(keys) > 1:
            raise self._bad(f"{step.name} of {', '.join(keys)}", "transforms of the image alone")
        dropped = ("keys", "allow_missing_keys", "source_key", "meta_keys", "meta_key_postfix", "lazy")
        return Call(step.name, {k: v for k, v in first.items() if k not in dropped})

    def _plain(self, value: Any, depth: int) -> Any:
        """A value that holds no call and no expression."""
        value = self._followed(value, depth)
        if isinstance(value, Mapping):
            if "_target_" in value:
                raise self._bad(f"_target_ {value['_target_']} as an argument", "plain values as arguments")
            return {str(k): self._plain(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(v, depth + 1) for v in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise self._bad(f"an argument {value!r}", "plain values as arguments")

    def _followed(self, value: Any, depth: int) -> Any:
        """What a reference like @window stands for. Expressions and macros are refused: they would have to be run."""
        while isinstance(value, str) and value[:1] in ("@", "$", "%"):
            path = value[1:] if value.startswith("@") else ""
            if depth > _DEEPEST or not re.fullmatch(r"[\w#:]+", path):
                raise self._bad(f"the expression {value!r}", "the value itself in its place")
            found: Any = self.config
            for part in re.split(r"#|::", path):
                found = found.get(part) if isinstance(found, Mapping) else None
            if found is None:
                raise self._bad(f"the reference {value!r} to nothing", "a value under that name")
            value, depth = found, depth + 1
        return value

    def _bad(self, got: str, wanted: str) -> ModelError:
        return bad_bundle(self.folder, got, wanted)


def _format(metadata: Mapping[str, Any], folder: Path) -> tuple[dict[int, str], str]:
    """Names of the output's channels, and the input's modality where it is said."""
    try:
        formats = metadata["network_data_format"]
        output = next(iter(formats["outputs"].values()))
        image = next(iter(formats["inputs"].values()))
        classes = {int(channel): str(name) for channel, name in output["channel_def"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise bad_bundle(folder, f"metadata.json without {error}", "network_data_format with channel_def") from error
    if int(image.get("num_channels", 1)) != 1:
        raise bad_bundle(folder, f"{image['num_channels']} input channels", "a network of one image")
    return classes, str(image.get("modality", "")).upper()


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise bad_bundle(path.parents[1], f"{path.name}: {error}", "JSON or YAML") from error
    if not isinstance(content, dict):
        raise bad_bundle(path.parents[1], f"{path.name}, which is no object", "an object with names")
    return content


def bad_bundle(folder: Path, got: str, wanted: str) -> ModelError:
    return ModelError(
        f"the MONAI bundle {folder.name} cannot be run here",
        got=got,
        wanted=wanted,
        do="Nothing of a bundle's configuration is executed: docs/segmentation.md says what is read, and how.",
    )
