"""Where things lie in the folder of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CASE_FILE = "cohort.json"
"""In a case's folder: the key that it was planned under and its rows of the tables. Last to be written."""
THUMBNAIL = "thumbnail.png"
"""In a case's folder: what the page shows of it."""


@dataclass(frozen=True)
class Places:
    """The folder of a cohort.

    cases/ID/ as `liverplan plan` writes it; logs/ID.log; tables/*.csv and *.parquet; cohort.html; run.json;
    cohort.sqlite the state; superseded/ID an earlier result whose case has since failed; .work/ what is being written.
    """

    out: Path

    @property
    def state(self) -> Path:
        return self.out / "cohort.sqlite"

    @property
    def run(self) -> Path:
        return self.out / "run.json"

    @property
    def lock(self) -> Path:
        return self.out / ".lock"

    @property
    def work(self) -> Path:
        return self.out / ".work"

    @property
    def cases(self) -> Path:
        return self.out / "cases"

    @property
    def tables(self) -> Path:
        return self.out / "tables"

    @property
    def page(self) -> Path:
        return self.out / "cohort.html"

    def case(self, case_id: str) -> Path:
        return self.cases / case_id

    def case_file(self, case_id: str) -> Path:
        return self.case(case_id) / CASE_FILE

    def superseded(self, case_id: str) -> Path:
        return self.out / "superseded" / case_id

    @property
    def logs(self) -> Path:
        return self.out / "logs"

    def log(self, case_id: str) -> Path:
        return self.logs / f"{case_id}.log"
