"""nnU-Net v2 folders: what is read of them, what is refused, and a small model run by nnU-Net where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import LESION_HU, LIVER_HU, ellipsoid_ct

from liverplan.anatomy import Structure
from liverplan.errors import ModelError, SegmentationRefused
from liverplan.segmentation import segment
from liverplan.segmentation.backends.nnunet import CHECKPOINT, TOOL, read_folder, require_plain
from liverplan.segmentation.backends.tools import installed_tool
from liverplan.segmentation.models import Kind, find_model
from liverplan.volume import Volume

DATASET: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": [1, 2], "cancer": 2},
    "regions_class_order": [1, 2],
    "file_ending": ".nii.gz",
    "numTraining": 1,
}
LOW, HIGH, MEAN, STD = -200.0, 300.0, 50.0, 100.0


def plans() -> dict[str, Any]:
    """Two levels of 1 x 1 x 1 kernels at 4 mm: as small as nnU-Net's plain network gets."""
    properties = {"mean": MEAN, "std": STD, "percentile_00_5": LOW, "percentile_99_5": HIGH, "min": LOW, "max": HIGH}
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    kernel = [1, 1, 1]
    return {
        "dataset_name": "Dataset003_Liver",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [5.0, 4.0, 4.0],
        "original_median_shape_after_transp": [42, 60, 72],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": properties | {"median": MEAN}},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [32, 32, 32],
                "median_image_size_in_voxels": [42, 60, 72],
                "spacing": [5.0, 4.0, 4.0],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": resampling,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": 2,
                        "features_per_stage": [4, 4],
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [kernel, kernel],
                        "strides": [[1, 1, 1], [2, 2, 2]],
                        "n_conv_per_stage": [1, 1],
                        "n_conv_per_stage_decoder": [1],
                        "conv_bias": True,
                        "norm_op": None,
                        "norm_op_kwargs": {},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": None,
                        "nonlin_kwargs": {},
                    },
                    "_kw_requires_import": ["conv_op"],
                },
                "batch_dice": True,
            }
        },
    }


def write_folder(folder: Path, **dataset: Any) -> Path:
    """A model folder whose checkpoint holds no network yet."""
    (folder / "fold_0").mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({**DATASET, **dataset}))
    (folder / "plans.json").write_text(json.dumps(plans()))
    checkpoint = {"network_weights": OrderedDict(w=torch.zeros(2)), "logging": {"dice": [np.float64(0.5)]}, "lr": 0.1}
    torch.save(checkpoint, folder / "fold_0" / CHECKPOINT)
    return folder


