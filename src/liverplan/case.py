"""A case folder on disk: from an image (and masks) to everything that `liverplan plan` writes."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from liverplan import RESEARCH_USE_ONLY, __version__, audit
from liverplan.anatomy import Structure
from liverplan.clinical import ClinicalRecord, parse_record
from liverplan.errors import ClinicalError
from liverplan.fresh_margin import load_cut_loss
from liverplan.io.clinical import read_clinical
from liverplan.io.deidentify import Disguise, pseudonyms
from liverplan.io.dicom_out import SourceSeries, source_series, write_dicom
from liverplan.io.fhir_report import write_fhir_report
from liverplan.io.folder import output_folder, write_json_atomic
from liverplan.io.images import read_file, read_image
from liverplan.io.meshes import SceneMesh, light_enough, write_glb, write_stl
from liverplan.io.resections import read_resections
from liverplan.io.segmentations import ReadAhead, read_segmentation
from liverplan.io.withheld import (
    WITHHELD,
    disguise_of,
    disguised_clinical,
    disguised_resection,
    disguised_source,
    disguised_volume,
)
from liverplan.io.writing import write_mask, write_segmentation, write_slicer_segmentation
from liverplan.liver_volume import BodySize
from liverplan.margin import margin_region
from liverplan.mesh import Mesh, surface_of_mask
from liverplan.plan import Plan, Progress, Wishes, plan
from liverplan.protocol import DEFAULT_PROTOCOL, load_protocol
from liverplan.record import to_record
from liverplan.report.figures import CUT_RGB, SHELL_RGB
from liverplan.resection.measure import MeasuredResection
from liverplan.surface import pooled_surface
from liverplan.volume import Confidence, Segmentation, Volume

LIVER_MESH_MM = 1.5
_Shown: TypeAlias = tuple[str, Mesh, tuple[int, int, int], float]
"""Name, surface in LPS mm, colour and opacity of something that is shown in 3D."""
_RECORDED_PACKAGES = (
    "numpy",
    "scipy",
    "SimpleITK",
    "scikit-image",
    "vtk",
    "monai",
    "torch",
    "nibabel",
    "pydicom",
    "highdicom",
    "openvino",
)


@dataclass(frozen=True)
class Corrected:
    """Who made the masks at first ("given" or "model"), which model, and how they were corrected since (None: not).

    confidence: the model's, of the masks as it made them; a boundary is not held for surer because it was touched.
    """

    origin: str
    model: Mapping[str, str] | None
    corrections: Mapping[str, Any] | None
    confidence: Mapping[Structure, Confidence] = field(default_factory=dict)


@dataclass(frozen=True)
class Deidentified:
    """Keep the patient out of the output folder. pseudonym: None for the study's. key_file: None for the user's."""

    pseudonym: str | None = None
    key_file: Path | None = None


@dataclass(frozen=True)
class Settings:
    """What a run was asked for; written to run.json."""

    image: Path
    segmentation: Path | None = None
    protocol: str | Path = DEFAULT_PROTOCOL
    series_uid: str | None = None
    modality: str | None = None
    model: str | Path | None = None
    device: str = "auto"
    pictures: bool = True
    margin_mm: float | None = None
    resections: tuple[Path, ...] = ()
    clinical: Path | None = None
    body: BodySize = field(default_factory=lambda: BodySize(None, None))
    """Said beside the clinical record, which may hold it as well."""
    cut_loss: Path | None = None
    corrected: Corrected | None = None
    """For masks of a case that is planned again: they are still the model's where a model made them."""
    deidentified: Deidentified | None = None
    label_map: bool = False
    """Whether seg.dcm is one label map."""


