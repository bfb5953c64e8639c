"""Every error says what, got, wanted and do, and has the exit status that the contract states."""

from __future__ import annotations

import inspect

import pytest

from liverplan import errors
from liverplan.errors import InputError, LiverplanError, ResourceError

ALL = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, LiverplanError)]


@pytest.mark.parametrize("kind", ALL)
def test_an_error_says_what_got_wanted_and_do(kind: type[LiverplanError]) -> None:
    error = kind("the mask is empty", got="no voxels", wanted="a liver", do="Segment the liver.")
    assert (error.what, error.got, error.wanted, error.do) == (
        "the mask is empty",
        "no voxels",
        "a liver",
        "Segment the liver.",
    )
    for part in ("the mask is empty", "got no voxels", "wanted a liver", "Segment the liver."):
        assert part in str(error)


@pytest.mark.parametrize("kind", ALL)
def test_refused_input_ends_with_3_and_spent_resources_with_4(kind: type[LiverplanError]) -> None:
    expected = 3 if issubclass(kind, InputError) else 4 if issubclass(kind, ResourceError) else 1
    assert kind.exit_status == expected


def test_the_four_parts_cannot_be_left_out() -> None:
    with pytest.raises(TypeError):
        InputError("something went wrong")  # type: ignore[call-arg]


def test_the_tree_in_the_docstring_names_every_class() -> None:
    assert errors.__doc__ is not None
    assert [c.__name__ for c in ALL if c.__name__ not in errors.__doc__] == []
