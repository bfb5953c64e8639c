"""What a cohort is planned with, and how."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from liverplan import __version__
from liverplan.cohort.cases import CohortCase
from liverplan.protocol import DEFAULT_PROTOCOL, load_protocol

FORMAT = 1
"""Of what a case's folder holds for the cohort; another number means that every case is planned again."""
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Request:
    """What every case is planned with. The hashes are filled in by `pinned`.

    models_sha256: (modality, sha256) where the image of a case decides which model plans it: no model is named, or a
    folder with several.
    """

    protocol: str | Path = DEFAULT_PROTOCOL
    model: str | Path | None = None
    device: str = "auto"
    pictures: bool = True
    protocol_sha256: str = ""
    model_sha256: str | None = None
    models_sha256: tuple[tuple[str, str], ...] = ()

    def context(self, case: CohortCase) -> str:
        """One hash over everything but the files that decides the result of a case."""
        parts = {
            "format": FORMAT,
            "version": __version__,
            "protocol": self.protocol_sha256,
            "model": (self.model_sha256, self.models_sha256) if case.segmentation is None else None,
            "modality": case.modality,
            "series_uid": case.series_uid,
            "margin_mm": case.margin_mm,
            "clinical": case.clinical,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()

    def key(self, case: CohortCase, content: str) -> str:
        """What a finished case is known by: the same key is the same result."""
        return hashlib.sha256(f"{self.context(case)} {content}".encode()).hexdigest()


@dataclass(frozen=True)
class Options:
    """How a cohort is run. None of it changes a result.

    workers: cases at a time, None for as many as fit. retry: further attempts at a case whose worker died or ran out
    of memory or disk. limit: the first so many cases only. retry_failed: tries again what failed before for good.
    case_timeout_s: a case that takes longer fails, None for no limit.
    """

    engine: str = "local"
    address: str | None = None
    workers: int | None = None
    gpus_per_case: float | None = None
    resume: bool = True
    retry: int = 2
    retry_failed: bool = False
    limit: int | None = None
    case_timeout_s: float | None = None

    def plain(self) -> dict[str, object]:
        """For run.json."""
        return asdict(self)


def pinned(request: Request, needs_model: bool) -> Request:
    """The request with the hashes of its protocol and model. Raises ProtocolError, ModelError."""
    protocol = load_protocol(request.protocol)
    # Workers may run in another folder: a protocol or a model of the user's own goes by its full path.
    own = Path(request.protocol)
    pinned_protocol = own.absolute() if own.suffix and own.exists() else request.protocol
    digest: str | None = None
    by_modality: tuple[tuple[str, str], ...] = ()
    model = request.model
    if needs_model:
        from liverplan.segmentation.models import MODEL_OF, find_model

        digest = find_model(model).sha256
        by_modality = tuple((m, find_model(model, m).sha256) for m in sorted(MODEL_OF))
        if len({sha256 for _, sha256 in by_modality}) == 1:
            by_modality = ()
        model = Path(model).absolute() if model is not None and Path(model).is_dir() else model
    request = replace(request, protocol=pinned_protocol, model=model, protocol_sha256=protocol.sha256)
    return replace(request, model_sha256=digest, models_sha256=by_modality)
