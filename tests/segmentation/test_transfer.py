"""Pull, import, export: nothing takes a model's name before every file is the right one."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cases import ellipsoid_ct, write_small_models
from foreign import write_foreign_bundle

from liverplan.anatomy import Structure
from liverplan.cli.main import run
from liverplan.errors import InputError, ModelError, UnreadableInput
from liverplan.io.writing import write_segmentation
from liverplan.segmentation import segment
from liverplan.segmentation.models import Kind, available_models, find_model, load_stage
from liverplan.segmentation.transfer import export_model, import_model, leftovers, pull_model, unpack
from liverplan.volume import Segmentation

WEIGHTS = "liverplan_ct_segmentation/models/model.pt"


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models folder of a test."""
    monkeypatch.setenv("LIVERPLAN_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with two tiny networks, called `small`."""
    folder = write_small_models(tmp_path_factory.mktemp("source") / "models")
    text = (folder / "registry.toml").read_text()
    (folder / "registry.toml").write_text(text.replace("models.liverplan_ct", "models.small"))
    for bundle in folder.glob("*_segmentation"):
        (bundle / "docs").mkdir(exist_ok=True)
        (bundle / "docs/README.md").write_text("a model card")
        (bundle / "LICENSE").write_text("research use only")
    return folder


@pytest.fixture
def mirror(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "mirror"))


def test_a_pulled_model_is_found_by_its_name_and_loads(mirror: Path, own_models: Path) -> None:
    pulled = pull_model("small", str(mirror))
    shutil.rmtree(mirror)
    assert find_model("small") == pulled
    assert pulled.stages["segment"].bundle.is_relative_to(own_models / "small")
    assert load_stage(pulled.stages["locate"]).n_classes == 2
    assert [m.name for m in available_models()] == ["liverplan_ct", "liverplan_mr", "small"]


