"""A worker loads its networks once, and never the wrong ones."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "segmentation"))

from cases import write_small_models

from liverplan.errors import ModelError
from liverplan.segmentation import engines
from liverplan.segmentation.engines import EngineKind, load_engine
from liverplan.segmentation.models import Model, find_model, read_settings


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return find_model(write_small_models(tmp_path / "models"))


def load(model: Model, name: str = "segment", kind: EngineKind = EngineKind.TORCH) -> engines.Engine:
    stage = model.stages[name]
    return load_engine(stage, read_settings(stage), kind)


def test_the_two_networks_of_a_cascade_are_loaded_once(model: Model) -> None:
    locate, segment = load(model, "locate"), load(model)
    assert load(model, "locate") is locate
    assert load(model) is segment is not locate


def test_a_kept_network_is_not_handed_out_for_another_hash_or_a_file_that_changed(model: Model) -> None:
    load(model)
    stage = model.stages["segment"]
    other = replace(stage, sha256={**stage.sha256, "models/model.pt": "0" * 64})
    with pytest.raises(ModelError, match="not the published one"):
        load_engine(other, read_settings(stage), EngineKind.TORCH)
    weights = stage.bundle / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not the published one"):
        load(model)


def test_threads_share_no_engine_because_scores_are_overwritten(model: Model) -> None:
    found = [load(model)]
    thread = threading.Thread(target=lambda: found.append(load(model)))
    thread.start()
    thread.join()
    assert found[0] is not found[1]


def test_an_engine_that_stands_in_for_another_is_not_kept(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as absent:
        absent.setattr(engines.openvino_engine, "load_openvino", lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
        noted = load(model, kind=EngineKind.OPENVINO)
    assert "PyTorch did" in noted.notes[0]
    after = load(model, kind=EngineKind.OPENVINO)
    assert after is not noted
    assert after.notes == ()


def test_a_kept_engine_scores_as_a_new_one(model: Model) -> None:
    patch = np.random.default_rng(0).uniform(-1, 1, (16, 16, 16)).astype(np.float32)
    first = load(model)(patch).copy()
    assert np.array_equal(load(model)(patch), first)
