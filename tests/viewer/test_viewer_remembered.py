"""How a case was looked at is kept beside it, and what was put there by others is not trusted."""

from __future__ import annotations

import json

import pytest

from liverplan.viewer.remembered import FILE, recall, remember

SEEN = {"tab": "Plane", "margin_mm": 8.5, "dark": True, "at_lps_mm": [1.0, -2.0, 3.5]}


def test_what_is_remembered_is_recalled(tmp_path):
    remember(tmp_path, SEEN | {"saved": "no variable that is kept"})
    assert recall(tmp_path) == SEEN


def test_nothing_is_recalled_where_nothing_was_kept(tmp_path):
    assert recall(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", json.dumps({"tab": 7, "dark": "yes", "at_lps_mm": [1, 2]}), json.dumps({"who": "x" * 30_000})],
)
def test_what_is_not_as_it_should_be_is_left_away(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert recall(tmp_path) == {}


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    remember(tmp_path / "gone", SEEN)
    assert not (tmp_path / "gone").exists()
