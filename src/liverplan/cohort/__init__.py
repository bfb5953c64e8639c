"""Many cases, on this machine or on a Ray cluster, with nothing lost: see docs/cohort.md.

    cases = read_cohort(Path("cases.csv"))
    run_cohort(cases, Path("out"), Request(), Options())

Imports are light: what plans a case loads in the workers, never here.
"""

from __future__ import annotations

from liverplan.cohort.cases import CohortCase
from liverplan.cohort.reading import read_cohort
from liverplan.cohort.request import Options, Request
from liverplan.cohort.run import Summary, run_cohort

__all__ = ["CohortCase", "Options", "Request", "Summary", "read_cohort", "run_cohort"]