@dataclass
class Timings:
    """Wall seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def plan_case(settings: Settings, out: Path, overwrite: bool = False, progress: Progress | None = None) -> Plan:
    """Plan a case from files and write the folder `out`, whole or not at all.

    Raises InputError of every kind, OutputError, ResourceError.
    """
    report_progress = progress or (lambda _fraction, _stage: None)
    timings = Timings()
    started = time.time()
    # Beside: what needs no more than the masks. Compression and VTK leave the interpreter to the plan.
    with output_folder(out, overwrite=overwrite) as folder, ThreadPoolExecutor(max_workers=2) as beside:
        protocol, clinical = load_protocol(settings.protocol), clinical_record(settings)
        with timings.stage("read"):
            report_progress(0.0, "reading the image")
            ahead = ReadAhead(settings.segmentation, beside) if settings.segmentation else None
            volume = read_image(settings.image, settings.series_uid, settings.modality)
            source = source_series(settings.image, volume)
            volume, source, disguise = _without_patient(settings, volume, source)
            clinical = clinical if disguise is None else disguised_clinical(clinical, disguise)
        with timings.stage("segment" if settings.segmentation is None else "read masks"):
            masks = _segmentation(settings, volume, ahead, lambda f, s: report_progress(0.05 + 0.45 * f, s))
        anatomy = beside.submit(_anatomy_meshes, masks, folder / "meshes")
        given_written = beside.submit(write_segmentation, _without_lesions(masks), folder / "segmentation")
        with timings.stage("plan"):
            wishes = _wishes(settings, masks, clinical)
            result = plan(volume, masks, protocol, lambda f, s: report_progress(0.5 + 0.2 * f, s), wishes)
        record = to_record(result)
        if settings.corrected is not None and settings.corrected.corrections is not None:
            record["segmentation"]["corrections"] = dict(settings.corrected.corrections)
        write_json_atomic(folder / "report.json", record)
        planned_written = [beside.submit(write) for write in _planned_masks(result, folder)]
        with timings.stage("meshes"):
            report_progress(0.7, "building meshes")
            scene = [*anatomy.result(), *_meshes(_planned_surfaces(result), folder / "meshes")]
            write_glb(folder / "meshes" / "scene.glb", scene)
        with timings.stage("write masks"):
            given_written.result()
            for written in planned_written:
                written.result()
        # Pictures show the written specimens.
        _draw(settings, result, record, folder, timings, report_progress)
        timings.seconds |= {f"plan/{name}": s for name, s in result.seconds.items()}
        # Before the report, which names versions and settings, and after it with the time that it took.
        write_json_atomic(folder / "run.json", _run_record(settings, result, timings, started))
        with timings.stage("report"):
            report_progress(0.95, "writing the report")
            _write_report(folder)
            write_fhir_report(folder, record)
        if source is not None:
            with timings.stage("dicom"):
                report_progress(0.98, "writing DICOM objects")
                write_dicom(folder, record, result.segmentation, source, settings.label_map)
        write_json_atomic(folder / "run.json", _run_record(settings, result, timings, started))
        audit.carry_over(out, folder)
        audit.record(folder, audit.PLANNED, masks=masks.origin)
    return result


def _without_patient(
    settings: Settings, volume: Volume, source: SourceSeries | None
) -> tuple[Volume, SourceSeries | None, Disguise | None]:
    """Image and headers as they may be told, and by which disguise (None: as they came)."""
    asked = settings.deidentified
    if asked is None:
        return volume, source, None
    disguise = disguise_of(volume, source, pseudonyms(asked.key_file), asked.pseudonym)
    hidden = None if source is None else disguised_source(source, disguise)
    return disguised_volume(volume, disguise), hidden, disguise


def _segmentation(settings: Settings, volume: Volume, ahead: ReadAhead | None, progress: Progress) -> Segmentation:
    if settings.segmentation is not None:
        progress(0.0, "reading the masks")
        masks = read_segmentation(settings.segmentation, volume.grid, ahead or read_file)
        was = settings.corrected
        return masks if was is None else replace(masks, origin=was.origin, model=was.model, confidence=was.confidence)
    from liverplan.segmentation import segment

    progress(0.0, "segmenting")
    return segment(volume, settings.model, settings.device, progress)


def clinical_record(settings: Settings) -> ClinicalRecord:
    """The clinical record of the settings, height and weight that were said beside it included.

    Raises ClinicalError when it cannot be read, and when it says another height or weight.
    """
    record = read_clinical(settings.clinical) if settings.clinical else ClinicalRecord(())
    said = {"height_cm": settings.body.height_cm, "weight_kg": settings.body.weight_kg}
    for name, value in said.items():
        known = record.number(name)
        if value is not None and known is not None and known != value:
            raise ClinicalError(
                f"{name} is said twice, and differently",
                got=f"{value:g} beside the clinical record, which says {known:g}",
                wanted="one of them",
                do="Correct the record, or leave the option away.",
            )
    added = {name: value for name, value in said.items() if value is not None and record.known(name) is None}
    return parse_record({**record.to_json(), **added}, on_reading=record.on_reading) if added else record


def _wishes(settings: Settings, masks: Segmentation, clinical: ClinicalRecord) -> Wishes:
    """What the plan is asked for beside the protocol: the margin, the surgeon's own resections, the clinical record."""
    given = read_resections(settings.resections, masks) if settings.resections else ()
    if settings.deidentified is not None:
        given = tuple(disguised_resection(n, one) for n, one in enumerate(given))
    return Wishes(settings.margin_mm, given, clinical, load_cut_loss(settings.cut_loss))


def _without_lesions(masks: Segmentation) -> Segmentation:
    """The masks that are written as they came; lesions get their ids from the plan."""
    return replace(masks, masks={s: m for s, m in masks.masks.items() if s != Structure.LESIONS})


