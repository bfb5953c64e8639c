"""What the receiver owes is never forgotten, and one plan only is the one that is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liverplan.pacs.queue import DONE, FAILED, PLANNING, RECEIVING, SENDING, Queue

RESULTS = [("2.25.1", "results/1.2/1/dicom/seg.dcm"), ("2.25.2", "results/1.2/1/dicom/sr.dcm")]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    found = Queue(tmp_path / "queue.sqlite")
    yield found
    found.close()


def _planned(queue: Queue) -> None:
    queue.arrived("1.2", "1.2.1")
    queue.begin("1.2")
    assert queue.planned("1.2", "results/1.2/1", RESULTS)


def test_an_instance_that_comes_twice_counts_once(queue: Queue) -> None:
    assert queue.arrived("1.2", "1.2.1")
    assert not queue.arrived("1.2", "1.2.1")
    assert queue.study("1.2").instances == 1


def test_a_plan_of_part_of_a_study_is_not_sent(queue: Queue) -> None:
    queue.arrived("1.2", "1.2.1")
    queue.begin("1.2")
    queue.arrived("1.2", "1.2.2")
    assert not queue.planned("1.2", "results/1.2/1", RESULTS)
    assert queue.study("1.2").state == RECEIVING
    assert queue.unsent("1.2") == []


def test_a_plan_that_a_kill_broke_off_is_made_again(tmp_path: Path) -> None:
    killed = Queue(tmp_path / "queue.sqlite")
    killed.arrived("1.2", "1.2.1")
    killed.begin("1.2")
    after = Queue(tmp_path / "queue.sqlite")  # the other one is never closed
    assert after.study("1.2").state == PLANNING
    assert after.recover() == []
    assert [s.uid for s in after.waiting(RECEIVING)] == ["1.2"]
    after.close()
    killed.close()


def test_what_was_sent_before_a_kill_is_not_sent_again(tmp_path: Path) -> None:
    killed = Queue(tmp_path / "queue.sqlite")
    _planned(killed)
    killed.sent(RESULTS[0][1])
    after = Queue(tmp_path / "queue.sqlite")
    assert after.recover() == ["results/1.2/1"]
    assert after.unsent("1.2") == [RESULTS[1][1]]
    assert [s.uid for s in after.waiting(SENDING)] == ["1.2"]
    after.close()
    killed.close()


def test_own_results_are_known(queue: Queue) -> None:
    _planned(queue)
    assert queue.is_result("2.25.1")
    assert not queue.is_result("1.2.1")


def test_a_failed_try_waits(queue: Queue) -> None:
    _planned(queue)
    queue.again("1.2", SENDING, "no answer", after_s=100.0)
    assert queue.waiting(SENDING) == []
    assert (queue.study("1.2").tries, queue.study("1.2").reason) == (1, "no answer")
    queue.again("1.2", SENDING, "no answer", after_s=0.0)
    assert [s.tries for s in queue.waiting(SENDING)] == [2]


@pytest.mark.parametrize("end", [DONE, FAILED])
def test_more_of_a_study_opens_it_again(queue: Queue, end: str) -> None:
    if end == DONE:
        _planned(queue)
        queue.finish("1.2")
    else:
        queue.arrived("1.2", "1.2.1")
        queue.begin("1.2")
        queue.failed("1.2", "no liver")
    assert queue.study("1.2").state == end
    queue.arrived("1.2", "1.2.1")
    assert queue.study("1.2").state == end, "the same instance again is nothing new"
    queue.arrived("1.2", "1.2.2")
    assert (queue.study("1.2").state, queue.study("1.2").reason) == (RECEIVING, "")


def test_more_that_comes_while_results_are_sent_is_planned_afterwards(queue: Queue) -> None:
    _planned(queue)
    queue.arrived("1.2", "1.2.2")
    assert queue.study("1.2").state == SENDING
    queue.finish("1.2")
    assert queue.study("1.2").state == RECEIVING
