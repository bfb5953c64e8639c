"""Between grids: positions are kept, and what is outside is air."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.segmentation.resampling import AIR_HU, IsotropicImage, best_class, slices_onto, to_isotropic


def ramp(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    """HU that equals the position along x + 2 y - z in mm."""
    x, y, z = (np.arange(n) * s for n, s in zip(shape, spacing, strict=True))
    return (x[:, None, None] + 2 * y[None, :, None] - z[None, None, :]).astype(np.float32)


@pytest.mark.parametrize("spacing", [(0.7, 0.8, 5.0), (1.5, 1.5, 1.5), (2.9, 4.0, 0.6)])
def test_a_linear_field_keeps_its_place(spacing: tuple[float, float, float]) -> None:
    image = to_isotropic(ramp((90, 80, 70), spacing), spacing, 1.5)
    inner = tuple(slice(4, n - 4) for n in image.array.shape)
    axes = [o + np.arange(n) * 1.5 for o, n in zip(image.origin_mm, image.array.shape, strict=True)]
    expected = axes[0][:, None, None] + 2 * axes[1][None, :, None] - axes[2][None, None, :]
    assert np.abs(image.array - expected)[inner].max() < 0.02


def test_classes_come_back_to_the_voxels_they_came_from() -> None:
    spacing, shape = (0.8, 0.9, 2.5), (70, 60, 24)
    x, y, z = (np.arange(n) * s for n, s in zip(shape, spacing, strict=True))
    truth = (x[:, None, None] - 28) ** 2 + (y[None, :, None] - 26) ** 2 + (z[None, None, :] - 30) ** 2 < 20**2
    image = to_isotropic(np.where(truth, 100, 0).astype(np.int16), spacing, 1.5)
    scores = np.stack([100 - image.array, image.array])
    back = best_class(scores, image, shape, spacing) == 1
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.97


def test_values_below_air_are_air() -> None:
    image = to_isotropic(np.full((20, 20, 20), -3024, dtype=np.int16), (1.0, 1.0, 1.0), 1.5)
    assert image.array.min() == AIR_HU


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_fields_on_another_grid_are_those_of_simpleitk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rng.integers(2, 9, 3)).astype(np.float32)
    source = IsotropicImage(values, float(rng.uniform(1, 3)), tuple(rng.uniform(-2, 2, 3).tolist()))
    spacing, shape = tuple(rng.uniform(0.4, 4, 3).tolist()), tuple(int(n) for n in rng.integers(1, 12, 3))
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    image.SetSpacing([source.spacing_mm] * 3)
    image.SetOrigin(source.origin_mm)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(shape)
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputOrigin((0.5, -1.0, 0.0))
    resampler.SetUseNearestNeighborExtrapolator(True)
    resampler.SetDefaultPixelValue(np.nan)
    inside = sitk.GetArrayFromImage(resampler.Execute(image)).transpose(2, 1, 0)
    made = np.concatenate(list(slices_onto(values[None], source, shape, spacing, (0.5, -1.0, 0.0))))
    near = _within_half_a_voxel(source, shape, spacing, (0.5, -1.0, 0.0))
    assert np.allclose(made[near], inside[near], atol=1e-4)


def _within_half_a_voxel(source: IsotropicImage, shape, spacing, first_mm) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Where the two must agree: SimpleITK takes the nearest value further out, edge by edge."""
    inside = np.ones(shape, dtype=bool)
    for axis, n in enumerate(shape):
        position = (first_mm[axis] + np.arange(n) * spacing[axis] - source.origin_mm[axis]) / source.spacing_mm
        ok = (position >= -0.49) & (position <= source.array.shape[axis] - 0.51)
        inside &= np.expand_dims(ok, tuple(a for a in range(3) if a != axis))
    return inside
