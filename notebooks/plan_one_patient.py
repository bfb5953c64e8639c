# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Plan one patient
#
# A synthetic patient, planned from exact masks: distances with their intervals, the largest margin, and what remains.
# Research use only, not a medical device. Replace `image` and `masks` by a scan and masks of your own.

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from liverplan.io.images import read_image
from liverplan.io.segmentations import read_segmentation

work = Path(os.environ.get("LIVERPLAN_NOTEBOOKS", "out-notebooks"))
small = "LIVERPLAN_SMALL" in os.environ  # coarse voxels, no pictures: for tests


def liverplan(*arguments: object) -> str:
    """Run a command as in a terminal; returns what it prints."""
    command = [sys.executable, "-c", "from liverplan.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# %% [markdown]
# ## The patient

# %%
patient = work / "phantoms" / "p1"
if not patient.exists():
    liverplan("phantom", "-o", patient, "--seed", 201, "--spacing", *((3, 3, 3) if small else (1, 1, 1.25)))
image, masks = patient / "image.nii.gz", patient / "masks"

# %% [markdown]
# ## The plan

# %%
out = work / "plan"
options = ["--no-pictures"] if small else []
print(liverplan("plan", image, "--segmentation", masks, "-o", out, "--overwrite", *options))
report = json.loads((out / "report.json").read_text())

# %% [markdown]
# Every number carries the interval that it may lie in. What could not be measured says why.

# %%
for lesion in report["lesions"]:
    print(f"lesion {lesion['id']}, {lesion['volume_ml']:.1f} mL, wide margin {lesion['wide_margin']}")
    for vessel in lesion["vessels"]:
        found = vessel["clearance_mm"]
        if found["value"] is not None:
            print(f"  {vessel['structure']:<20} {found['value']:5.1f} mm [{found['low']:.1f}, {found['high']:.1f}]")
case = report["case"]
print(case["wide_margin"], "-", case["reason"])

# %% [markdown]
# ## Margin against remnant
#
# How much liver remains if everything within a margin of the lesions is removed: by volume, and fed and drained.

# %%
curve = report["margin_curve"]
margin_mm = [point["margin_mm"] for point in curve]
figure, axes = plt.subplots(figsize=(6, 4))
for name, title in (("geometric_flr_percent", "by volume"), ("flr_percent", "fed and drained")):
    share = [np.nan if point[name] is None else point[name] for point in curve]
    axes.plot(margin_mm, share, label=title)
axes.axhline(30, color="grey", linestyle=":")
axes.set_xlabel("margin, mm")
axes.set_ylabel("remnant, %")
axes.legend()

# %% [markdown]
# ## Where it is
#
# The slice through the largest lesion, with the masks' outlines. Arrays are (i, j, k), the world is LPS in millimetres.

# %%
volume = read_image(image).canonical()
segmentation = read_segmentation(masks, read_image(image).grid).canonical()
largest = max(report["lesions"], key=lambda lesion: lesion["volume_ml"])
k = round(float(volume.grid.to_index(largest["centroid_lps_mm"])[2]))
figure, axes = plt.subplots(figsize=(6, 5))
axes.imshow(volume.array[:, :, k].T, cmap="grey", vmin=-100, vmax=250)
for structure in segmentation.masks:
    mask = segmentation.mask(structure)[:, :, k].T
    if mask.any():
        axes.contour(mask, [0.5], colors=[np.array(structure.info.rgb) / 255])
axes.set_axis_off()
