"""Trainings in processes of their own: killed at random, on a disk that fills up, two of them as one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from own_scans import TINY, write_patients
from retraining import TEXT, rows, same_weights, trained, weights

from liverplan.errors import InputError
from liverplan.training.config import read_config
from liverplan.training.lasting import locked
from liverplan.training.loop import BEST, CHECKPOINT, LOG


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("scans") / "cohort", 4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_killed_training_goes_on_as_if_nothing_had_happened(scans: Path, cache: Path, tmp_path: Path) -> None:
    """kill -9 at two random moments of a training in a process of its own; then it runs to its end."""
    config = tmp_path / "tiny.toml"
    config.write_text(TEXT.format(checkpoint_every=20, steps=100))
    trained(read_config(config), scans, cache, tmp_path / "whole")
    out = tmp_path / "killed"
    for _ in range(2):
        _start_and_kill(config, scans, cache, out)
    killed_at = torch.load(out / CHECKPOINT, weights_only=True)["step"] if (out / CHECKPOINT).exists() else 0
    result, said = trained(read_config(config), scans, cache, out)
    assert result["step"] == 100
    assert f"resumed at step {killed_at}" in said or killed_at == 0
    assert rows(out) == rows(tmp_path / "whole")
    assert same_weights(out, tmp_path / "whole")
    best, whole = (torch.load(folder / BEST, weights_only=True) for folder in (out, tmp_path / "whole"))
    assert all(torch.equal(best[name], whole[name]) for name in whole)
    assert not list(out.glob(".*.partial")) + list(out.glob("*.part"))


def _start_and_kill(config: Path, scans: Path, cache: Path, out: Path) -> None:
    """Start the command, wait for a new line in the log and a random moment more, kill -9 the process itself.

    While it runs the folder is its own; its sampling process, which lives on for a while, keeps nothing.
    """
    command = [sys.executable, "-c", "from liverplan.cli import main; main()", "train", str(config), "-o", str(out)]
    command += ["--images", str(scans), "--cache", str(cache), "--no-tensorboard", "--device", "cpu"]
    before = (out / LOG).stat().st_size if (out / LOG).exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    try:
        while process.poll() is None and time.monotonic() < until:
            if (out / LOG).exists() and (out / LOG).stat().st_size != before:
                with pytest.raises(InputError, match="another training"), locked(out):
                    pass
                time.sleep(random.uniform(0.0, 0.3))
                break
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


def test_a_disk_that_fills_up_while_training_keeps_the_last_checkpoint(
    scans: Path, cache: Path, tmp_path: Path
) -> None:
    """The limit on a file's size stands in for the disk: it comes after the first checkpoint and above the log."""
    program = """
        import resource, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[4])
        from own_scans import TINY
        from liverplan.errors import ResourceError
        from liverplan.training.loop import CHECKPOINT
        from liverplan.training.session import Options, train
        scans, cache, out = map(Path, sys.argv[1:4])
        def fill(text):
            if '"step": 8' in text:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        try:
            train(TINY, Options(out=out, images=scans, cache=cache, tensorboard=False), lambda data: None, fill)
        except ResourceError as error:
            print(error.what)
    """
    arguments = [str(scans), str(cache), str(tmp_path), str(Path(__file__).parent)]
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 4
    result, said = trained(TINY, scans, cache, tmp_path)
    assert "resumed at step 4" in said
    assert result["step"] == TINY.steps


def test_two_processes_train_one_network_and_one_of_them_writes(scans: Path, cache: Path, tmp_path: Path) -> None:
    """torchrun with gloo; twice the samples a step, and the weights carry the network's own names."""
    config = tmp_path / "tiny.yaml"
    lines = (
        TEXT.format(checkpoint_every=4, steps=8)
        .replace("[data]\nvalidation = 0.3", "data: {validation: 0.3}")
        .replace(" = ", ": ")
    )
    config.write_text(lines)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command += [sys.executable, "-c", "from liverplan.cli import main; main()", "train", str(config), "-o", str(out)]
    command += ["--images", str(scans), "--cache", str(cache), "--no-tensorboard", "--device", "cpu"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("bundle: ") == 1
    assert [row["step"] for row in rows(out)] == [8]
    alone = tmp_path / "alone"
    trained(replace(read_config(config), batch=2), scans, cache, alone)
    pairs = weights(out, "network"), weights(alone, "network")
    assert set(pairs[0]) == set(pairs[1])
    assert all(torch.allclose(pairs[0][name], pairs[1][name], atol=2e-2) for name in pairs[0])


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}
