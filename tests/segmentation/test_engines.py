"""Engines label the same, hand over when they cannot run, and never fail on a cache."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import ellipsoid_ct, write_small_models

from liverplan.errors import ModelError, ResourceError
from liverplan.segmentation import cache, openvino_engine, segment
from liverplan.segmentation.engines import EngineKind, TorchEngine, UntilMemoryEnds, choose_engine, load_engine
from liverplan.segmentation.intensity import scaled
from liverplan.segmentation.models import Stage, find_model, load_network, read_settings
from liverplan.segmentation.openvino_engine import SCORE_TOLERANCE, load_openvino
from liverplan.segmentation.resampling import to_isotropic

LEAST_AGREEMENT = 0.999


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A small network with weights that nobody trained."""
    return find_model(write_small_models(tmp_path / "models")).stages["segment"]


def patch_of(window: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, window).astype(np.float32)


def tissue(window: tuple[int, int, int], spacing_mm: float) -> np.ndarray:
    """A window of a made-up CT with noise, as the networks see it."""
    image = to_isotropic(ellipsoid_ct().array, (3.0, 3.0, 5.0), spacing_mm).array
    noisy = image + np.random.default_rng(0).normal(0, 25, image.shape).astype(np.float32)
    box = tuple(slice(max(0, n // 2 - side // 2), None) for n, side in zip(image.shape, window, strict=True))
    part = scaled(noisy)[box][tuple(slice(side) for side in window)]
    return np.pad(part, [(0, s - n) for s, n in zip(window, part.shape, strict=True)], constant_values=-1.0)


@pytest.mark.parametrize("name", ["locate", "segment"])
def test_the_shipped_networks_score_the_same_with_openvino_and_with_pytorch(name: str) -> None:
    stage = find_model().stages[name]
    settings = read_settings(stage)
    patch = tissue(settings.window, settings.spacing_mm)
    expected = load_engine(stage, settings, EngineKind.TORCH)(patch)
    scores = load_engine(stage, settings, EngineKind.OPENVINO)(patch)
    assert np.abs(scores - expected).max() < SCORE_TOLERANCE
    assert (scores.argmax(0) == expected.argmax(0)).mean() >= LEAST_AGREEMENT


def test_the_shipped_model_draws_the_same_masks_with_both_engines() -> None:
    volume = ellipsoid_ct((3.0, 3.0, 4.0))
    first, second = (segment(volume, engine=engine) for engine in ("torch", "openvino"))
    assert first.masks.keys() == second.masks.keys()
    for structure, mask in first.masks.items():
        assert ((mask > 0) != (second.masks[structure] > 0)).sum() <= (1 - LEAST_AGREEMENT) * (mask > 0).sum() + 1
    assert "PyTorch" in first.notes[0]
    assert "OpenVINO" in second.notes[0]


def test_a_window_scored_twice_has_the_same_scores_to_the_bit(stage: Stage) -> None:
    settings = read_settings(stage)
    engine, patch = load_openvino(stage, settings), patch_of(settings.window)
    first = engine(patch).copy()
    engine(patch_of(settings.window, seed=1))
    assert np.array_equal(engine(patch), first)
    assert np.array_equal(load_openvino(stage, settings)(patch), first)


def test_a_network_is_converted_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(stage)
    load_openvino(stage, settings)

    def unreachable(stage: Stage) -> torch.nn.Module:
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino_engine, "load_network", unreachable)
    load_openvino(stage, settings)
    other = replace(stage, sha256={**stage.sha256, "models/model.pt": "0" * 64})
    with pytest.raises(AssertionError, match="again"):
        load_openvino(other, settings)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fresh"
    monkeypatch.setattr(openvino_engine, "cache_folder", lambda: folder)
    return folder


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_flipped, lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"\0" * len(c)])
def test_a_damaged_cache_is_made_anew_with_the_same_scores(stage: Stage, fresh_cache: Path, damage) -> None:  # type: ignore[no-untyped-def]
    settings = read_settings(stage)
    patch = patch_of(settings.window)
    expected = load_openvino(stage, settings)(patch).copy()
    (path,) = fresh_cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read_sealed(path) is None
    assert np.array_equal(load_openvino(stage, settings)(patch), expected)
    assert cache.read_sealed(path) is not None


def test_a_sealed_file_that_openvino_does_not_understand_is_made_anew(stage: Stage, fresh_cache: Path) -> None:
    settings = read_settings(stage)
    load_openvino(stage, settings)
    (path,) = fresh_cache.iterdir()
    cache.write_sealed(path, b"\x04" + b"\0" * 7 + b"<no>")
    assert load_openvino(stage, settings)(patch_of(settings.window)).shape[0] == settings.n_classes


