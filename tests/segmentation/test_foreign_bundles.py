"""MONAI bundles of others: run from data alone, mapped by names, refused where running them would need their code."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import LESION_HU, ellipsoid_ct
from foreign import CHANNELS, inference_config, write_foreign_bundle

from liverplan.anatomy import Structure
from liverplan.errors import ModelError, SegmentationRefused
from liverplan.segmentation import segment
from liverplan.segmentation.backends.bundle_config import read_bundle
from liverplan.segmentation.backends.labels import map_names
from liverplan.segmentation.backends.monai_bundle import _on_image, _Scores
from liverplan.segmentation.models import Kind, find_model
from liverplan.volume import Grid, Reorientation, Volume

SPACING = (3.0, 3.0, 4.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_foreign_bundle(tmp_path_factory.mktemp("foreign") / "liver_bundle")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path):
    """A copy of the bundle with parts of its configuration replaced."""

    def changed(**parts: Any) -> Path:
        config = {**inference_config(), **parts}
        folder = tmp_path / "changed"
        for file in ("configs/metadata.json", "models/model.pt"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((bundle / file).read_bytes())
        (folder / "configs/inference.json").write_text(json.dumps(config))
        return folder

    return changed


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def organ(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """The ellipsoid and the ball in it, by their brightness."""
    lesion = volume.array == int(LESION_HU)
    return (volume.array > 0) | lesion, lesion


def test_a_bundle_of_another_layout_draws_what_is_there_on_the_images_own_voxels(bundle: Path) -> None:
    volume = ellipsoid_ct(SPACING)
    masks = segment(volume, bundle, "cpu")
    liver, lesion = organ(volume)
    assert masks.grid.same_as(volume.grid)
    assert dice(masks.mask(Structure.LIVER), liver) > 0.96
    assert masks.mask(Structure.LESIONS)[lesion].mean() > 0.95
    assert masks.origin == "model"
    assert masks.model == {"name": "liver_bundle", "sha256": find_model(bundle).sha256}
    assert any("spleen" in note and "not used" in note for note in masks.notes)


def test_voxels_stored_in_another_order_are_labelled_alike(bundle: Path) -> None:
    upright = ellipsoid_ct(SPACING)
    turn = Reorientation((2, 0, 1), (True, False, True))
    affine = np.zeros((4, 4))
    affine[:3, :3] = np.array([[0, 3.0, 0], [0, 0, -3.0], [-4.0, 0, 0]])
    n_i, n_j, n_k = upright.grid.shape
    affine[:, 3] = (0.0, 3.0 * (n_j - 1), 4.0 * (n_k - 1), 1.0)
    stored = upright.array[:, ::-1, ::-1].transpose(2, 0, 1)
    other = Volume(Grid((n_k, n_i, n_j), affine), stored, "CT")
    assert np.array_equal(other.canonical().array, upright.array)
    assert turn.axes == (2, 0, 1)
    ours = segment(other, bundle, "cpu").canonical()
    expected = segment(upright, bundle, "cpu")
    for structure in (Structure.LIVER, Structure.LESIONS):
        assert np.array_equal(ours.mask(structure), expected.mask(structure))


def test_labels_are_those_of_monais_own_pipeline(bundle: Path) -> None:
    from monai.data import MetaTensor
    from monai.inferers import sliding_window_inference
    from monai.transforms import Compose, CropForegroundd, Invertd, Orientationd, ScaleIntensityRanged, Spacingd

    from liverplan.segmentation.backends.monai_bundle import load_network

    volume = ellipsoid_ct(SPACING)
    config = read_bundle(bundle)
    steps = {step.name: dict(step.arguments) for step in config.preprocessing}
    before = Compose(
        [
            Orientationd("image", **steps["Orientation"]),
            Spacingd("image", **steps["Spacing"]),
            ScaleIntensityRanged("image", **steps["ScaleIntensityRange"]),
            CropForegroundd("image", "image", **steps["CropForeground"]),
        ]
    )
    image = torch.from_numpy(volume.array.astype(np.float32))[None]
    affine = torch.from_numpy(np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.affine)
    item = before({"image": MetaTensor(image, affine=affine)})
    network = load_network(config.network, bundle)
    with torch.inference_mode():
        scores = sliding_window_inference(item["image"][None].as_tensor(), (32, 32, 24), 1, network, overlap=0.25)[0]
    item["pred"] = MetaTensor(scores.argmax(0, keepdim=True).float(), meta=item["image"].meta)
    back = Invertd("pred", before, orig_keys="image", nearest_interp=True)(item)["pred"][0].numpy()
    masks = segment(volume, bundle, "cpu")
    assert dice(masks.mask(Structure.LIVER), (back == 2) | (back == 1)) > 0.97
    # Between liver and fat lies a layer of tumour, thinner than a voxel: nearest and linear ways back differ in it.
    assert dice(masks.mask(Structure.LIVER) & ~masks.mask(Structure.LESIONS), back == 2) > 0.95


def test_classes_that_overlap_are_read_one_by_one(copy, tmp_path: Path) -> None:
    several = {"transforms": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]}
    config = read_bundle(copy(postprocessing=several))
    own, image = Grid.from_spacing((6, 6, 6), (2.0, 2.0, 2.0)), Grid.from_spacing((12, 12, 12), (1.0, 1.0, 1.0))
    scores = np.full((4, 6, 6, 6), -1.0, dtype=np.float32)
    scores[1, 2:4] = 1.0  # tumour
    scores[2, 1:5] = 1.0  # liver, and there it is tumour as well
    layers = _on_image(_Scores(scores, own), image, config, map_names(list(config.classes.values()), tmp_path))
    # A line from -1 to 1 between voxel centres 2 mm apart is above 0 from the middle on.
    assert np.flatnonzero(layers["liver"][:, 6, 6]).tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(layers["hepatic tumour"][:, 6, 6]).tolist() == [4, 5, 6]
    one = _on_image(_Scores(scores, own), image, replace(config, several=False), map_names(["liver"], tmp_path))
    assert list(one) == ["liver"]


def test_nothing_outside_of_what_the_network_saw_is_labelled(bundle: Path) -> None:
    """The bundle crops to what is brighter than its lowest value: the air around was never looked at."""
    volume = ellipsoid_ct(SPACING)
    masks = segment(volume, bundle, "cpu")
    air = volume.array < -500
    assert not (masks.mask(Structure.LIVER) & air).any()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"network_def": {"_target_": "os.system", "command": "true"}}, "_target_ os.system"),
        ({"network_def": {"_target_": "monai.networks.nets.FlexibleUNet", "pretrained": True}}, "FlexibleUNet"),
        ({"network_def": {"_target_": "scripts.mine.UNet"}}, "scripts.mine.UNet"),
        ({"network_def": {"_target_": "monai.networks.nets.os.UNet.system"}}, "system"),
        ({"network_def": "$build()"}, "network_def"),
        ({"n_classes": "$4"}, "expression '$4'"),
        ({"n_classes": "@n_classes"}, "expression"),
        ({"n_classes": {"_target_": "os.getpid"}}, "os.getpid"),
        ({"size": "@nothing"}, "nothing"),
        ({"inferer": {"_target_": "scripts.Inferer"}}, "scripts.Inferer"),
        ({"preprocessing": {"transforms": [{"_target_": "Lambdad", "keys": "image", "func": "$print"}]}}, "Lambdad"),
        ({"preprocessing": {"transforms": [{"_target_": "Orientationd", "axcodes": "$f()"}]}}, "expression"),
    ],
)
def test_what_would_have_to_be_run_is_refused_with_its_words(copy, parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError) as refused:
        segment(ellipsoid_ct((6.0, 6.0, 6.0)), copy(**parts), "cpu")
    assert said in str(refused.value)


def test_weights_that_are_a_program_are_not_loaded(copy, tmp_path: Path) -> None:
    folder, sign = copy(), tmp_path / "sign"

    class Program:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (sign,))

    with (folder / "models/model.pt").open("wb") as file:
        pickle.dump({"weight": Program()}, file)
    with pytest.raises(ModelError, match="plain tensors"):
        segment(ellipsoid_ct((6.0, 6.0, 6.0)), folder, "cpu")
    torch.save({"weight": Program()}, folder / "models/model.pt")
    with pytest.raises(ModelError, match="plain tensors"):
        segment(ellipsoid_ct((6.0, 6.0, 6.0)), folder, "cpu")
    assert not sign.exists()


def test_torchscript_alone_is_not_loaded(copy) -> None:
    folder = copy()
    (folder / "models/model.pt").rename(folder / "models/model.ts")
    with pytest.raises(ModelError, match="TorchScript"):
        find_model(folder)


def test_an_mr_is_not_given_to_a_bundle_for_ct(bundle: Path) -> None:
    volume = ellipsoid_ct((6.0, 6.0, 6.0))
    with pytest.raises(SegmentationRefused, match="another kind"):
        segment(Volume(volume.grid, volume.array, "MR"), bundle, "cpu")


def test_a_mapping_file_names_classes_that_are_not_known(copy) -> None:
    folder = copy()
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    names = {"0": "background", "1": "class a", "2": "class b", "3": "liver"}
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = names
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "liverplan.toml").write_text('[labels]\n"class b" = "liver"\n"class a" = "lesions"\n"liver" = "ignore"\n')
    volume = ellipsoid_ct(SPACING)
    masks = segment(volume, folder, "cpu")
    assert dice(masks.mask(Structure.LIVER), organ(volume)[0]) > 0.96
    assert find_model(folder).kind is Kind.MONAI_BUNDLE
    assert "liverplan.toml" in find_model(folder).stages["all"].sha256


def test_a_bundle_of_ours_runs_alone_as_well() -> None:
    shipped = find_model().stages["segment"].bundle
    assert find_model(shipped).kind is Kind.MONAI_BUNDLE
    assert read_bundle(shipped).window["cval"] == -1.0
    assert next(iter(CHANNELS.values())) == read_bundle(shipped).classes[0]