def _planned_masks(result: Plan, folder: Path) -> Iterator[Callable[[], object]]:
    """What writes each of the masks that a plan adds."""
    segmentation = result.segmentation
    lesions = replace(segmentation, masks={s: m for s, m in segmentation.masks.items() if s == Structure.LESIONS})
    yield partial(write_segmentation, lesions, folder / "segmentation")
    yield partial(write_slicer_segmentation, segmentation, folder / "segmentation.seg.nrrd")
    for found in result.resections:
        yield partial(_write_specimen, result, found, folder / "resections" / f"{found.name}.nii.gz")


def _write_specimen(result: Plan, found: MeasuredResection, path: Path) -> None:
    write_mask(result.specimen_on_image(found), result.segmentation.grid, path)


def _draw(
    settings: Settings, result: Plan, record: Mapping[str, Any], folder: Path, timings: Timings, progress: Progress
) -> None:
    from liverplan.report import render_case_pictures

    if settings.pictures:
        with timings.stage("pictures"):
            progress(0.8, "drawing pictures")
            render_case_pictures(folder, record, result.volume, result.segmentation)


def _write_report(folder: Path) -> None:
    from liverplan.report import render_report

    render_report(folder)


def _anatomy_meshes(masks: Segmentation, folder: Path) -> list[SceneMesh]:
    return _meshes(_anatomy_surfaces(masks.canonical()), folder)


def _meshes(surfaces: Iterable[_Shown], folder: Path) -> list[SceneMesh]:
    """Make surfaces light, write each as an STL file, and return them for the scene."""
    scene = []
    for name, mesh, rgb, opacity in surfaces:
        light = light_enough(mesh)
        write_stl(folder / f"{name}.stl", light)
        scene.append(SceneMesh(name, light, rgb, opacity))
    return scene


def _anatomy_surfaces(masks: Segmentation) -> Iterator[_Shown]:
    """Liver and vessels, from canonical masks."""
    liver = masks.mask(Structure.LIVER)
    info = Structure.LIVER.info
    yield Structure.LIVER.value, pooled_surface(liver, masks.grid, LIVER_MESH_MM).mesh, info.rgb, info.opacity
    for structure in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA, Structure.LIVER_VESSELS):
        if masks.has(structure):
            info = structure.info
            yield structure.value, surface_of_mask(masks.mask(structure), masks.grid), info.rgb, info.opacity


def _planned_surfaces(result: Plan) -> Iterator[_Shown]:
    """Lesions, cuts and the margin region."""
    info = Structure.LESIONS.info
    for lesion in result.lesion_map:
        yield f"lesion_{lesion.id}", lesion.surface.mesh, info.rgb, info.opacity
    for found in result.resections:
        if len(found.surface.mesh.faces):
            yield f"cut_{found.name}", found.surface.mesh, CUT_RGB, 0.6
    masks = result.segmentation.canonical()
    wide = result.protocol.limits.wide_margin_mm
    region = margin_region(masks.mask(Structure.LIVER), result.lesion_map.lesions, masks.grid, wide)
    if region.any():
        # On the lattice of the liver's mesh: the two coincide at the capsule.
        yield "margin_shell", pooled_surface(region, masks.grid, LIVER_MESH_MM).mesh, SHELL_RGB, 0.3


def _run_record(settings: Settings, result: Plan, timings: Timings, started: float) -> dict[str, Any]:
    def name(path: Path) -> str:
        return path.name if settings.deidentified is None else WITHHELD

    return {
        "software": {"name": "liverplan", "version": __version__},
        "notice": RESEARCH_USE_ONLY,
        "started_unix_s": started,
        "settings": {
            "image": name(settings.image),
            "segmentation": name(settings.segmentation) if settings.segmentation else None,
            "protocol": result.protocol.id,
            "series_uid": result.volume.facts.get("series_uid") if settings.series_uid else None,
            "model": _model_name(settings),
            "device": settings.device,
            "pictures": settings.pictures,
            "margin_mm": settings.margin_mm,
            "resections": [name(path) for path in settings.resections],
            "clinical": name(settings.clinical) if settings.clinical else None,
            "height_cm": settings.body.height_cm,
            "weight_kg": settings.body.weight_kg,
            "cut_loss": name(settings.cut_loss) if settings.cut_loss else None,
            "deidentified": settings.deidentified is not None,
        },
        "hashes": {
            "image_sha256": result.volume.facts.get("sha256"),
            "protocol_sha256": result.protocol.sha256,
            "model_sha256": (result.segmentation.model or {}).get("sha256"),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _RECORDED_PACKAGES},
        "platform": platform.platform(),
        "seconds": {name: round(s, 3) for name, s in timings.seconds.items()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _model_name(settings: Settings) -> str | None:
    """As it was asked for; without the folders around it where the patient is to stay unnamed."""
    if settings.model is None:
        return None
    return str(settings.model) if settings.deidentified is None else Path(settings.model).name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