def test_a_cache_that_cannot_be_written_is_no_failure(stage: Stage, fresh_cache: Path) -> None:
    fresh_cache.write_text("a file where the folder should be")
    engine = load_engine(stage, read_settings(stage), EngineKind.OPENVINO)
    assert engine.notes == ()
    assert "OpenVINO" in engine.name


def test_a_conversion_that_scores_otherwise_is_not_used(stage: Stage, tmp_path: Path) -> None:
    settings = read_settings(stage)
    network = load_network(stage)
    for parameter in network.parameters():
        parameter.data.mul_(1.5)
    with pytest.raises(RuntimeError, match="differ"):
        openvino_engine._require_same_scores(load_openvino(stage, settings), network, settings.window)


def test_where_openvino_does_not_load_pytorch_runs_and_says_so(
    stage: Stage, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = load_engine(stage, read_settings(stage), EngineKind.OPENVINO)
    assert "PyTorch" in engine.name
    assert any("OpenVINO could not run" in note for note in engine.notes)
    assert engine(patch_of((16, 16, 16))).shape == (6, 16, 16, 16)


def test_damaged_weights_are_an_error_with_every_engine(stage: Stage, fresh_cache: Path) -> None:
    settings = read_settings(stage)
    weights = stage.bundle / "models" / "model.pt"
    weights.write_bytes(_flipped(weights.read_bytes()))
    for kind in (EngineKind.OPENVINO, EngineKind.TORCH):
        with pytest.raises(ModelError, match="damaged"):
            load_engine(stage, settings, kind)


class TooLarge(torch.nn.Module):
    """A network that gets no memory from its second window on."""

    windows = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.windows += 1
        if self.windows > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return image


def test_out_of_gpu_memory_the_rest_runs_on_the_cpu_and_it_is_said() -> None:
    engine = UntilMemoryEnds(lambda: TorchEngine(TooLarge(), "cpu"), lambda: TorchEngine(torch.nn.Identity(), "cpu"))
    patches = [patch_of((4, 4, 4), seed) for seed in range(3)]
    assert np.array_equal(engine(patches[0])[0], patches[0])
    assert engine.notes == ()
    for patch in patches[1:]:
        assert np.array_equal(engine(patch)[0], patch)
    assert any("out of memory" in note for note in engine.notes)


def test_a_network_that_does_not_fit_on_the_gpu_at_all_runs_on_the_cpu() -> None:
    def no_room() -> TorchEngine:
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = UntilMemoryEnds(no_room, lambda: TorchEngine(torch.nn.Identity(), "cpu"))
    assert engine(patch_of((4, 4, 4))).shape == (1, 4, 4, 4)
    assert engine.notes


def test_another_failure_is_not_taken_for_lack_of_memory() -> None:
    def broken() -> TorchEngine:
        raise RuntimeError("invalid argument")

    with pytest.raises(RuntimeError, match="invalid"):
        UntilMemoryEnds(broken, lambda: TorchEngine(torch.nn.Identity(), "cpu"))


def test_openvino_is_chosen_on_the_cpu_and_pytorch_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine("cpu") is EngineKind.OPENVINO
    assert choose_engine("cpu", "torch") is EngineKind.TORCH
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    assert choose_engine("cpu") is EngineKind.TORCH
    with pytest.raises(ResourceError, match="not installed"):
        choose_engine("cpu", "openvino")
    with pytest.raises(ResourceError, match="CPU only"):
        choose_engine("cuda", "openvino")


def test_threads_are_limited_as_for_other_libraries(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, limit in (("1", {"INFERENCE_NUM_THREADS": 1}), ("", {}), ("many", {}), ("0", {})):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert openvino_engine._thread_limit() == limit


_USE = """
import sys
from liverplan.segmentation.engines import choose_engine, load_engine
from liverplan.segmentation.models import find_model, read_settings
stage = find_model(sys.argv[1]).stages["segment"]
load_engine(stage, read_settings(stage), choose_engine("cpu"))
print(*[m for m in ("openvino", "torch", "monai", "openvino_telemetry.main") if sys.modules.get(m)])
"""


def test_a_converted_network_needs_no_pytorch_and_nothing_is_reported_to_anybody(stage: Stage, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "xdg"), "LOCALAPPDATA": str(tmp_path / "xdg")}
    loaded = [
        subprocess.run(
            [sys.executable, "-c", _USE, str(stage.bundle.parent)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert loaded == [["openvino", "torch", "monai"], ["openvino"]]
