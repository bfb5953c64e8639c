"""A made-up abdomen for tests: ellipsoids in the place of organs. Not data of anybody."""

from __future__ import annotations

import numpy as np

from liverplan.training import anatomies as t


def ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
    grid = np.indices(shape)
    return sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True)) < 1


def small_abdomen(shape: tuple[int, int, int] = (64, 56, 48)) -> t.LabelArray:
    """Body, fat, liver on the right, vena cava behind it, spine, spleen; i to the left, j to the back, k up."""
    labels = np.zeros(shape, dtype=np.uint8)
    n, m, p = shape
    labels[ellipsoid(shape, (n / 2, m / 2, p / 2), (n * 0.46, m * 0.46, p * 2))] = t.WALL
    labels[ellipsoid(shape, (n / 2, m / 2, p / 2), (n * 0.41, m * 0.41, p * 2))] = t.FAT
    labels[ellipsoid(shape, (n * 0.38, m * 0.45, p * 0.5), (n * 0.24, m * 0.26, p * 0.34))] = t.LIVER
    labels[ellipsoid(shape, (n * 0.75, m * 0.6, p * 0.55), (n * 0.1, m * 0.1, p * 0.2))] = t.SPLEEN
    labels[ellipsoid(shape, (n * 0.5, m * 0.66, p / 2), (2.5, 2.5, p * 2))] = t.VENA_CAVA
    labels[ellipsoid(shape, (n * 0.5, m * 0.8, p / 2), (5, 5, p * 2))] = t.VERTEBRAE
    return labels
