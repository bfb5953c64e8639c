"""The loop: it learns, it can be stopped and resumed, and its configuration is checked."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from abdomens import small_abdomen

from liverplan.errors import InputError
from liverplan.training import loop
from liverplan.training.config import TrainingConfig, read_config
from liverplan.training.loop import BEST, LOG, Trainer, has_bf16, run
from liverplan.training.samples import SampleSource, drawn_ahead
from liverplan.training.synthesis import Patch

SMALL = TrainingConfig(
    "locate", 6.0, (16, 16, 16), 8, channels=(4, 8), num_res_units=1, validate_every=4, checkpoint_every=2, real_share=0
)


def source() -> SampleSource:
    return SampleSource(SMALL, [small_abdomen()], [])


def numbered(first: int = 0) -> Iterator[Patch]:
    return (source().draw(n) for n in itertools.count(first))


def test_a_few_steps_lower_the_loss_and_leave_weights_and_a_log(tmp_path: Path) -> None:
    trainer, said = Trainer(SMALL, tmp_path), list[str]()
    run(trainer, numbered(), lambda network: {"score": 0.5}, said.append)
    assert trainer.step == 8
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert all(np.isfinite(v) for row in rows for v in row.values())
    assert set(torch.load(tmp_path / BEST, weights_only=True)) == set(trainer.network.state_dict())


@pytest.mark.parametrize("instructions", [True, False])
def test_bf16_is_computed_only_by_a_processor_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instructions: bool
) -> None:
    """Emulated, a step of the shipped network took 40 s instead of 1.6 s in fp32."""
    monkeypatch.setattr(loop, "has_bf16", lambda device: instructions)
    assert Trainer(replace(SMALL, precision="bf16"), tmp_path).mixed is instructions
    assert not Trainer(SMALL, tmp_path).mixed


def test_a_gpu_always_has_bf16_and_a_cpu_says_so_itself() -> None:
    assert has_bf16("cuda")
    assert has_bf16("cpu") is bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def test_resuming_goes_on_from_the_same_step_with_the_same_weights(tmp_path: Path) -> None:
    first = Trainer(SMALL, tmp_path)
    run(first, numbered(), lambda network: {"score": 0.0}, lambda text: None, until=4)
    second = Trainer(SMALL, tmp_path)
    assert second.resume()
    assert second.step == 4
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name])
    run(second, numbered(4), lambda network: {"score": 0.0}, lambda text: None)
    whole = Trainer(SMALL, tmp_path / "whole")
    run(whole, numbered(), lambda network: {"score": 0.0}, lambda text: None)
    assert second.step == whole.step == 8
    for name, tensor in whole.network.state_dict().items():
        assert torch.allclose(tensor, second.network.state_dict()[name], atol=1e-5)


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    bad = Patch(np.full((16, 16, 16), np.nan, dtype=np.float32), np.zeros((16, 16, 16), dtype=np.uint8))
    with pytest.raises(FloatingPointError, match="learning rate"):
        run(Trainer(SMALL, tmp_path), itertools.repeat(bad), lambda network: {}, lambda text: None)


def test_the_learning_rate_warms_up_and_ends_near_zero(tmp_path: Path) -> None:
    trainer = Trainer(SMALL, tmp_path)
    rates = []
    for trainer.step in range(9):
        rates.append(trainer.learning_rate())
    assert rates[0] < rates[1]
    assert rates[8] < 0.02 * SMALL.learning_rate


def test_samples_drawn_ahead_are_those_drawn_by_number() -> None:
    ahead = drawn_ahead(source(), first=3)
    try:
        assert np.array_equal(next(ahead).image, source().draw(3).image)
        assert np.array_equal(next(ahead).image, source().draw(4).image)
    finally:
        ahead.close()


def test_an_error_while_drawing_reaches_the_trainer() -> None:
    empty = SampleSource(SMALL, [np.zeros((20, 20, 20), dtype=np.uint8)], [])
    ahead = drawn_ahead(empty, first=0)
    with pytest.raises(ValueError, match="high <= 0"):
        next(ahead)


def test_the_program_ends_whatever_it_does_on_a_signal(tmp_path: Path) -> None:
    """A handler of the parent, which ends by waiting for samples to be fetched, is not the drawing process's."""
    program = tmp_path / "program.py"
    program.write_text(
        "import signal, sys, time\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from test_loop import source, drawn_ahead\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))\n"
        "ahead = drawn_ahead(source(), first=0)\n"
        "next(ahead)\n"
        "time.sleep(2)\n"
        "kept = [ahead]; kept.append(kept)\n"
        "print('over', flush=True)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "over\n"


def test_an_empty_bank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bank is empty"):
        SampleSource.load(SMALL, tmp_path, None)


@pytest.mark.parametrize("name", ["locate", "segment"])
def test_the_committed_configurations_load(name: str) -> None:
    config = read_config(Path(__file__).resolve().parents[2] / "configs" / f"{name}.toml")
    assert config.stage == name


@pytest.mark.parametrize(
    "text",
    [
        "stage = 'locate'",
        "stage = 'other'\nspacing_mm = 3.0\npatch = [64, 64, 64]\nsteps = 1",
        "stage = 'locate'\nspacing_mm = 3.0\npatch = [50, 64, 64]\nsteps = 1",
        "stage = 'locate'\nspacing_mm = 3.0\npatch = [64, 64, 64]\nsteps = 1\nspeed = 3",
        "not toml",
    ],
)
def test_a_configuration_that_does_not_load_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="does not load"):
        read_config(path)
