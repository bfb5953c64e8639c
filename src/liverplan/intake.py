"""A scan that was given to the viewer, planned as a new case, by a process of its own.

Run as `python -m liverplan.intake`. Everything is written below one hidden folder, which the viewer renames when the
plan is whole and removes otherwise; so whenever this process ends, nothing half-written stands among the cases.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from liverplan.case import Settings, plan_case
from liverplan.errors import LiverplanError
from liverplan.plan import Progress
from liverplan.revise import die_with_parent, stop
from liverplan.viewer.received import Received, unpack

_UNPACKED = 0.05
Tell = Callable[..., None]


def take_in(asked: Mapping[str, Any], progress: Progress) -> None:
    """Unpack what was packed, name the scan `scan`, and plan it into `out`, all below `home`.

    asked: home; name (of the case and of its scan); image and masks, or packed (a zip) instead.
    Raises InputError of every kind, OutputError, ResourceError.
    """
    home, name = Path(asked["home"]), str(asked["name"])
    if asked.get("packed"):
        progress(0.0, "unpacking")
        received = Received(home / "unpacked")
        received.home.mkdir()
        received.packed = Path(asked["packed"])
        unpack(received)
        image, masks = received.image(), received.masks()
    else:
        image, masks = Path(asked["image"]), Path(asked["masks"]) if asked.get("masks") else None
    ending = "" if image.is_dir() else image.name.partition(".")[2]
    scan = home / "scan" / (f"{name}.{ending}" if ending else name)
    scan.parent.mkdir()
    image.rename(scan)
    settings = Settings(scan, masks)
    plan_case(settings, home / "out", progress=lambda f, s: progress(_UNPACKED + (1.0 - _UNPACKED) * f, s))


def main(asked: Mapping[str, Any]) -> int:
    """Take it in; progress, the end or a refusal as lines of JSON on standard output."""

    def tell(**what: Any) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    try:
        take_in(asked, lambda fraction, stage: tell(fraction=fraction, stage=stage))
    except LiverplanError as error:
        tell(refused=f"{error.what}: got {error.got}; wanted {error.wanted}. {error.do}")
        return error.exit_status
    tell(done=True)
    return 0


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=die_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    sys.exit(main(wanted))