def test_classes_regions_and_folds_are_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    shutil.copytree(folder / "fold_0", folder / "fold_all")
    read = read_folder(folder)
    assert dict(read.labels) == {"liver": (1, 2), "cancer": (2,)}
    assert (read.channel, read.folds) == ("CT", ("0", "all"))
    model = find_model(folder)
    assert model.kind is Kind.NNUNET
    assert set(model.stages["all"].sha256) == {
        "dataset.json",
        "plans.json",
        f"fold_0/{CHECKPOINT}",
        f"fold_all/{CHECKPOINT}",
    }


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"channel_names": {"0": "CT", "1": "PET"}}, "2 input channels"),
        ({"file_ending": ".png"}, ".png"),
        ({"labels": {"liver": "one"}}, "dataset.json"),
        ({"labels": {"background": 0, "spleen": 1}}, "liver"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(
    tmp_path: Path, dataset: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        segment(ellipsoid_ct((6.0, 6.0, 6.0)), write_folder(tmp_path / "m", **dataset), "cpu")


def test_a_network_from_elsewhere_and_a_folder_without_folds_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    strange = plans()
    strange["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "os.system"
    (folder / "plans.json").write_text(json.dumps(strange))
    with pytest.raises(ModelError, match=r"os\.system"):
        read_folder(folder)
    (folder / "plans.json").write_text(json.dumps(plans()))
    shutil.rmtree(folder / "fold_0")
    with pytest.raises(ModelError, match="no fold_"):
        find_model(folder)


def test_a_checkpoint_with_code_in_it_is_never_handed_over(tmp_path: Path) -> None:
    folder, sign = write_folder(tmp_path / "m"), tmp_path / "sign"
    require_plain(folder / "fold_0" / CHECKPOINT)

    class Program:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return (Path.touch, (sign,))

    torch.save({"network_weights": Program()}, folder / "fold_0" / CHECKPOINT)
    with pytest.raises(ModelError, match="would run code"):
        require_plain(folder / "fold_0" / CHECKPOINT)
    (folder / "fold_0" / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="no PyTorch checkpoint"):
        require_plain(folder / "fold_0" / CHECKPOINT)
    assert not sign.exists()


def test_without_nnunet_the_command_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if installed_tool(TOOL) is not None:
        pytest.skip("nnU-Net is installed beside this Python")
    with pytest.raises(ModelError, match="pip install nnunetv2"):
        segment(ellipsoid_ct((6.0, 6.0, 6.0)), write_folder(tmp_path / "m"), "cpu")


def test_an_mr_is_not_given_to_a_model_for_ct(tmp_path: Path) -> None:
    volume = ellipsoid_ct((6.0, 6.0, 6.0))
    with pytest.raises(SegmentationRefused, match="another kind"):
        segment(Volume(volume.grid, volume.array, "MR"), write_folder(tmp_path / "m"), "cpu")


_FILL_IN = """
import json, sys, torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
folder, low, middle = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
plan = json.load(open(folder + "/plans.json"))["configurations"]["3d_fullres"]["architecture"]
network = get_network_from_plans(
    plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 1, 3, deep_supervision=False)
state = network.state_dict()
for name, value in state.items():
    value.zero_()
for name, value in state.items():  # one feature carries the brightness, past the lower level
    if "encoder.stages.0" in name and value.ndim == 5:
        value[0, 0] = 1.0
    elif name.startswith("decoder.stages") and value.ndim == 5:
        value[0, 4] = 1.0
    elif name.startswith("decoder.seg_layers") and value.ndim == 5:
        value[1, 0], value[2, 0] = 10.0, 30.0
    elif name.startswith("decoder.seg_layers"):
        value[1], value[2] = -10.0 * low, -10.0 * low - 20.0 * middle
torch.save({"network_weights": state, "trainer_name": "nnUNetTrainer", "init_args": {"configuration": "3d_fullres"},
    "inference_allowed_mirroring_axes": [0, 1, 2]}, folder + "/fold_0/checkpoint_final.pth")
"""
"""Run by the Python that nnU-Net is installed in: a network whose highest score changes from background to tumour to
liver with brightness, as in `foreign.py`."""


def test_a_small_model_is_run_by_nnunet_itself(tmp_path: Path) -> None:
    tool = installed_tool(TOOL)
    if tool is None:
        pytest.skip("nnU-Net v2 is not installed: pip install nnunetv2")
    labels = {"background": 0, "cancer": 1, "liver": 2}
    folder = write_folder(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", labels=labels, regions_class_order=None)
    scaled = [(hu - MEAN) / STD for hu in (LESION_HU - 70.0, (LESION_HU + LIVER_HU) / 2)]
    command = [str(tool.parent / "python"), "-c", _FILL_IN, str(folder), *map(str, scaled)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    volume = ellipsoid_ct((4.0, 4.0, 5.0))
    masks = segment(volume, folder, "cpu")
    lesion = volume.array == int(LESION_HU)
    organ, drawn = (volume.array > 0) | lesion, masks.mask(Structure.LIVER)
    assert 2 * (drawn & organ).sum() / (drawn.sum() + organ.sum()) > 0.95
    assert masks.mask(Structure.LESIONS)[lesion].mean() > 0.9
    assert masks.model == {"name": folder.name, "sha256": find_model(folder).sha256}
