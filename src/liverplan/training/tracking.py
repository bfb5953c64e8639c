"""Loss curves where people look at them: TensorBoard by default, MLflow when asked.

`metrics.jsonl` of the run is the record; what is here follows that file line by line and may be absent or fail without
harm to the training. Neither package is needed to train (extra `train`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from liverplan.errors import InputError
from liverplan.io.folder import write_text_atomic
from liverplan.training.loop import LOG

TENSORBOARD, MLFLOW = "tensorboard", "mlruns"
"""Folders in the run's folder."""
_MLFLOW_RUN = "mlflow-run-id"
EXPERIMENT = "liverplan"
_NOT_CURVES = ("step",)


class Tracker(Protocol):
    """Gets one row of metrics.jsonl after the other, in order."""

    def row(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run's folder; on resuming, what came after the checkpoint is hidden."""

    def __init__(self, folder: Path, resumed_at: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge = resumed_at + 1 if resumed_at else None
        self._writer: Any = SummaryWriter(str(folder / TENSORBOARD), purge_step=purge)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run at $MLFLOW_TRACKING_URI, else in the run's folder; resuming goes on with the same run."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        # The package reports its use to its makers unless told not to, and calls its oldest way to store runs outdated.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / MLFLOW).resolve().as_uri()
        self._client: Any = MlflowClient(tracking_uri=uri)
        kept = folder / _MLFLOW_RUN
        if kept.exists():
            self._run = kept.read_text(encoding="utf-8").strip()
            self._client.set_terminated(self._run, "RUNNING")
        else:
            self._run = self._new_run(folder, parameters)
            write_text_atomic(kept, self._run + "\n")

    def _new_run(self, folder: Path, parameters: Mapping[str, Any]) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        run_id = str(self._client.create_run(number, run_name=folder.resolve().name).info.run_id)
        for name, value in parameters.items():
            self._client.log_param(run_id, name, str(value)[:500])
        return run_id

    def row(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class Follower:
    """Passes new lines of metrics.jsonl on to the trackers; called after anything may have been written."""

    def __init__(self, folder: Path, trackers: Sequence[Tracker], say: Callable[[str], None]) -> None:
        self._path, self._trackers, self._say = folder / LOG, list(trackers), say
        self._read = self._path.stat().st_size if self._path.exists() else 0

    def follow(self) -> None:
        """Pass on what came since the last call. A tracker that fails is said to have failed, and left out."""
        if not self._trackers or not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        for line in whole.splitlines():
            row = json.loads(line)
            values = {k: float(v) for k, v in row.items() if k not in _NOT_CURVES}
            self._to_all("row", row["step"], values)
        self._read += len(whole) + 1 if whole else 0

    def close(self) -> None:
        self.follow()
        self._to_all("close")

    def _to_all(self, method: str, *arguments: Any) -> None:
        for tracker in list(self._trackers):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # a server that is gone must not end a training of days
                self._trackers.remove(tracker)
                self._say(f"{type(tracker).__name__} failed and is left out ({error}); {LOG} goes on"[:300])


def require_trackers(mlflow: bool) -> None:
    """Raise InputError when a tracker that was asked for is not installed: before the training, not after."""
    if mlflow and find_spec("mlflow") is None:
        raise InputError(
            "MLflow is not installed",
            got="--mlflow",
            wanted="the extra `train`, which brings it",
            do='Run pip install "liverplan[train]", or leave --mlflow out.',
        )


def open_trackers(
    folder: Path,
    resumed_at: int,
    parameters: Mapping[str, Any],
    say: Callable[[str], None],
    tensorboard: bool = True,
    mlflow: bool = False,
) -> Follower:
    """The trackers that are wanted and there; a missing TensorBoard is said, a missing MLflow was refused earlier."""
    trackers: list[Tracker] = []
    if tensorboard and find_spec("tensorboard") is not None:
        trackers.append(TensorBoard(folder, resumed_at))
        say(f"loss curves: tensorboard --logdir {folder / TENSORBOARD}")
    elif tensorboard:
        say(f'TensorBoard is not installed (pip install "liverplan[train]"): the curves are in {folder / LOG} only')
    if mlflow:
        trackers.append(MLflow(folder, parameters))
    return Follower(folder, trackers, say)
