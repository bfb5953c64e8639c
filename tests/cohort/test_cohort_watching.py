"""What is said before a run (the estimate), during it (metrics), and the queries of the documentation after it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from cohort_cases import row_of, run, table, write_patients, write_table
from hypothesis import given
from hypothesis import strategies as st

from liverplan.cli.main import run as command
from liverplan.cohort.cases import CohortCase
from liverplan.cohort.estimate import estimate
from liverplan.cohort.metrics import Metrics, exposition
from liverplan.cohort.request import Request
from liverplan.cohort.run import Event
from liverplan.cohort.state import CaseState
from liverplan.cohort.task import Task

HOME = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_patients(tmp_path_factory.mktemp("watching") / "patients", 3)
    (folder / "p3" / "image.nii.gz").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def ran(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ran") / "out"
    rows = [row_of(patients / name, age_years=60, ecog=1) for name in ("p1", "p2", "p3")]
    run(write_table(out.parent / "cases.csv", rows), out, Metrics(out.parent / "cohort.prom"))
    return out


def tasks(count: int, masks: bool = True) -> list[Task]:
    case = CohortCase("p", Path("image.nii.gz"), Path("masks") if masks else None)
    return [Task(case, Path("/nowhere"), Request(pictures=False)) for _ in range(count)]


def finished(seconds: float) -> CaseState:
    return CaseState("p", "done", None, None, None, None, None, None, None, seconds, 1, None)


def test_the_estimate_follows_the_median_of_this_cohort_and_otherwise_says_that_it_assumes() -> None:
    found = estimate(tasks(60), [finished(s) for s in (10.0, 30.0, 1000.0)], workers=4, price=2.0)
    assert (found.seconds_per_case, found.worker_hours, found.hours, found.cost) == (30.0, 0.5, 0.125, 1.0)
    assert "3 cases of this cohort" in found.sentence()
    guess = estimate(tasks(60), [finished(10.0)], workers=4)
    assert "assumed" in guess.sentence()
    assert guess.cost is None
    assert estimate(tasks(1, masks=False), [], 1).seconds_per_case > estimate(tasks(1), [], 1).seconds_per_case


def test_the_dry_run_says_order_time_and_price(
    ran: Path, patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["cohort", str(patients), "-o", str(tmp_path / "new"), "--dry-run", "--price", "3", "--workers", "2"]
    assert command([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["to_plan"] == ["p1", "p2", "p3"]
    assert said["estimate"]["workers"] == 2
    assert said["estimate"]["read_gb"] == pytest.approx(
        sum(path.stat().st_size for path in patients.rglob("*") if path.is_file()) / 1e9
    )
    assert command(arguments) == 0
    assert "in this order: p1, p2, p3" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()


EVENTS = st.builds(
    Event, st.just("done"), st.none(), st.none(), st.none(), st.integers(10, 20), st.integers(0, 5), st.integers(0, 5),
    st.integers(0, 3), st.floats(0, 1e6),
)  # fmt: skip


@given(EVENTS, st.integers(0, 9))
def test_metrics_are_prometheus_text_whose_states_add_up(event: Event, again: int) -> None:
    text = exposition(event, again, 1.5e9)
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{state="\w+"\})? -?[\d.]+(e[+-]\d+)?', line), line
    states = re.findall(r'^liverplan_cohort_cases\{state="\w+"\} (\d+)$', text, re.MULTILINE)
    assert sum(map(int, states)) == event.total
    assert f"liverplan_cohort_failed_attempts_total {again}" in text


def test_the_file_of_metrics_ends_with_the_end_of_the_run(ran: Path) -> None:
    text = (ran.parent / "cohort.prom").read_text(encoding="utf-8")
    assert 'liverplan_cohort_cases{state="done"} 2\n' in text
    assert 'liverplan_cohort_cases{state="failed"} 1\n' in text
    assert 'liverplan_cohort_cases{state="open"} 0\n' in text


def test_every_query_of_the_documentation_runs_on_the_tables(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    text = (HOME / "docs" / "cohort.md").read_text(encoding="utf-8")
    queries = [q for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) for q in block.split(";") if q.strip()]
    assert len(queries) >= 5
    monkeypatch.chdir(ran.parent)
    found = [duckdb.sql(query).fetchall() for query in queries]
    assert all(rows for rows in found), "every example has an answer on a cohort with a failure"
    wide = {row["wide_margin"] for row in table(ran, "cases") if row["status"] == "done"}
    assert {row[0] for row in found[0]} == wide


@pytest.mark.parametrize("path", sorted((HOME / "configs").glob("ray-*.yaml")), ids=lambda path: path.name)
def test_example_clusters_fit_the_schema_of_ray_up(path: Path) -> None:
    ray = pytest.importorskip("ray")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    assert config.get("head_node_type") in config.get("available_node_types", {None: "machines that are there"})


def test_there_are_example_clusters() -> None:
    assert len(list((HOME / "configs").glob("ray-*.yaml"))) == 2
