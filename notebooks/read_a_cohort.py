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
# # Read a cohort
#
# A few patients planned by `liverplan cohort`, and its tables read with nothing but Python. An empty cell was not
# assessable, and the column beside it says why. Research use only, not a medical device.

# %%
import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt

work = Path(os.environ.get("LIVERPLAN_NOTEBOOKS", "out-notebooks"))
small = "LIVERPLAN_SMALL" in os.environ  # coarse voxels, two patients: for tests
patients = 2 if small else 6


def liverplan(*arguments: object) -> str:
    """Run a command as in a terminal; returns what it prints."""
    command = [sys.executable, "-c", "from liverplan.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# %% [markdown]
# ## The cohort
#
# A folder with a sub-folder per patient is a cohort as it is; a table with clinical columns is another way
# (docs/cohort.md).

# %%
for n in range(1, patients + 1):
    if not (patient := work / "phantoms" / f"p{n}").exists():
        liverplan("phantom", "-o", patient, "--seed", 200 + n, "--spacing", *((3, 3, 3) if small else (1.5, 1.5, 2)))
print(liverplan("cohort", work / "phantoms", "-o", work / "cohort", "--workers", 1, "--no-pictures"))

# %% [markdown]
# ## The tables


# %%
def table(name: str) -> list[dict[str, str]]:
    with (work / "cohort" / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


cases, lesions, criteria = table("cases"), table("lesions"), table("criteria")
print(len(cases), "cases:", dict(Counter(case["status"] for case in cases)))
print("columns of cases:", ", ".join(cases[0]))

# %%
print("wide margin:", dict(Counter(case["wide_margin"] for case in cases)))
undecided = Counter(row["criterion"] for row in criteria if row["outcome"] == "undetermined")
print("criteria left open most often:", undecided.most_common(5))

# %% [markdown]
# ## Sizes of the lesions

# %%
volumes_ml = [float(lesion["volume_ml"]) for lesion in lesions if lesion["volume_ml"]]
figure, axes = plt.subplots(figsize=(5, 3))
axes.hist(volumes_ml, bins=8)
axes.set_xlabel("lesion, mL")
axes.set_ylabel("lesions")
print(f"{len(volumes_ml)} lesions, largest {max(volumes_ml):.1f} mL")
