"""One training from its configuration to the bundle: sources, start, tracking, team, end. `run.train` comes here."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from liverplan.errors import InputError
from liverplan.io.folder import write_json_atomic
from liverplan.segmentation.models import Model, find_model, read_settings
from liverplan.training.config import TrainingConfig
from liverplan.training.datasets import Dataset, find_cases
from liverplan.training.folder_source import FolderSource, Interleaved, MixedSource, Source, folder_validator
from liverplan.training.lasting import (
    EarlyStop,
    LastingTrainer,
    StoppedEarly,
    continued_log,
    locked,
    said_clearly,
    swept,
    until_over,
    weights_of,
)
from liverplan.training.loop import BEST, CHECKPOINT, Validate, run
from liverplan.training.parallel import Team, team
from liverplan.training.preprocessed import PreparedCase, Target, prepare
from liverplan.training.publish import Origin, publish, require_own_folder
from liverplan.training.samples import SampleSource, drawn_ahead
from liverplan.training.splits import Split, kept_split, read_split, split_patients
from liverplan.training.tracking import Follower, open_trackers, require_trackers
from liverplan.training.validate import validator

Say = Callable[[str], None]
SETTINGS = "config.json"
CACHE = Path(".cache/training/cases")
_ONLY_HOW_LONG = frozenset({"steps", "minutes", "patience", "threads", "checkpoint_every", "validate_every"})
"""Settings that change neither what is learnt from nor how it is judged."""


@dataclass(frozen=True)
class Options:
    """What a run is told beside its configuration.

    images: the folder of one's own scans (None: `[data] folder`). data, bank: for synthesis. out: the run's folder.
    start: a model to begin with. jobs: processes that prepare cases. check: look at the data, do not train.
    """

    out: Path
    data: Path | None = None
    bank: Path = Path(".cache/training/bank")
    images: Path | None = None
    cache: Path = CACHE
    models: Path | None = None
    start: str | None = None
    until: int | None = None
    resume: bool = True
    device: str = "cpu"
    tensorboard: bool = True
    mlflow: bool = False
    jobs: int = 1
    check: bool = False


@dataclass(frozen=True)
class _Material:
    """What is trained on and how it is judged. origin: None for a run on synthesis alone."""

    source: Source
    validate: Validate
    origin: Origin | None


def train(config: TrainingConfig, options: Options, prepare_bank: Callable[[Path], None], say: Say) -> dict[str, Any]:
    """Check, prepare, train to the end of the schedule, write the bundle; goes on where an earlier start stopped.

    prepare_bank: fills the label bank from a data folder. Returns step, best score, the bundle's path (None before the
    end) and whether the training stopped early. Raises InputError, ModelError, ResourceError.
    """
    torch.set_num_threads(config.threads)
    _deterministic(options.device)
    start = find_model(options.start) if options.start else None
    config = shaped_as(config, start, say) if start else config
    require_trackers(options.mlflow)
    models = options.models or (options.out / "models" if config.data else None)
    if config.data and models:
        require_own_folder(models)
    with team(options.device) as crew, ExitStack() as stack:
        if crew.leads:
            stack.enter_context(locked(options.out))
            swept(options.out)
        say = say if crew.leads else _silent
        material = _for_team(crew, lambda: _material(config, options, start, prepare_bank, say))
        if options.check:
            return {"checked": True, "step": 0, "best": None, "bundle": None, "stopped_early": False}
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trainer = LastingTrainer(config, options.out, crew, scratch)
        return _trained(trainer, material, options, models, start, say)


def shaped_as(config: TrainingConfig, start: Model, say: Say) -> TrainingConfig:
    """The configuration with the network that the start's weights belong to. Raises InputError for odd patches."""
    spec = read_settings(start.stages[config.stage]).network
    if (spec.channels, spec.num_res_units) != (config.channels, config.num_res_units):
        say(f"network of {start.name}: channels {list(spec.channels)}, num_res_units {spec.num_res_units}")
    config = replace(config, channels=spec.channels, num_res_units=spec.num_res_units)
    if any(n % spec.multiple for n in config.patch):
        raise InputError(
            "the patch does not fit the network of the model to start from",
            got=f"patch {list(config.patch)}",
            wanted=f"multiples of {spec.multiple}",
            do="Change patch in the configuration.",
        )
    return config


def _trained(
    trainer: LastingTrainer, material: _Material, options: Options, models: Path | None, start: Model | None, say: Say
) -> dict[str, Any]:
    crew, config = trainer.team, trainer.config
    if start:
        trainer.begin_with(weights_of(start, config.stage))
    if options.resume and trainer.resume():
        say(f"resumed at step {trainer.step}")
    if config.precision == "bf16" and not trainer.mixed:
        say("fp32 instead of bf16, which this processor only emulates")
    trainer.require_room()
    scores = crew.told(_begun(trainer, options, start, say) if crew.leads else [])
    stop = EarlyStop(config.patience, list(scores))
    follower = _follower(trainer, options, start, say)
    source = Interleaved(material.source, crew.rank, crew.world) if crew.world > 1 else material.source
    samples = drawn_ahead(cast(SampleSource, source), first=trainer.step * config.batch)
    early = False

    def told(text: str) -> None:
        say(text)
        follower.follow()

    with closing(follower), closing(samples), said_clearly(options.out):
        try:
            run(trainer, until_over(samples, stop), stop.watching(material.validate, crew), told, options.until)
        except StoppedEarly:
            trainer.save()
            early = True
            say(f"stopped early at step {trainer.step}: {config.patience} validations without a better score")
    bundle = None
    if crew.leads and models is not None and (early or trainer.progress >= 1.0):
        with said_clearly(models):
            bundle = _bundle(config, options.out, models, material.origin)
        say(f"bundle: {bundle}")
    return {
        "step": trainer.step,
        "best": trainer.best,
        "bundle": str(bundle) if bundle else None,
        "stopped_early": early,
    }


