"""All settings in one tree: valid defaults, unknown names refused, and a file of defaults that matches the code."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mvcap import config, plugins
from mvcap.cli import settings
from mvcap.errors import ConfigError, MvcapError, PluginError

DEFAULT_YAML = Path(__file__).parents[3] / "configs" / "default.yaml"


def test_all_defaults_hold_and_round_trip():
    everything = json.loads(json.dumps(settings.defaults()))
    settings.check_overrides(everything)
    settings.check_overrides({})
    assert config.plain(config.build(settings.Settings, everything)) == settings.defaults()
    assert set(everything["estimators"]) == set(plugins.TABLE["estimator"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trak": {}}, "did you mean 'track'"),
        ({"track": {"min_second": 1}}, "did you mean 'min_seconds'"),
        ({"track": {"gate_sigma": 0}}, "gate_sigma"),
        ({"triangulate": {"gate_sigma": -1}}, "triangulate.gate_sigma"),
        ({"refine": {"overlap_s": -1}}, "refine.overlap_s"),
        ({"estimate": {"threads": -1}}, "estimate.threads"),
        ({"report": {"moments": 0}}, "moments"),
        ({"export": {"axes": "up"}}, "z-up, y-up"),
        ({"estimators": {"oracle": {"noise_p": 2}}}, "'estimators.oracle.noise_p'; did you mean"),
        ({"estimators": {"blazpose": {}}}, "did you mean 'blazepose'"),
        ({"estimators": {"openpose": 3}}, "estimators.openpose"),
        ({"estimators": 3}, "estimators"),
        ({"associators": {"geometry": {"most_pairs": "two"}}}, "'associators.geometry.most_pairs' must be of type int"),
        ({"estimator": 3}, "'estimator' must be of type str"),
        ({"estimator": "blazpose"}, "did you mean 'blazepose'"),
        ({"refiner": "bone"}, "did you mean 'bones'"),
        ({"estimator": "no.such.module:Thing"}, "cannot be loaded"),
        ({"estimator": "json:Thing"}, "cannot be loaded"),
        ({"estimator": ":Thing"}, "cannot be loaded"),
        ({"estimator": ".json:Thing"}, "cannot be loaded"),
        ({"estimator": "json:JSONDecoder"}, "not a class with a Config"),
        ({"estimator": "json:dumps"}, "not a class with a Config"),
    ],
)
def test_unknown_keys_names_and_values_are_refused(changes, words):
    with pytest.raises(MvcapError, match=re.escape(words)) as caught:
        settings.check_overrides(changes)
    assert isinstance(caught.value, ConfigError | PluginError) and "\n" not in str(caught.value)


def test_settings_that_belong_together_may_come_one_by_one():
    settings.check_overrides({"estimator": "oracle"})
    settings.check_overrides({"estimators": {"oracle": {"noise_px": 2}}})


def test_the_file_of_defaults_is_the_code():
    assert yaml.safe_load(DEFAULT_YAML.read_text(encoding="utf-8")) == json.loads(json.dumps(settings.defaults()))


def test_every_key_of_the_file_of_defaults_is_explained():
    text = DEFAULT_YAML.read_text(encoding="utf-8")
    lines = text.splitlines()
    bare = [path for path, line in keys_of(yaml.compose(text)) if not explained(lines, line)]
    assert not bare, f"no comment above or beside: {bare}"


def keys_of(node, path=""):
    """Every key with the number of its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{path}.{key.value}".lstrip(".")
            yield name, key.start_mark.line
            yield from keys_of(value, name)


def explained(lines, number):
    beside = re.search(r"\s#\s*\w", lines[number])
    above = number > 0 and lines[number - 1].lstrip().startswith("#")
    return bool(beside or above)


@pytest.mark.parametrize("kind", plugins.DEFAULT)
def test_every_plugin_with_settings_stands_in_the_tree(kind):
    held = settings.defaults()
    assert held[kind] == plugins.DEFAULT[kind] and set(held[f"{kind}s"]) == set(plugins.TABLE[kind])
    for name, values in held[f"{kind}s"].items():
        assert config.build(plugins.plugin_class(kind, name).Config, values, name) is not None
        for key in values:
            settings.check_overrides({f"{kind}s": {name: {key: values[key]}}})
        with pytest.raises(ConfigError, match=rf"{kind}s\.{name}\.no_such_key"):
            settings.check_overrides({f"{kind}s": {name: {"no_such_key": 1}}})


@pytest.mark.parametrize("kind", plugins.DEFAULT)
def test_a_plugin_given_by_its_class_is_checked_by_its_own_settings(kind):
    elsewhere = plugins.TABLE[kind][plugins.DEFAULT[kind]]  # "package.module:Name" of one that we know
    settings.check_overrides({kind: elsewhere, f"{kind}s": {elsewhere: {}}})
    with pytest.raises(ConfigError, match="no_such_key"):
        settings.check_overrides({kind: elsewhere, f"{kind}s": {elsewhere: {"no_such_key": 1}}})


def test_checking_changes_nothing():
    given = {"track": {"min_seconds": 1}, "estimators": {"oracle": {"noise_px": 2}}, "estimator": "oracle"}
    before = json.dumps(given)
    settings.check_overrides(given)
    assert json.dumps(given) == before
    settings.defaults()["track"]["min_seconds"] = -1
    assert settings.defaults()["track"]["min_seconds"] >= 0


def test_the_document_is_the_tree_of_defaults():
    text = settings.document()
    assert yaml.safe_load(text) == json.loads(json.dumps(settings.defaults()))
    assert max(map(len, text.splitlines())) <= 120
    settings.check_overrides(yaml.safe_load(text))


@pytest.mark.parametrize("kind", plugins.DEFAULT)
def test_the_part_of_a_plugin_can_be_copied_alone(kind):
    for name in plugins.TABLE[kind]:
        alone = yaml.safe_load("\n".join([f"{kind}s:", *settings.plugin_block(kind, name)]))
        assert alone == {f"{kind}s": {name: json.loads(json.dumps(settings.defaults()[f"{kind}s"][name]))}}
        settings.check_overrides(alone)
