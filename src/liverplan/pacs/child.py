"""One plan in a process of its own: what it says at its end, and that it does not outlive who started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_REASON = "reason.json"
_PARENT_DIED = 75


@dataclass(frozen=True)
class PlanWishes:
    """What every study is planned with; as the options of `liverplan plan`."""

    protocol: str = "nct06934018"
    model: str | None = None
    device: str = "auto"
    pictures: bool = True
    limit_s: float = 3600.0


@dataclass(frozen=True)
class Ended:
    """How a plan ended. reason: empty when it was made. refused: another try would end the same way."""

    reason: str
    refused: bool = False


def plan_in_child(
    images: Path, segmentation: Path | None, out: Path, wishes: PlanWishes, stop: threading.Event
) -> Ended | None:
    """Plan the study in `images` into `out`; None when `stop` was set before it ended."""
    asked = {
        "image": str(images),
        "segmentation": str(segmentation) if segmentation else None,
        "out": str(out),
        "protocol": wishes.protocol,
        "model": wishes.model,
        "device": wishes.device,
        "pictures": wishes.pictures,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    told = out.with_name(f"{out.name}.{_REASON}")
    told.unlink(missing_ok=True)
    with out.with_name(f"{out.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "liverplan.pacs.child", json.dumps(asked), str(told)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            status = _waited(process, wishes.limit_s, stop)
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
    if stop.is_set() and status != 0:
        return None
    return _ended(status, told, wishes.limit_s)


def _waited(process: subprocess.Popen[bytes], limit_s: float, stop: threading.Event) -> int | None:
    """The exit status; None after `limit_s` seconds or a stop."""
    waited_s, step_s = 0.0, 0.2
    while waited_s < limit_s and not stop.is_set():
        try:
            return process.wait(step_s)
        except subprocess.TimeoutExpired:
            waited_s += step_s
    return None


def _ended(status: int | None, told: Path, limit_s: float) -> Ended:
    if status == 0:
        return Ended("")
    if status is None:
        return Ended(f"the plan took longer than {limit_s:g} s", refused=True)
    if told.is_file():
        said = json.loads(told.read_text(encoding="utf-8"))
        return Ended(said["reason"], refused=said["refused"])
    why = f"by signal {-status}" if status < 0 else f"with status {status}"
    return Ended(f"the plan's process ended {why}")


def main(asked: dict[str, Any], told: Path) -> int:
    """Plan; on a refusal write why to `told`."""
    from liverplan.case import Settings, plan_case
    from liverplan.errors import InputError, LiverplanError
    from liverplan.io.folder import write_json_atomic

    image, segmentation = Path(asked["image"]), asked["segmentation"]
    settings = Settings(
        image,
        Path(segmentation) if segmentation else None,
        asked["protocol"],
        model=asked["model"],
        device=asked["device"],
        pictures=asked["pictures"],
    )
    try:
        plan_case(settings, Path(asked["out"]), overwrite=True)
    except LiverplanError as error:
        write_json_atomic(told, {"reason": str(error), "refused": isinstance(error, InputError)})
        return error.exit_status
    return 0


def _die_with_parent() -> None:
    """The parent holds the other end of stdin: it closes when the parent is gone, however it went."""
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(_PARENT_DIED)


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    sys.exit(main(json.loads(sys.argv[1]), Path(sys.argv[2])))
