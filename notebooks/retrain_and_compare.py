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
# # Retrain and compare
#
# The shipped network learns from a few scans and is compared with itself before, on a patient that it never saw. The
# scans are synthetic here; a folder of your own, in any layout of docs/retrain.md, takes their place. For research.

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

work = Path(os.environ.get("LIVERPLAN_NOTEBOOKS", "out-notebooks"))
small = "LIVERPLAN_SMALL" in os.environ  # coarse voxels, a handful of steps: for tests
patients = 2 if small else 6


def liverplan(*arguments: object) -> str:
    """Run a command as in a terminal; returns what it prints."""
    command = [sys.executable, "-c", "from liverplan.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# %% [markdown]
# ## Patients to learn from, and one to measure on

# %%
spacing = (3, 3, 3) if small else (2, 2, 2.5)
scans = [work / "phantoms" / f"p{n}" for n in range(1, patients + 1)]
unseen = work / "unseen" / "p8"
for patient, seed in [*zip(scans, range(201, 201 + patients), strict=True), (unseen, 208)]:
    if not patient.exists():
        liverplan("phantom", "-o", patient, "--seed", seed, "--spacing", *spacing)

# %% [markdown]
# ## Settings
#
# Keys are those of `liverplan.training.config`; `[data]` says that it learns from a folder of scans. With `--from` the
# network has the shape that the model's weights need.

# %%
settings = f"""
stage = "segment"
spacing_mm = {3.0 if small else 1.5}
patch = {[32] * 3 if small else [64] * 3}
steps = {4 if small else 240}
learning_rate = 1e-3
warm_up = 20
ema_decay = 0.97
class_weights = [1.0, 1.0, 2.0, 3.0, 3.0, 2.0]
validate_every = {2 if small else 80}
checkpoint_every = 20
patience = 3

[data]
validation = 0.2
"""
config = work / "retrain.toml"
config.write_text(settings)

# %% [markdown]
# ## Train
#
# First the data alone: everything wrong with them is listed at once. Run the cell again after an interruption and it
# goes on where it stopped.

# %%
arguments = ["train", config, "--images", work / "phantoms", "--from", "liverplan_ct"]
arguments += ["-o", work / "run", "--cache", work / "cache"]
print(liverplan(*arguments, "--check"))
print(liverplan(*arguments))

# %%
rows = [json.loads(line) for line in (work / "run" / "metrics.jsonl").read_text().splitlines()]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
left.plot(*np.array(losses or [(0, np.nan)]).T)
left.set_xlabel("step")
left.set_ylabel("loss")
scored = [row for row in rows if "score" in row]
for name in scored[0]:
    if name.startswith("held_out_"):
        right.plot([r["step"] for r in scored], [r[name] for r in scored], label=name.removeprefix("held_out_"))
right.set_xlabel("step")
right.set_ylabel("Dice, held-out patients")
right.legend()

# %% [markdown]
# ## Before and after
#
# The same patient, whole cascade with cleaning, on the scan's own voxels. `liverplan evaluate` also compares clearances
# and remnants when it is not told otherwise. The card of the new model says what it was trained on.


# %%
def scores(*model: object) -> dict[str, float]:
    asked = ["evaluate", unseen / "image.nii.gz", "--reference", unseen / "masks", "--no-plan", "--json", *model]
    (case,) = json.loads(liverplan(*asked))["cases"]
    return {name: found["dice"] for name, found in case["structures"].items()}


before, after = scores(), scores("--model", work / "run" / "models")
for name, value in before.items():
    print(f"{name:<20} {value:.3f} -> {after[name]:.3f}")
card = work / "run" / "models" / "liverplan_ct_segmentation" / "docs" / "README.md"
print(card.read_text())