def test_a_damaged_file_is_refused_and_nothing_takes_the_name(mirror: Path) -> None:
    content = bytearray((mirror / WEIGHTS).read_bytes())
    content[100] ^= 1
    (mirror / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        pull_model("small", str(mirror))
    assert [m.name for m in available_models()] == ["liverplan_ct", "liverplan_mr"]
    assert leftovers() == ["small"]


def test_a_broken_pull_goes_on_where_it_stopped(mirror: Path, source: Path, own_models: Path) -> None:
    whole = (mirror / WEIGHTS).read_bytes()
    (mirror / WEIGHTS).unlink()
    with pytest.raises(UnreadableInput, match="does not give a file"):
        pull_model("small", str(mirror))
    partial = own_models / ".small.partial" / f"{WEIGHTS}.part"
    partial.write_bytes(whole[:1000])
    # Only the rest is there to be read: had the beginning been read again, the hash would not fit.
    (mirror / WEIGHTS).write_bytes(b"\0" * 1000 + whole[1000:])
    assert pull_model("small", str(mirror)).sha256 == find_model(source).sha256
    assert leftovers() == []


def test_what_was_begun_of_another_version_is_begun_again(mirror: Path, own_models: Path) -> None:
    partial = own_models / ".small.partial" / f"{WEIGHTS}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"something else")
    assert pull_model("small", str(mirror)) == find_model("small")


def test_the_hash_that_was_told_goes_before_what_the_mirror_says(mirror: Path) -> None:
    right = find_model(mirror).sha256
    with pytest.raises(ModelError, match="another model under this name"):
        pull_model("small", str(mirror), sha256="0" * 64)
    assert pull_model("small", str(mirror), sha256=right).sha256 == right


def test_a_shipped_name_is_kept_for_the_shipped_model(mirror: Path) -> None:
    text = (mirror / "registry.toml").read_text()
    (mirror / "registry.toml").write_text(text.replace("models.small", "models.liverplan_ct"))
    with pytest.raises(ModelError, match="another model under this name"):
        pull_model("liverplan_ct", str(mirror))


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a\\\\..\\\\b", "C:evil"])
def test_a_registry_that_points_outside_of_its_folder_is_refused(mirror: Path, name: str) -> None:
    text = (mirror / "registry.toml").read_text()
    (mirror / "registry.toml").write_text(text.replace('"models/model.pt"', json.dumps(name)))
    with pytest.raises(ModelError, match="registry"):
        pull_model("small", str(mirror))


class _Silent(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and single ranges of its files, as servers of files do."""

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(206 if start else 200)
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(mirror: Path) -> Iterator[str]:
    handler = functools.partial(_Silent, directory=str(mirror))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_model_comes_from_an_address_and_goes_on_there(address: str, mirror: Path, own_models: Path) -> None:
    whole, wanted = (mirror / WEIGHTS).read_bytes(), find_model(mirror).sha256
    partial = own_models / ".small.partial" / f"{WEIGHTS}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[:1000])
    (mirror / WEIGHTS).write_bytes(b"\0" * 1000 + whole[1000:])
    assert pull_model("small", address, sha256=wanted).sha256 == wanted


def test_an_address_that_anybody_may_change_needs_the_hash(address: str) -> None:
    with pytest.raises(InputError, match="encryption"):
        pull_model("small", address)


def test_an_export_is_a_mirror_with_cards_and_licences(source: Path, tmp_path: Path) -> None:
    model = find_model(source)
    folder = export_model(model, tmp_path / "out")
    again = find_model(folder)
    assert again.sha256 == model.sha256
    assert {"docs/README.md", "LICENSE", "configs/metadata.json"} <= set(again.stages["segment"].also)
    (folder / "liverplan_ct_segmentation/LICENSE").write_text("another one")
    with pytest.raises(ModelError, match="damaged"):
        pull_model("small", str(folder))


def test_what_a_models_masks_are_good_enough_for_travels_with_it(source: Path, tmp_path: Path) -> None:
    model = replace(find_model(source), structures=("liver",))
    folder = export_model(model, tmp_path / "out")
    assert find_model(folder).structures == ("liver",)
    assert pull_model("small", str(folder)).structures == ("liver",)


def test_an_archive_goes_out_and_comes_in(source: Path, tmp_path: Path) -> None:
    archive = export_model(find_model(source), tmp_path / "small.zip")
    assert import_model(archive).sha256 == find_model(source).sha256
    assert (find_model("small").stages["segment"].bundle / "docs/README.md").is_file()


def test_an_archive_with_files_outside_of_it_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr("../evil", "x")
    with pytest.raises(ModelError, match="archive"):
        unpack(tmp_path / "evil.zip", tmp_path / "in")
    assert not (tmp_path / "evil").exists()


def test_a_foreign_bundle_gets_a_name_and_loads_only_as_it_was_imported(tmp_path: Path, own_models: Path) -> None:
    bundle = write_foreign_bundle(tmp_path / "Some Bundle")
    imported = import_model(bundle)
    assert (imported.name, imported.kind) == ("some-bundle", Kind.MONAI_BUNDLE)
    assert find_model("some-bundle").sha256 == find_model(bundle).sha256
    weights = own_models / "some-bundle/some-bundle/models/model.pt"
    weights.write_bytes(weights.read_bytes() + b"x")
    assert run(["models", "info", "some-bundle"]) == 3


def test_what_is_no_model_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no model"):
        import_model(tmp_path / "empty")
    with pytest.raises(InputError, match="no name"):
        import_model(write_foreign_bundle(tmp_path / "b"), name="../b")


def test_a_broken_registry_of_the_users_hides_no_shipped_model(own_models: Path) -> None:
    (own_models / "mine").mkdir(parents=True)
    (own_models / "mine/registry.toml").write_text("not toml [")
    assert find_model().name == "liverplan_ct"
    with pytest.raises(ModelError, match="registry"):
        find_model("mine")


def test_masks_of_ones_own_go_the_same_way_and_stay_the_readers(tmp_path: Path) -> None:
    volume = ellipsoid_ct((6.0, 6.0, 6.0))
    liver = (volume.array > 0).astype("uint8")
    write_segmentation(Segmentation(volume.grid, {Structure.LIVER: liver}), tmp_path / "masks")
    masks = segment(volume, tmp_path / "masks")
    assert (masks.origin, masks.model) == ("given", None)
    assert (masks.masks[Structure.LIVER] == liver).all()
    assert find_model(tmp_path / "masks").kind is Kind.MASKS


def test_a_tool_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be exported"):
        export_model(find_model("totalsegmentator"), tmp_path / "out")


def test_the_verbs_say_what_they_did(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "pull", "small", "--from", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "cascade"
    bundle = str(write_foreign_bundle(tmp_path / "other"))
    assert run(["models", "import", bundle, "--name", "theirs"]) == 0
    assert "--model theirs" in capsys.readouterr().out
    assert run(["models", "info", "theirs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {
        "background": None,
        "hepatic tumour": "lesions",
        "liver": "liver",
        "spleen": None,
    }
    assert run(["models", "export", "theirs", "-o", str(tmp_path / "theirs.zip")]) == 0
    assert run(["models", "export", "theirs", "-o", str(tmp_path / "theirs.zip")]) == 3
    assert run(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [m["name"] for m in listed["models"]] == ["liverplan_ct", "liverplan_mr", "small", "theirs"]
    assert set(listed["tools"]) == {"TotalSegmentator", "nnUNetv2_predict_from_modelfolder"}
