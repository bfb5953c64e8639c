"""Sliding windows: those of MONAI, without MONAI."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference

from liverplan.segmentation.windows import AIR, class_scores, highest, n_windows, sliding_scores

WINDOW = (16, 16, 16)


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("shape", [(20, 20, 20), (10, 25, 18), (16, 33, 6), (16, 16, 16), (5, 5, 5)])
def test_scores_are_those_of_monais_inferer(shape: tuple[int, int, int], overlap: float) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, 3, padding=1)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(image)[None, None],
            WINDOW,
            1,
            network,
            overlap=overlap,
            mode="gaussian",
            padding_mode="constant",
            cval=AIR,
        )[0]
    assert (class_scores(network, image, WINDOW, overlap) - expected).abs().max() < 1e-5


def test_what_an_image_lacks_to_a_window_is_air() -> None:
    seen = []

    def scorer(patch: np.ndarray) -> np.ndarray:
        seen.append(patch.copy())
        return patch[None]

    sliding_scores(scorer, np.ones((6, 16, 16), dtype=np.float32), WINDOW, 0.5)
    assert len(seen) == 1
    assert (seen[0] == 1).sum() == 6 * 16 * 16
    assert (seen[0] == AIR).sum() == 10 * 16 * 16


def test_a_scorer_may_reuse_its_array() -> None:
    buffer = np.empty((1, *WINDOW), dtype=np.float32)

    def scorer(patch: np.ndarray) -> np.ndarray:
        buffer[0] = patch
        return buffer

    image = np.random.default_rng(0).normal(size=(30, 20, 25)).astype(np.float32)
    assert np.allclose(sliding_scores(scorer, image, WINDOW, 0.25)[0], image, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_highest_class_is_argmax_and_the_first_of_equal_ones(seed: int, n_classes: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (n_classes, 5, 4, 3)).astype(np.float32)
    assert (highest(scores) == scores.argmax(0)).all()


def test_the_number_of_windows_is_what_is_computed() -> None:
    for shape in ((40, 40, 40), (16, 50, 10), (1, 1, 1)):
        calls = []
        sliding_scores(lambda p, calls=calls: calls.append(1) or p[None], np.zeros(shape, np.float32), WINDOW, 0.25)
        assert len(calls) == n_windows(shape, WINDOW, 0.25)
