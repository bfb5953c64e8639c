"""`liverplan train` on a folder of scans: locks, disks, early stopping, our weights, a bundle and its card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from own_scans import TINY, write_nnunet, write_patients
from retraining import TEXT, rows, same_weights, trained, weights

from liverplan.cli.main import run as liverplan
from liverplan.errors import InputError, ResourceError
from liverplan.segmentation.models import find_model, load_stage
from liverplan.training import checks
from liverplan.training.config import FolderData, read_config
from liverplan.training.lasting import EarlyStop, continued_log
from liverplan.training.loop import CHECKPOINT, LOG
from liverplan.training.parallel import Team
from liverplan.training.session import shaped_as
from liverplan.training.splits import SPLIT


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("scans") / "cohort", 4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


# ---- the whole way -----------------------------------------------------------------------------------------------


def test_a_folder_of_scans_becomes_a_model_that_loads_and_a_card_that_says_how(
    scans: Path, cache: Path, tmp_path: Path
) -> None:
    result, said = trained(TINY, scans, cache, tmp_path / "run")
    assert (result["step"], result["stopped_early"]) == (24, False)
    model = find_model(tmp_path / "run/models")
    assert load_stage(model.stages["segment"]).spacing_mm == TINY.spacing_mm
    load_stage(model.stages["locate"])
    assert model.trained_on[0].startswith("4 scans of cohort (3 patients to train, 1 to validate)")
    card = (Path(str(result["bundle"])) / "docs/README.md").read_text()
    assert "4 scans of 4 patients from `cohort`" in card
    assert "| seed | 1 |" in card
    assert "random weights" in card
    assert str(scans) not in card
    assert json.loads((tmp_path / "run" / SPLIT).read_text())["test"] == []
    assert said[0] in ("4 cases, 4 prepared now and 0 from the cache", "4 cases, 0 prepared now and 4 from the cache")


def test_learning_lowers_the_loss_and_raises_the_score(scans: Path, cache: Path, tmp_path: Path) -> None:
    config = replace(TINY, steps=80, warm_up=5, learning_rate=6e-3, channels=(8, 16), validate_every=40)
    trained(config, scans, cache, tmp_path)
    losses = [row["loss"] for row in rows(tmp_path) if "loss" in row]
    scores = [row["score"] for row in rows(tmp_path) if "score" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert scores[-1] > scores[0]


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(
    scans: Path, cache: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(replace(TINY, steps=6, seed=seed), scans, cache, tmp_path / name)
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


# ---- kills -------------------------------------------------------------------------------------------------------


def test_what_a_kill_left_after_the_checkpoint_is_cut_from_the_log(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"step": 4, "score": 0.5}\n{"step": 8, "loss": 1.0}\n{"step": 12, "loss": 0.9}\n{"st')
    assert continued_log(tmp_path, 8) == [0.5]
    assert (tmp_path / LOG).read_text() == '{"step": 4, "score": 0.5}\n{"step": 8, "loss": 1.0}\n'


@pytest.mark.parametrize("damage", ["cut short", "another network"])
def test_a_checkpoint_that_does_not_load_is_refused(damage: str, scans: Path, cache: Path, tmp_path: Path) -> None:
    trained(replace(TINY, steps=4), scans, cache, tmp_path)
    config = TINY
    if damage == "cut short":
        path = tmp_path / CHECKPOINT
        path.write_bytes(path.read_bytes()[:3000])
    else:
        config = replace(TINY, channels=(8, 16))
    with pytest.raises(InputError, match="checkpoint does not load"):
        trained(config, scans, cache, tmp_path)
    assert trained(replace(config, steps=4), scans, cache, tmp_path, resume=False)[0]["step"] == 4


# ---- disks -------------------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_said_before_the_first_step(
    scans: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = checks.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="too full for the checkpoints"):
        trained(TINY, scans, cache, tmp_path)
    assert not (tmp_path / LOG).exists()


# ---- ends and beginnings -----------------------------------------------------------------------------------------


def test_patience_counts_validations_since_the_best_and_survives_a_resumption() -> None:
    stop = EarlyStop(2, [0.1, 0.5])
    assert not stop.over
    validate = stop.watching(lambda network: {"score": 0.4}, Team())
    validate(torch.nn.Identity())
    assert not stop.over
    validate(torch.nn.Identity())
    assert stop.over
    assert EarlyStop(2, [0.1, 0.5, 0.4, 0.4]).over
    assert not EarlyStop(None, [0.5, 0.1, 0.1, 0.1]).over


@pytest.mark.parametrize(("changed", "compared"), [({"steps": 32}, True), ({"class_weights": (1.0,) * 6}, False)])
def test_scores_of_another_recipe_are_not_beaten_and_longer_runs_go_on_beating_their_own(
    changed: dict[str, Any], compared: bool, scans: Path, cache: Path, tmp_path: Path
) -> None:
    config = replace(TINY, steps=16)
    trained(config, scans, cache, tmp_path, until=8)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    unreachable = 9.0
    torch.save({**state, "best": unreachable}, tmp_path / CHECKPOINT)
    result, _ = trained(replace(config, **changed), scans, cache, tmp_path, until=16)
    assert (result["best"] == unreachable) == compared


def test_a_training_that_stands_still_stops_early_and_leaves_its_bundle(
    scans: Path, cache: Path, tmp_path: Path
) -> None:
    """Without a learning rate nothing improves: the second and third validation are as good as the first."""
    config = replace(TINY, steps=1000, learning_rate=0.0, validate_every=2, patience=2)
    result, said = trained(config, scans, cache, tmp_path)
    assert (result["step"], result["stopped_early"]) == (6, True)
    assert find_model(tmp_path / "models")
    assert any("stopped early at step 6" in text for text in said)
    again, _ = trained(config, scans, cache, tmp_path)
    assert (again["step"], again["stopped_early"]) == (6, True)


def test_fine_tuning_begins_with_the_weights_and_the_network_of_a_model(
    scans: Path, cache: Path, tmp_path: Path
) -> None:
    trained(TINY, scans, cache, tmp_path / "first")
    start = str(tmp_path / "first/models")
    config = replace(TINY, channels=(8, 16, 32), steps=1, learning_rate=0.0, weight_decay=0.0)
    result, said = trained(config, scans, cache, tmp_path / "second", start=start)
    assert any("channels [4, 8]" in text for text in said)
    published = load_stage(find_model(tmp_path / "first/models").stages["segment"]).network.state_dict()
    assert all(torch.equal(published[name], t) for name, t in weights(tmp_path / "second", "network").items())
    assert "began with" in (Path(str(result["bundle"])) / "docs/README.md").read_text()
    assert find_model(tmp_path / "second/models").trained_on[1].startswith("began with liverplan_ct")


def test_our_own_weights_can_be_begun_with_and_odd_patches_are_refused() -> None:
    model, said = find_model(), list[str]()
    config = shaped_as(replace(TINY, patch=(64, 64, 64)), model, said.append)
    assert config.channels == load_stage_channels()
    with pytest.raises(InputError, match="patch does not fit"):
        shaped_as(replace(TINY, patch=(20, 20, 20)), model, said.append)


def load_stage_channels() -> tuple[int, ...]:
    from liverplan.segmentation.models import read_settings

    return read_settings(find_model().stages["segment"]).network.channels


def test_the_shipped_models_are_not_replaced_in_passing(scans: Path, cache: Path, tmp_path: Path) -> None:
    from liverplan.segmentation.models import models_folder

    with pytest.raises(InputError, match="shipped models would be replaced"):
        trained(TINY, scans, cache, tmp_path, models=models_folder())


# ---- the command -------------------------------------------------------------------------------------------------


def test_check_looks_at_the_data_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TEXT.format(checkpoint_every=4, steps=4))
    folder = write_nnunet(tmp_path / "data", 3)
    arguments = ["train", str(config), "--images", str(folder), "-o", str(tmp_path / "run"), "--check"]
    arguments += ["--cache", str(tmp_path / "cache")]
    assert liverplan(arguments) == 0
    assert "nnU-Net, 3 cases of 3 patients" in capsys.readouterr().out
    assert not (tmp_path / "run" / LOG).exists()
    (folder / "labelsTr/case_001.nii.gz").unlink()
    assert liverplan(arguments) == 3
    assert "case_001: something is missing" in capsys.readouterr().err


def test_what_is_not_named_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder of scans is not named"):
        trained(TINY, None, tmp_path, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data for synthesis are not named"):
        trained(replace(TINY, data=None), None, tmp_path, tmp_path / "run")  # type: ignore[arg-type]


def test_mr_is_not_learnt_from_scans_of_ones_own(scans: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as CT only"):
        trained(replace(TINY, modality="MR"), scans, cache, tmp_path)


def test_other_patients_in_a_run_that_began_are_refused(scans: Path, cache: Path, tmp_path: Path) -> None:
    config = replace(TINY, steps=2)
    trained(config, scans, cache, tmp_path / "run")
    with pytest.raises(InputError, match="not those that this run began with"):
        trained(config, write_patients(tmp_path / "more", 5), cache, tmp_path / "run")


def test_a_given_split_is_followed_and_must_name_everybody(scans: Path, cache: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text('{"train": ["p0", "p1"], "validation": ["p3"], "test": ["p2"]}')
    config = replace(TINY, steps=2, data=FolderData(split=str(split)))
    _, said = trained(config, scans, cache, tmp_path / "run")
    assert "train 2, validation p3, test 1 patients" in said
    split.write_text('{"train": ["p0", "p1"], "validation": ["p3"]}')
    with pytest.raises(InputError, match="does not name the patients"):
        trained(config, scans, cache, tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("data = 3", "not a table"),
        ("[data]\nshare = 2.0", "not a share"),
        ("[data]\nspeed = 2.0", "unknown keys"),
    ],
)
def test_a_data_table_that_does_not_load_is_refused(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(TEXT.format(checkpoint_every=4, steps=2).partition("[data]")[0] + text)
    with pytest.raises(InputError, match="does not load") as refused:
        read_config(path)
    assert got in refused.value.got


def test_a_number_that_yaml_takes_for_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("stage: segment\nspacing_mm: 8.0\npatch: [16, 16, 16]\nsteps: 2\nlearning_rate: 2e-3\n")
    with pytest.raises(InputError, match=r"2\.0e-3"):
        read_config(path)


def test_the_committed_configuration_loads() -> None:
    config = read_config(Path(__file__).resolve().parents[2] / "configs/retrain-phantoms.toml")
    assert config.data == FolderData()
