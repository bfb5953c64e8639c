"""`liverplan schema`: what other programs read and write, and a record to fill in."""

import json

import jsonschema
import pytest
import yaml

from liverplan.cli.main import run


@pytest.mark.parametrize("name", ["report", "clinical", "protocol"])
def test_every_schema_is_a_valid_json_schema(name, capsys):
    assert run(["schema", name]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_the_template_is_an_empty_record_with_every_field_explained(capsys):
    assert run(["schema", "clinical", "--template"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text) is None
    run(["schema", "clinical"])
    for field in json.loads(capsys.readouterr().out)["properties"]:
        assert f"#{field}:" in text


def test_an_unknown_schema_or_template_is_wrong_usage_and_says_what_there_is(capsys):
    assert run(["schema", "patient"]) == 2
    assert "clinical" in capsys.readouterr().err
    assert run(["schema", "report", "--template"]) == 2
    assert "clinical" in capsys.readouterr().err
