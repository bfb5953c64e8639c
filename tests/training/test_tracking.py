"""Loss curves follow metrics.jsonl into TensorBoard and MLflow, across a resumption, and never end a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liverplan.errors import InputError
from liverplan.training import tracking
from liverplan.training.loop import LOG
from liverplan.training.tracking import open_trackers, require_trackers


def write(folder: Path, *rows: dict[str, float]) -> None:
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """As TensorBoard shows it."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / tracking.TENSORBOARD))
    events.Reload()
    return [(e.step, round(e.value, 5)) for e in events.Scalars(name)]


def test_tensorboard_shows_the_rows_and_hides_what_was_done_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = open_trackers(tmp_path, 0, {}, lambda text: None)
    for step in (20, 40, 60):
        write(tmp_path, {"step": step, "loss": step / 100})
        first.follow()
    first.close()
    rows = (tmp_path / LOG).read_text().splitlines()[:2]  # killed after the checkpoint at 40
    (tmp_path / LOG).write_text("\n".join(rows) + "\n")
    second = open_trackers(tmp_path, 40, {}, lambda text: None)
    write(tmp_path, {"step": 60, "loss": 0.5}, {"step": 80, "loss": 0.4})
    second.close()
    assert curve(tmp_path, "loss") == [(20, 0.2), (40, 0.4), (60, 0.5), (80, 0.4)]


def test_mlflow_keeps_one_run_across_a_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for step in (20, 40):
        follower = open_trackers(tmp_path, step - 20, {"seed": 7}, print, tensorboard=False, mlflow=True)
        write(tmp_path, {"step": step, "loss": step / 100})
        follower.close()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / tracking.MLFLOW).resolve().as_uri())
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["seed"] == "7"
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(20, 0.2), (40, 0.4)]
    assert run.info.status == "FINISHED"


def test_a_line_that_is_still_being_written_is_read_once_it_is_whole(tmp_path: Path) -> None:
    heard: list[tuple[int, dict[str, float]]] = []

    class Ear:
        def row(self, step: int, values: dict[str, float]) -> None:
            heard.append((step, dict(values)))

        def close(self) -> None:
            heard.append((-1, {}))

    follower = tracking.Follower(tmp_path, [Ear()], lambda text: None)
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 1, "lo')
        file.flush()
        follower.follow()
        file.write('ss": 2.0}\n')
        file.flush()
        follower.follow()
    follower.close()
    assert heard == [(1, {"loss": 2.0}), (-1, {})]


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    heard: list[int] = []
    said: list[str] = []

    class Gone:
        def row(self, step: int, values: dict[str, float]) -> None:
            raise ConnectionError("the server is gone")

        def close(self) -> None:
            raise AssertionError("it was left out")

    class Ear(Gone):
        def row(self, step: int, values: dict[str, float]) -> None:
            heard.append(step)

        def close(self) -> None:
            pass

    follower = tracking.Follower(tmp_path, [Gone(), Ear()], said.append)
    write(tmp_path, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0})
    follower.close()
    assert heard == [1, 2]
    assert said == ["Gone failed and is left out (the server is gone); metrics.jsonl goes on"]


def test_without_the_packages_training_goes_on_or_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorBoard is a habit, MLflow a wish: the first may be absent."""
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    said: list[str] = []
    open_trackers(tmp_path, 0, {}, said.append).close()
    assert "not installed" in said[0]
    with pytest.raises(InputError, match="MLflow is not installed"):
        require_trackers(mlflow=True)
    require_trackers(mlflow=False)