def _begun(trainer: LastingTrainer, options: Options, start: Model | None, say: Say) -> list[float]:
    """Settle the run's folder on the checkpoint's step; returns the scores so far."""
    settings = json.loads(json.dumps({**asdict(trainer.config), "start": start.sha256 if start else None}))
    path = options.out / SETTINGS
    if trainer.step and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(k for k in {*before, *settings} if before.get(k) != settings.get(k))
        if changed:
            say(f"settings that differ from before step {trainer.step}: {', '.join(changed)}")
        if not _ONLY_HOW_LONG.issuperset(changed):
            trainer.best = -1.0  # scores of another recipe are of other patches
    with said_clearly(options.out):
        write_json_atomic(path, settings)
        if not trainer.step:
            (options.out / CHECKPOINT).unlink(missing_ok=True)
        return continued_log(options.out, trainer.step)


def _follower(trainer: LastingTrainer, options: Options, start: Model | None, say: Say) -> Follower:
    if not trainer.team.leads:
        return Follower(trainer.folder, [], say)
    parameters = {**asdict(trainer.config), "start": start.name if start else "random weights"}
    return open_trackers(options.out, trainer.step, parameters, say, options.tensorboard, options.mlflow)


def _material(
    config: TrainingConfig, options: Options, start: Model | None, prepare_bank: Callable[[Path], None], say: Say
) -> _Material:
    """Everything to learn from, checked. Raises InputError that lists what is wrong."""
    if config.data is None:
        data = _synthesis_folder(options)
        prepare_bank(data)
        source = SampleSource.load(config, options.bank, data)
        return _Material(source, validator(config, source, data), None)
    folder = options.images or (Path(config.data.folder) if config.data.folder else None)
    if folder is None:
        raise InputError(
            "the folder of scans is not named",
            got="[data] without folder, and no --images",
            wanted="the folder with the scans and masks to train on",
            do="Give it with --images.",
        )
    if config.modality != "CT":
        raise InputError(
            "scans of your own are learnt from as CT only",
            got=f"modality {config.modality!r} with a [data] table",
            wanted='modality = "CT"',
            do="Train MR on synthesis alone, without a [data] table.",
        )
    dataset = find_cases(folder)
    cases = prepare(dataset, Target(config.stage, config.spacing_mm), options.cache, say, options.jobs)
    split = _split(config, options, dataset)
    train, held = ([c for c in cases if split.side(c.patient) == side] for side in ("train", "validation"))
    _say_what(dataset, cases, split, say)
    own: Source = FolderSource(config, train)
    if config.data.share < 1:
        data = _synthesis_folder(options)
        prepare_bank(data)
        own = MixedSource(own, SampleSource.load(config, options.bank, data), config.data.share, config.seed)
    digest = hashlib.sha256("\n".join(sorted(c.image_sha256 for c in cases)).encode()).hexdigest()
    origin = Origin(folder.resolve().name, dataset.layout, digest, cases, split, start)
    return _Material(own, folder_validator(config, held), origin)


def _synthesis_folder(options: Options) -> Path:
    if options.data is None:
        raise InputError(
            "the data for synthesis are not named",
            got="a configuration that draws synthetic patches, and no --data",
            wanted="the folder of label maps and scans that the model card lists",
            do="Give it with --data, or train on scans of your own alone: [data] share = 1.0.",
        )
    return options.data


def _split(config: TrainingConfig, options: Options, dataset: Dataset) -> Split:
    assert config.data is not None  # a run on a folder
    patients = {case.patient for case in dataset.cases}
    if config.data.split is None:
        wanted = split_patients(patients, config.seed, config.data.validation, config.data.test)
    else:
        wanted = read_split(Path(config.data.split))
        if unknown := sorted(patients ^ wanted.patients):
            raise InputError(
                "the split does not name the patients of the folder",
                got=f"{', '.join(unknown)} on one side only",
                wanted=f"every patient of {dataset.folder} once in {config.data.split}",
                do="Correct the split, or leave it out to have one drawn.",
            )
    return wanted if options.check else kept_split(options.out, wanted)


def _say_what(dataset: Dataset, cases: Sequence[PreparedCase], split: Split, say: Say) -> None:
    say(f"{dataset.folder}: {dataset.layout}, {len(cases)} cases of {len(split.patients)} patients")
    say(f"train {len(split.train)}, validation {', '.join(split.validation)}, test {len(split.test)} patients")
    if unknown := dataset.unknown_names:
        say(f"labels of no known structure, trained as background: {', '.join(unknown)}")


def _for_team(crew: Team, prepared: Callable[[], _Material]) -> _Material:
    """What `prepared` makes: by the leader first, by the others once its caches are full."""
    if crew.leads:
        material = prepared()
        crew.told(True)
        return material
    crew.told(True)
    return prepared()


def _bundle(config: TrainingConfig, out: Path, models: Path, origin: Origin | None) -> Path:
    from liverplan.training.export import TRAINED_ON, WHOLE_SCAN, write_bundle

    best = torch.load(out / BEST, map_location="cpu", weights_only=True)
    if origin is None:
        whole = (WHOLE_SCAN,) if config.whole_scan else ()
        return write_bundle(config, best, models, (*TRAINED_ON[config.modality], *whole))
    return publish(config, best, models, origin, out)


def _deterministic(device: str) -> None:
    if device.startswith("cuda"):
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def _silent(text: str) -> None:
    """What the processes that do not lead say."""
