"""What hospital shares and people hand in: what must happen, row by row. docs/hardening.md holds the same table.

A row is an id, what is wrong, the exit status of `liverplan plan`, and words of what it must say.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from dicom_oddities import ODDITIES

import simple_case
from liverplan.anatomy import Structure
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.volume import Grid, Segmentation, Volume

LESION = simple_case.Ball((-22.0, 4.0, 30.0), 9.0)


@dataclass(frozen=True)
class Place:
    """A folder of its own for one row, with a whole patient in it: image.nii.gz and masks/."""

    folder: Path
    drawn: Segmentation
    volume: Volume

    @property
    def grid(self) -> Grid:
        return self.drawn.grid

    @property
    def image(self) -> Path:
        return self.folder / "image.nii.gz"

    @property
    def masks(self) -> Path:
        return self.folder / "masks"

    def plan(self, *more: object, image: Path | None = None, masks: Path | None = None) -> list[str]:
        """Arguments of `liverplan plan` on this patient."""
        given = ["plan", image or self.image, "--segmentation", masks or self.masks, "-o", self.folder / "out"]
        return [str(word) for word in (*given, "--no-pictures", *more)]

    def with_masks(self, **changed: np.ndarray | None) -> list[str]:
        """Some masks replaced or (None) left away."""
        masks = {s: changed.get(s.value, m) for s, m in self.drawn.masks.items()}
        write_segmentation(
            Segmentation(self.grid, {s: m for s, m in masks.items() if m is not None}), self.folder / "own"
        )
        return self.plan(masks=self.folder / "own")

    def text(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


Build = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Row:
    """id: as in docs/hardening.md. says: a regular expression for stderr (or, at status 0, for report.json)."""

    id: str
    status: int
    says: str
    build: Build


def patient(folder: Path) -> Place:
    """A whole patient on voxels of 4 mm."""
    drawn = simple_case.masks(simple_case.grid((4.0, 4.0, 4.0)), (LESION,))
    place = Place(folder, drawn, simple_case.image(drawn.grid, drawn))
    write_volume(place.volume, place.image)
    write_segmentation(drawn, place.masks)
    return place


def _nifti(change: Callable[[nib.Nifti1Image], nib.Nifti1Image | None]) -> Build:
    """The image with its NIfTI object changed."""

    def build(place: Place) -> list[str]:
        image = nib.Nifti1Image(place.volume.array, nib.load(place.image).affine)
        image = change(image) or image
        image.to_filename(place.folder / "changed.nii.gz")
        return place.plan(image=place.folder / "changed.nii.gz")

    return build


def _bytes(change: Callable[[bytearray], bytes | bytearray], name: str = "changed.nii") -> Build:
    """The uncompressed image file with its bytes changed."""

    def build(place: Place) -> list[str]:
        whole = bytearray(gzip.decompress(place.image.read_bytes()))
        return place.plan(image=place.text(name, bytes(change(whole))))

    return build


def _put(at: int, dtype: str, *values: float) -> Build:
    def change(data: bytearray) -> bytearray:
        new = np.array(values, dtype=dtype).tobytes()
        data[at : at + len(new)] = new
        return data

    return _bytes(change)


def _array(make: Callable[[np.ndarray], np.ndarray]) -> Build:
    return _nifti(lambda image: nib.Nifti1Image(make(np.asarray(image.dataobj)), image.affine))


def _affine(change: Callable[[np.ndarray], None]) -> Build:
    def made(image: nib.Nifti1Image) -> nib.Nifti1Image:
        affine = image.affine.copy()
        change(affine)
        header = nib.Nifti1Header()
        header.set_sform(affine, code=1)
        header.set_qform(None, code=0)
        return nib.Nifti1Image(np.asarray(image.dataobj), None, header)

    return _nifti(made)


def _shear(affine: np.ndarray) -> None:
    affine[0, 1] = 2.0


def _flat(affine: np.ndarray) -> None:
    affine[:3, 2] = affine[:3, 1]


def _nowhere(image: nib.Nifti1Image) -> None:
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)


def _forms_apart(image: nib.Nifti1Image) -> None:
    other = image.affine.copy()
    other[2, 3] += 5
    image.set_sform(image.affine, code=1)
    image.set_qform(other, code=1)


def _with_nan(array: np.ndarray) -> np.ndarray:
    changed = array.astype(np.float32)
    changed[3, 3, 3] = np.nan
    return changed


def _itk(suffix: str, old: bytes, new: bytes) -> Build:
    """The image as NRRD or MetaImage with words of its header replaced."""

    def build(place: Place) -> list[str]:
        image = sitk.ReadImage(str(place.image))
        path = place.folder / f"changed{suffix}"
        sitk.WriteImage(image, str(path))
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        return place.plan(image=path)

    return build


def _itk_cut(suffix: str, compressed: bool) -> Build:
    def build(place: Place) -> list[str]:
        path = place.folder / f"cut{suffix}"
        sitk.WriteImage(sitk.ReadImage(str(place.image)), str(path), useCompression=compressed)
        path.write_bytes(path.read_bytes()[:-500])
        return place.plan(image=path)

    return build


def _dicom(name: str) -> Build:
    def build(place: Place) -> list[str]:
        ODDITIES[name](place.folder / "dicom")
        return place.plan(image=place.folder / "dicom")

    return build


def _masks(**make: Callable[[np.ndarray], np.ndarray] | None) -> Build:
    """Masks replaced by a function of themselves, or left away."""

    def build(place: Place) -> list[str]:
        drawn = {s.value: m for s, m in place.drawn.masks.items()}
        return place.with_masks(**{n: None if change is None else change(drawn[n]) for n, change in make.items()})

    return build


def _empty(mask: np.ndarray) -> np.ndarray:
    return np.zeros_like(mask)


def _in_a_corner(mask: np.ndarray) -> np.ndarray:
    changed = np.zeros_like(mask)
    changed[:3, :3, :3] = 1
    return changed


def _to_the_edge(mask: np.ndarray) -> np.ndarray:
    changed = mask.copy()
    changed[:, :, : mask.shape[2] // 2] = mask.max(axis=2)[:, :, None]
    return changed


def _probabilities(place: Place) -> list[str]:
    return _with_file(place, "liver.nii.gz", place.drawn.masks[Structure.LIVER] * np.float32(0.4))


def _negative(place: Place) -> list[str]:
    return _with_file(place, "liver.nii.gz", -place.drawn.masks[Structure.LIVER].astype(np.int16))


def _with_file(place: Place, name: str, array: np.ndarray, grid: Grid | None = None) -> list[str]:
    write_segmentation(place.drawn, place.folder / "own")
    write_volume(Volume(grid or place.grid, array, "unknown"), place.folder / "own" / name)
    return place.plan(masks=place.folder / "own")


def _other_grid(place: Place) -> list[str]:
    moved = place.grid.affine.copy()
    moved[0, 3] += 2.0
    return _with_file(place, "liver.nii.gz", place.drawn.masks[Structure.LIVER], Grid(place.grid.shape, moved))


def _other_shape(place: Place) -> list[str]:
    liver = place.drawn.masks[Structure.LIVER][:, :, :-2]
    return _with_file(place, "liver.nii.gz", liver, Grid(liver.shape, place.grid.affine))


def _two_files(place: Place) -> list[str]:
    write_segmentation(place.drawn, place.folder / "own")
    write_volume(Volume(place.grid, place.drawn.masks[Structure.LIVER], "unknown"), place.folder / "own" / "liver.nii")
    return place.plan(masks=place.folder / "own")


def _unknown_label(place: Place) -> list[str]:
    write_volume(
        Volume(place.grid, place.drawn.masks[Structure.LIVER] * np.uint8(17), "unknown"), place.folder / "labels.nii.gz"
    )
    return place.plan(masks=place.folder / "labels.nii.gz")


def _no_masks(place: Place) -> list[str]:
    (place.folder / "nothing").mkdir()
    return place.plan(masks=place.folder / "nothing")


def _option(option: str, name: str, content: str | bytes) -> Build:
    return lambda place: place.plan(option, place.text(name, content))


def _plane(**fields: object) -> Build:
    return _option("--resection", "cut.json", json.dumps(fields))


def _absent(option: str) -> Build:
    return lambda place: place.plan(option, place.folder / "absent.file")


def _full_folder(place: Place) -> list[str]:
    (place.folder / "out").mkdir()
    place.text("out/thesis.txt", "mine")
    return place.plan("--overwrite")


ROWS = (
    # ---- the image
    Row("image-absent", 3, "does not exist", lambda p: p.plan(image=p.folder / "no.nii.gz")),
    Row("image-empty", 3, "empty", lambda p: p.plan(image=p.text("empty.nii.gz", ""))),
    Row("image-of-another-format", 3, "not an image this program reads", lambda p: p.plan(image=p.text("a.jpg", "x"))),
    Row("image-text-called-nifti", 3, "not a NIfTI file", lambda p: p.plan(image=p.text("a.nii", "hello" * 200))),
    Row("image-no-voxels", 3, "damaged or incomplete", _bytes(lambda d: d[:352])),
    Row("image-cut-off", 3, "damaged or incomplete", _bytes(lambda d: d[:-100])),
    Row("image-gzip-cut-off", 3, "damaged or incomplete", _bytes(lambda d: gzip.compress(bytes(d))[:-200])),
    Row("image-gzip-bit-flipped", 3, "damaged", _bytes(lambda d: gzip.compress(bytes(d))[:-8] + b"\0" * 8)),
    Row("image-2d", 3, "three-dimensional", _array(lambda a: a[:, :, 3])),
    Row("image-single-slice", 3, "three-dimensional.*single slice", _array(lambda a: a[:, :, 3:4])),
    Row("image-4d", 3, "three-dimensional.*4D", _array(lambda a: np.stack([a, a], axis=-1))),
    Row("image-nan", 3, "NaN|not a number|not finite", _array(_with_nan)),
    Row("image-complex", 3, "complex", _array(lambda a: a.astype(np.complex64))),
    Row("image-colours", 3, "colours", _put(70, "<i2", 128, 24)),
    Row("image-unknown-type", 3, "damaged.*voxel type", _put(70, "<i2", 77)),
    Row("image-spacing-zero", 3, "spacing", _put(80, "<f4", 0.0)),
    Row("image-spacing-negative", 3, "spacing", _put(80, "<f4", -4.0)),
    Row("image-spacing-nan", 3, "spacing", _put(80, "<f4", np.nan)),
    Row("image-metres", 3, "not millimetres", _put(123, "u1", 1)),
    Row("image-promises-terabytes", 3, "damaged|promises", _put(42, "<i2", 30000, 30000, 30000)),
    Row("image-voxels-start-nowhere", 3, "damaged.*start at byte", _put(108, "<f4", np.nan)),
    Row("image-voxels-start-beyond", 3, "damaged.*start at byte", _put(108, "<f4", 1e30)),
    Row("image-affine-nan", 3, "affine", _affine(lambda a: a.__setitem__((0, 0), np.nan))),
    Row("image-affine-sheared", 3, "right angles", _affine(_shear)),
    Row("image-affine-singular", 3, "right angles|affine|spacing", _affine(_flat)),
    Row("image-no-affine", 3, "does not say where", _nifti(_nowhere)),
    Row("image-two-affines", 3, "says twice", _nifti(_forms_apart)),
    Row("nrrd-without-space", 3, "where its voxels are", _itk(".nrrd", b"space: ", b"spice: ")),
    Row("nrrd-cut-off", 3, "cannot be read|damaged", _itk_cut(".nrrd", False)),
    Row("mha-spacing-zero", 3, "spacing", _itk(".mha", b"ElementSpacing = 4", b"ElementSpacing = 0")),
    Row("mha-compressed-cut-off", 3, "damaged", _itk_cut(".mha", True)),
    Row("mha-points-elsewhere", 3, "not beside", _itk(".mha", b"File = LOCAL", b"File = ../x.raw")),
    Row("series-of-a-file", 3, "series was chosen", lambda p: p.plan("--series", "1.2.3")),
    # ---- DICOM
    Row("dicom-none", 3, "no DICOM images", lambda p: p.plan(image=p.masks)),
    Row("dicom-two-patients", 3, "several patients", _dicom("two patients")),
    Row("dicom-two-phases", 3, "not clear", _dicom("4D, three phases")),
    Row("dicom-missing-slices", 3, "missing slices", _dicom("two slices in a row missing")),
    Row("dicom-uneven", 3, "not equally spaced", _dicom("unequal gaps")),
    Row("dicom-duplicates", 3, "duplicate slices", _dicom("every place twice, different pixels, headers alike")),
    Row("dicom-tilt-too-far", 3, "shifted sideways", _dicom("gantry tilt of 37 degrees")),
    Row("dicom-not-parallel", 3, "not parallel", _dicom("unmarked slice in another plane")),
    Row("dicom-captures", 3, "secondary captures", _dicom("secondary captures alone")),
    Row("dicom-pet", 3, "modality PT", _dicom("positron emission")),
    Row("dicom-cut-off", 3, "damaged", _dicom("compressed and cut off")),
    Row("dicom-unknown-compression", 3, "compressed as", _dicom("high-throughput JPEG 2000")),
    Row("dicom-frames-of-reference", 3, "frames of reference", _dicom("two frames of reference")),
    Row("dicom-masks-on-another-grid", 3, "grid", _dicom("plain axial CT, nested folders")),
    # ---- masks
    Row("masks-absent", 3, "does not exist", lambda p: p.plan(masks=p.folder / "no")),
    Row("masks-empty-folder", 3, "no liver", _no_masks),
    Row("masks-no-liver", 3, "no liver", _masks(liver=None)),
    Row("masks-liver-empty", 3, "liver mask is empty", _masks(liver=_empty)),
    Row("masks-lesion-outside", 3, "outside the liver", _masks(lesions=_in_a_corner)),
    Row("masks-lesions-empty", 0, '"lesions": \\[\\]', _masks(lesions=_empty)),
    Row("masks-no-vessels", 0, "not segmented", _masks(portal_vein=None, hepatic_veins=None, inferior_vena_cava=None)),
    Row("masks-liver-cut-off", 0, "cut off at the edge", _masks(liver=_to_the_edge)),
    Row("masks-probabilities", 3, "probabilit|whole|label", _probabilities),
    Row("masks-negative", 3, "label|negative|values", _negative),
    Row("masks-shifted-grid", 3, "grid", _other_grid),
    Row("masks-other-shape", 3, "grid|shape", _other_shape),
    Row("masks-two-files", 3, "two files", _two_files),
    Row("masks-unknown-label", 3, "not known", _unknown_label),
    Row("image-phase-unknown", 0, "does not say in which contrast phase", lambda p: p.plan()),
    # ---- texts
    Row("clinical-absent", 3, "clinical record", _absent("--clinical")),
    Row("clinical-not-text", 3, "UTF-8", _option("--clinical", "r.yaml", b"\xff\xfe\x00")),
    Row("clinical-unknown-field", 3, "agee.*unknown field", _option("--clinical", "r.yaml", "agee: 3\n")),
    Row("clinical-out-of-range", 3, "age_years", _option("--clinical", "r.yaml", "age_years: 400\n")),
    Row("clinical-lab-without-unit", 3, "bilirubin", _option("--clinical", "r.yaml", "bilirubin: 1.0\n")),
    Row(
        "clinical-python-object",
        3,
        "clinical record",
        _option("--clinical", "r.yaml", "sex: !!python/name:os.system\n"),
    ),
    Row("clinical-bomb", 3, "clinical record", _option("--clinical", "r.yaml", "a: &a [x]\nb: [*a, *a]\n")),
    Row("clinical-json-twice", 3, "age_years", _option("--clinical", "r.json", '{"age_years": 1, "age_years": 2}')),
    Row("clinical-deep-json", 3, "clinical record", _option("--clinical", "r.json", "[" * 100000)),
    Row("protocol-absent", 3, "protocol", _absent("--protocol")),
    Row("protocol-not-toml", 3, "TOML|protocol", _option("--protocol", "p.toml", "[[[")),
    Row("protocol-empty", 3, "protocol", _option("--protocol", "p.toml", "")),
    Row("cut-loss-not-toml", 3, "TOML|loss", _option("--cut-loss", "c.toml", "= 1")),
    # ---- resections
    Row("resection-absent", 3, "absent", _absent("--resection")),
    Row("resection-no-normal", 3, "normal", _plane(point_lps_mm=[0, 0, 0], normal_lps=[0, 0, 0])),
    Row("resection-beside-the-liver", 3, "liver", _plane(point_lps_mm=[0, 0, 900], normal_lps=[0, 0, 1])),
    Row("resection-empty-surface", 3, "triangle|surface|STL|cut.stl", _option("--resection", "cut.stl", b"\0" * 84)),
    Row("resection-stl-of-34-bytes", 3, "triangle", _option("--resection", "cut.stl", b"\0" * 34)),
    # ---- where results go, and usage
    Row("out-is-a-file", 3, "not a folder", lambda p: (p.text("out", "x"), p.plan())[1]),
    Row("out-holds-other-things", 3, "something else", _full_folder),
    Row("usage-unknown-option", 2, "No such option", lambda p: p.plan("--nonsense")),
    Row("usage-margin-too-large", 2, "margin", lambda p: p.plan("--margin", 99)),
)
"""One row, one test."""
