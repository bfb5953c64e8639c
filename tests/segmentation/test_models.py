"""Weights load only when they are the published ones and fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import write_small_models

from liverplan.errors import ModelError
from liverplan.segmentation.intensity import scaled
from liverplan.segmentation.models import available_models, find_model, load_stage, models_folder, read_settings
from liverplan.segmentation.networks import NetworkSpec, build_network
from liverplan.segmentation.windows import class_scores, labels_of
from liverplan.training.config import read_config
from liverplan.training.export import calibrate, register


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small_models(tmp_path / "models")


def test_a_written_bundle_loads_with_the_weights_that_were_written(folder: Path) -> None:
    model = find_model(folder)
    stage = load_stage(model.stages["segment"])
    assert (stage.spacing_mm, stage.n_classes) == (1.5, 6)
    stored = torch.load(folder / "liverplan_ct_segmentation/models/model.pt", weights_only=True)
    for name, tensor in stage.network.state_dict().items():
        assert torch.equal(tensor, stored[name].float())


@pytest.mark.parametrize("name", ["models/model.pt", "configs/inference.json"])
def test_one_changed_byte_is_an_error(folder: Path, name: str) -> None:
    path = folder / "liverplan_ct_segmentation" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_stage(find_model(folder).stages["segment"])


def test_a_missing_weight_file_is_an_error_never_a_random_network(folder: Path) -> None:
    (folder / "liverplan_locate_segmentation/models/model.pt").unlink()
    with pytest.raises(ModelError, match="missing"):
        load_stage(find_model(folder).stages["locate"])


def test_weights_of_another_network_do_not_fit(folder: Path) -> None:
    bundle = folder / "liverplan_ct_segmentation"
    torch.save(build_network(NetworkSpec(6, (4, 16), 1)).state_dict(), bundle / "models/model.pt")
    register("segment", bundle, folder)
    with pytest.raises(ModelError, match="do not fit"):
        load_stage(find_model(folder).stages["segment"])


def test_a_bundle_that_asks_for_another_class_is_not_instantiated(folder: Path) -> None:
    bundle = folder / "liverplan_ct_segmentation"
    path = bundle / "configs/inference.json"
    settings = json.loads(path.read_text())
    settings["network_def"]["_target_"] = "os.system"
    path.write_text(json.dumps(settings))
    register("segment", bundle, folder)
    with pytest.raises(ModelError, match="not a UNet"):
        load_stage(find_model(folder).stages["segment"])


def test_a_calibration_is_written_with_its_hash_and_read_again(folder: Path) -> None:
    before = find_model(folder)
    calibrate(folder, {"portal_vein": 0.667})
    after = find_model(folder)
    assert read_settings(after.stages["segment"]).confidence_factors == {"portal_vein": 0.67}
    assert after.sha256 != before.sha256
    assert after.trained_on == before.trained_on


def test_a_calibration_that_is_no_number_is_not_written(folder: Path) -> None:
    before = find_model(folder).sha256
    with pytest.raises(ValueError, match="JSON"):
        calibrate(folder, {"liver": float("nan")})
    assert find_model(folder).sha256 == before


@pytest.mark.parametrize("factor", ["0.0", "-1.0", "1.5", "NaN"])
def test_a_factor_that_makes_nothing_or_more_of_a_confidence_is_refused(factor: str, folder: Path) -> None:
    path = calibrate(folder, {"liver": 0.5})
    path.write_text(path.read_text().replace('"liver": 0.5', f'"liver": {factor}'))
    register("segment", path.parents[1], folder)
    with pytest.raises(ModelError, match="confidence_factors"):
        read_settings(find_model(folder).stages["segment"])


def test_an_unknown_name_and_a_folder_without_registry_are_errors(tmp_path: Path) -> None:
    for model in ("no_such_model", tmp_path):
        with pytest.raises(ModelError, match="no such model"):
            find_model(model)


def test_a_broken_registry_is_an_error(folder: Path) -> None:
    for text in ("not toml [", "[models.x]\ntitle = 'no stages'", "models = 3"):
        (folder / "registry.toml").write_text(text)
        with pytest.raises(ModelError, match="registry"):
            available_models(folder)


def test_the_model_hash_names_the_weights(folder: Path) -> None:
    before = find_model(folder).sha256
    bundle = folder / "liverplan_ct_segmentation"
    weights = torch.load(bundle / "models/model.pt", weights_only=True)
    torch.save({k: v + 1 for k, v in weights.items()}, bundle / "models/model.pt")
    register("segment", bundle, folder)
    assert find_model(folder).sha256 != before


def test_the_shipped_models_load_and_are_those_of_the_committed_configurations() -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    model = find_model()
    for name, stage in model.stages.items():
        loaded, config = load_stage(stage), read_config(configs / f"{name}.toml")
        assert (loaded.spacing_mm, loaded.n_classes) == (config.spacing_mm, config.n_classes)
        assert (stage.bundle / "docs" / "README.md").is_file()
        assert (stage.bundle / "LICENSE").is_file()
        assert (stage.bundle / "models/model.pt").stat().st_size < 16 * 2**20


def test_the_shipped_bundles_follow_the_bundle_contract() -> None:
    from monai.bundle import ConfigParser

    for stage in find_model().stages.values():
        parser = ConfigParser()
        parser.read_config(str(stage.bundle / "configs/inference.json"))
        parser.read_meta(str(stage.bundle / "configs/metadata.json"))
        required = ("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer")
        assert all(parser.get(key) is not None for key in required)
        parser["bundle_root"], parser["device"] = str(stage.bundle), torch.device("cpu")
        network = parser.get_parsed_content("network_def")
        network.load_state_dict(torch.load(stage.bundle / "models/model.pt", weights_only=True))
        meta = json.loads((stage.bundle / "configs/metadata.json").read_text())
        channels = meta["network_data_format"]["outputs"]["pred"]["channel_def"]
        assert len(channels) == parser["network_def"]["out_channels"]
        assert parser.get_parsed_content("inferer").cval == -1.0


def test_the_bundle_run_by_monai_labels_as_the_cascades_stage_does(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ignite")
    import nibabel as nib
    from monai.bundle import run

    stage = load_stage(find_model(folder).stages["segment"])
    array = np.random.default_rng(0).normal(60, 120, (20, 24, 18)).astype(np.float32)
    scans, bundle = tmp_path / "scans", folder / "liverplan_ct_segmentation"
    scans.mkdir()
    nib.save(nib.Nifti1Image(array, np.diag([-1.5, -1.5, 1.5, 1.0])), scans / "scan.nii.gz")
    run(
        config_file=str(bundle / "configs/inference.json"),
        meta_file=str(bundle / "configs/metadata.json"),
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "out"),
        device="cpu",
    )
    made = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    own = labels_of(class_scores(stage.network, scaled(array), stage.window, stage.overlap))
    assert made.shape == array.shape
    assert (made == own).mean() > 0.999


def test_the_shipped_folder_is_found_without_being_told() -> None:
    assert shutil.which("liverplan") is None or (models_folder() / "registry.toml").is_file()
