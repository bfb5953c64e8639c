"""What the networks see of CT and MR values, and that a MONAI bundle's own preprocessing shows them the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.segmentation.intensity import FORMATS, monai_transform, scaled, scaled_as, scaled_signal


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 120.0, (12, 11, 10)).astype(np.float32)


def test_attenuation_outside_the_window_is_clipped_and_inside_it_is_linear() -> None:
    values = np.array([-1000.0, -150.0, 50.0, 250.0, 3000.0], dtype=np.float32)
    assert scaled(values) == pytest.approx([-1.0, -1.0, 0.0, 1.0, 1.0])


@given(gain=st.floats(0.01, 100.0), offset=st.floats(0.0, 500.0))
def test_the_gain_and_offset_of_an_mr_scanner_make_no_difference(gain: float, offset: float) -> None:
    signal = noise()
    assert scaled_signal(signal * np.float32(gain) + np.float32(offset)) == pytest.approx(
        scaled_signal(signal), abs=2e-2
    )


def test_signal_spans_the_whole_range_and_a_uniform_image_is_dark_not_broken() -> None:
    shown = scaled_signal(noise())
    assert shown.min() == -1.0
    assert shown.max() == 1.0
    assert np.array_equal(scaled_signal(np.full((4, 4, 4), 7.0, dtype=np.float32)), np.full((4, 4, 4), -1.0))


def test_a_kind_of_values_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="intensity"):
        scaled_as("counts", noise())


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_bundles_own_transform_shows_the_network_the_same(modality: str) -> None:
    from monai import transforms

    entry = monai_transform(FORMATS[modality])
    transform = getattr(transforms, entry.pop("_target_"))(**entry)
    image = noise() - np.float32(200.0)
    own = scaled_as(FORMATS[modality], image)
    assert np.asarray(transform({"image": image[None]})["image"])[0] == pytest.approx(own, abs=1e-4)
