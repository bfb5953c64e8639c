"""The receiver as a process, sent to and killed; the archive is a C-STORE server in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pacs_case import LESIONS, files_of, half_of, study_uid, write_study
from pydicom import Dataset, dcmread
from receiver_process import ReceiverProcess

from liverplan.errors import ArchiveError
from liverplan.pacs.addresses import Node
from liverplan.pacs.archive import objects_in, send
from liverplan.pacs.child import PlanWishes
from liverplan.pacs.listen import Listening, listen
from liverplan.pacs.objects import IMAGE, OWN, SEG, header_of
from liverplan.pacs.receiver import Receiver, serving

COARSE = (6.0, 6.0, 6.0)
OPTIONS = ("--idle-s", "1", "--port", "0", "--no-pictures", "--first-wait-s", "0.2")


class Archive:
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.contents: list[bytes] = []
        self.fails = 0
        """So many objects are refused at first."""

    def keep(self, content: bytes) -> int:
        if self.fails:
            self.fails -= 1
            return 0xA700
        header = header_of(content)
        self.sent.append((header.study, header.instance))
        self.contents.append(content)
        return 0x0000


@contextmanager
def archive() -> Iterator[tuple[Archive, str]]:
    found = Archive()
    with serving(Receiver("ARCHIVE", port=0, allowed=("LIVERPLAN",)), found.keep) as port:
        yield found, f"ARCHIVE@127.0.0.1:{port}"


def test_killed_twice_and_refused_once_every_study_gets_its_results_once(tmp_path: Path) -> None:
    for n in (1, 2):
        write_study(tmp_path / str(n), n, spacing_mm=COARSE, lesions=LESIONS[:1])
    empty = write_study(tmp_path / "3", 3, spacing_mm=COARSE)
    with archive() as (found, address):
        found.fails = 1
        receiver = ReceiverProcess(tmp_path / "state", "--send-to", address, *OPTIONS)
        send(_at(receiver.start()), objects_in(half_of(tmp_path / "1", tmp_path / "half")), "ANYONE")
        receiver.kill()  # half a study has arrived
        port = _at(receiver.start())
        send(port, objects_in(tmp_path / "1"), "ANYONE")
        send(port, objects_in(tmp_path / "2"), "ANYONE")
        send(port, [tmp_path / "3" / "seg.dcm"], "ANYONE")
        receiver.wait_for(lambda: bool(receiver.events("planning")), 120)
        receiver.kill()  # a plan is being made
        port = _at(receiver.start())
        receiver.wait_for(lambda: receiver.counts() == {"done": 2, "failed": 1}, 300)
        _send_back(port, found, tmp_path)
        assert receiver.stop() == 0
    assert sorted(study for study, _ in found.sent) == sorted([study_uid(1)] * 3 + [study_uid(2)] * 3)
    assert len({uid for _, uid in found.sent}) == 6
    assert len(receiver.events("sending failed")) == 1
    failed = next(s for s in receiver.status()["studies"] if s["uid"] == empty)
    assert failed["state"] == "failed"
    assert failed["reason"]
    assert "Zoë" not in (tmp_path / "state" / "events.jsonl").read_text(encoding="utf-8")
    assert len(receiver.events("left out")) == 6, "results that come back are not planned"


def test_an_object_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    write_study(tmp_path / "study", with_seg=False, spacing_mm=COARSE)
    file = files_of(tmp_path / "study")[0]
    odd = file.read_bytes().replace(study_uid(1).encode(), b"../../up".ljust(len(study_uid(1)), b"/"))
    (tmp_path / "odd.dcm").write_bytes(odd)
    with _listening(tmp_path / "state") as node, pytest.raises(ArchiveError, match="0xC000"):
        send(node, [tmp_path / "odd.dcm"], "ANYONE")
    assert not (tmp_path / "state" / "studies").exists()


def test_only_named_titles_may_connect(tmp_path: Path) -> None:
    write_study(tmp_path / "study", with_seg=False, spacing_mm=COARSE)
    files = files_of(tmp_path / "study")[:1]
    with _listening(tmp_path / "state", allowed=("PACS",)) as node:
        with pytest.raises(ArchiveError, match="refused the connection"):
            send(node, files, "STRANGER")
        with pytest.raises(ArchiveError, match="refused the connection"):
            send(Node("OTHER", node.host, node.port), files, "PACS")
        send(node, files, "PACS")


def test_the_network_is_not_listened_to_without_naming_who_may_connect(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="everyone in the network"):
        listen(_told(tmp_path / "state", Receiver(host="0.0.0.0", port=0)), threading.Event())


def test_a_state_folder_has_one_receiver(tmp_path: Path) -> None:
    with _listening(tmp_path / "state"), pytest.raises(ArchiveError, match="another receiver"):
        listen(_told(tmp_path / "state", Receiver(port=0)), threading.Event())


def test_masks_that_the_own_model_drew_do_not_come_back_as_given_ones(tmp_path: Path) -> None:
    write_study(tmp_path / "study", spacing_mm=COARSE)
    seg = dcmread(tmp_path / "study" / "seg.dcm")
    assert _kind(seg, tmp_path) == SEG
    seg.Manufacturer = "liverplan"
    assert _kind(seg, tmp_path) == SEG, "masks that were given to this program are a reader's"
    for segment in seg.SegmentSequence:
        segment.SegmentAlgorithmType = "AUTOMATIC"
    assert _kind(seg, tmp_path) == OWN
    seg.Manufacturer = "somebody"
    assert _kind(seg, tmp_path) == SEG
    assert header_of(files_of(tmp_path / "study" / "ct")[0].read_bytes()).kind == IMAGE


def _kind(dataset: Dataset, folder: Path) -> str:
    dataset.save_as(folder / "one.dcm")
    return header_of((folder / "one.dcm").read_bytes()).kind


def _at(port: int) -> Node:
    return Node("LIVERPLAN", "127.0.0.1", port)


def _send_back(node: Node, found: Archive, folder: Path) -> None:
    """As an archive does that forwards everything it gets."""
    back = folder / "back"
    back.mkdir()
    for n, content in enumerate(found.contents):
        (back / f"{n}.dcm").write_bytes(content)
    send(node, objects_in(back), "ANYONE")


def _told(state: Path, receiver: Receiver) -> Listening:
    return Listening(state, receiver, wishes=PlanWishes(pictures=False))


@contextmanager
def _listening(state: Path, allowed: tuple[str, ...] = ()) -> Iterator[Node]:
    """A receiver in threads of this process, as long as the block runs."""
    stop, ready, ports = threading.Event(), threading.Event(), []

    def is_ready(port: int) -> None:
        ports.append(port)
        ready.set()

    thread = threading.Thread(target=listen, args=(_told(state, Receiver(port=0, allowed=allowed)), stop, is_ready))
    thread.start()
    try:
        assert ready.wait(60)
        yield _at(ports[0])
    finally:
        stop.set()
        thread.join()
