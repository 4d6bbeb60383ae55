"""Settings: what is refused and how it is said, and what texts and files become."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mvcap import config
from mvcap.errors import ConfigError, PluginError


@dataclass(frozen=True)
class Inner:
    gate_sigma: float = 3.0
    rounds: int = 2


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    on: bool = True
    inner: Inner = field(default_factory=Inner)
    formats: tuple[str, ...] = ("trc",)
    axes: Literal["z-up", "y-up"] = "z-up"
    seed: int | None = None


def refused(kind, values, *words):
    with pytest.raises(ConfigError) as caught:
        config.build(kind, values, "take")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_overrides_are_laid_over_defaults():
    made = config.build(Outer, {"inner": {"gate_sigma": 4}, "formats": "csv", "seed": None})
    assert made == Outer(inner=Inner(4.0), formats=("csv",)) and isinstance(made.inner.gate_sigma, float)
    assert config.build(Outer, config.plain(Outer(seed=3))) == Outer(seed=3)
    assert config.build(Outer, json.loads(json.dumps(config.plain(Outer())))) == Outer()


def test_an_unknown_key_names_the_nearest_and_all():
    refused(Outer, {"nmae": "b"}, "'take.nmae'", "did you mean 'name'", "available: name, on, inner")
    refused(Outer, {"inner": {"gate_sgma": 1}}, "'take.inner.gate_sgma'", "did you mean 'gate_sigma'")
    refused(Outer, {"zzz": 1}, "unknown config key 'take.zzz'; available: name")
    refused(Outer, {3: 1}, "'take.3'")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": 3}, ("'take.name' must be of type str, not 3 (int)",)),
        ({"on": 1}, ("'take.on' must be of type bool",)),
        ({"on": "yes"}, ("'take.on' must be of type bool",)),
        ({"inner": {"rounds": 2.5}}, ("'take.inner.rounds' must be of type int",)),
        ({"inner": {"rounds": True}}, ("'take.inner.rounds'", "True (bool)")),
        ({"inner": {"gate_sigma": True}}, ("'take.inner.gate_sigma' must be of type float",)),
        ({"inner": {"gate_sigma": "wide"}}, ("'take.inner.gate_sigma' must be of type float", "'wide'")),
        ({"inner": {"gate_sigma": None}}, ("'take.inner.gate_sigma' must be of type float",)),
        ({"inner": {"gate_sigma": float("nan")}}, ("'take.inner.gate_sigma'", "finite")),
        ({"inner": {"gate_sigma": float("inf")}}, ("'take.inner.gate_sigma'", "finite")),
        ({"inner": 3}, ("take.inner", "expected keys and values", "3 (int)")),
        ({"formats": ["trc", 3]}, ("'take.formats' must be of type str, not 3",)),
        ({"axes": "x-up"}, ("'take.axes' must be one of z-up, y-up, not 'x-up'",)),
        ({"seed": "one"}, ("'take.seed' must be of type int",)),
        ([1], ("config take: expected keys and values, found [1] (list)",)),
    ],
)
def test_a_wrong_type_names_the_key(values, words):
    refused(Outer, values, *words)


def test_texts_become_overrides():
    assert config.assignments([]) == {}
    texts = ["track.gate_sigma=4", "export.formats=[trc, c3d]", "estimator=a.b:C", "track.join_s=1e-1", "a.b=x=y"]
    assert config.assignments(texts) == {
        "track": {"gate_sigma": 4, "join_s": "1e-1"},
        "export": {"formats": ["trc", "c3d"]},
        "estimator": "a.b:C",
        "a": {"b": "x=y"},
    }
    assert config.assignments(["a.b=1", "a.c=2", "a.b=3", "d="]) == {"a": {"b": 3, "c": 2}, "d": None}
    assert config.assignments(["a=1", "a.b=2"]) == {"a": {"b": 2}}
    assert config.build(Inner, {"gate_sigma": "1e-1"}).gate_sigma == 0.1  # YAML takes a number without a dot for text


@pytest.mark.parametrize("text", ["track", "=3", " =3", "track.gate_sigma=[1", "a=\x1bb", "a='b"])
def test_texts_of_another_form_are_refused(text):
    with pytest.raises(ConfigError, match="--set") as caught:
        config.assignments([text])
    assert "\n" not in str(caught.value)


nested = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
)
overrides = st.dictionaries(st.sampled_from("abc"), nested, max_size=3)


@given(overrides, overrides, overrides)
def test_merging_is_laying_over(first, second, third):
    before = json.dumps([first, second])
    both = config.merge(first, second)
    assert config.merge({}, first) == first == config.merge(first, {}) == config.merge(first, first)
    assert config.merge(both, second) == both and set(both) == {*first, *second}
    for key, value in second.items():
        assert isinstance(value, dict) or both[key] == value
    assert config.merge(config.merge(first, second), third).keys() == {*first, *second, *third}
    assert json.dumps([first, second]) == before


def test_files_are_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    for text, words in (
        ("- 1\n", "expected keys and values"),
        ("a: [1\nb: 2\n", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=words) as caught:
            config.read(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00a")
    for unreadable in (path, tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.read(unreadable)
    path.write_text("# nothing yet\n")
    assert config.read(path) == {}


def test_a_section_with_all_keys_commented_out_is_the_default():
    assert config.build(Outer, {"inner": None}) == config.build(Outer, {})


@pytest.mark.parametrize(
    "value",
    [
        *("/data/take #2", "# 1", "2024 #2", "C:\\takes\\a: b", "a: b", "*.json", "&x", "!x y", "@home", "- a", "%d"),
        *("a'b", "2024-05-01"),
    ],
)  # fmt: skip
def test_a_text_is_kept_as_it_stands(value, tmp_path):
    assert config.assignments([f"a.b= {value} "]) == {"a": {"b": value}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"a": value}))
    assert config.read(path) == {"a": value}


def test_quotes_numbers_lists_and_mappings_are_yaml():
    texts = ['a="x # y"', "b=[1, 'p #2']", "c={d: 1.5}", "e=true", "f=-3", "g=~", "h='7'"]
    assert config.assignments(texts) == {
        "a": "x # y", "b": [1, "p #2"], "c": {"d": 1.5}, "e": True, "f": -3, "g": None, "h": "7",
    }  # fmt: skip


def test_settings_of_a_plugin_in_a_dotted_module_can_be_set():
    texts = [
        "refiners.my.own.module:Calm.gain=2",
        "refiners.my.own.module:Calm.deep.er=x",
        "refiner=my.own.module:Calm",
    ]
    assert config.assignments(texts) == {
        "refiners": {"my.own.module:Calm": {"gain": 2, "deep": {"er": "x"}}},
        "refiner": "my.own.module:Calm",
    }
    assert config.assignments(["estimators.a.b:C={gain: 2}"]) == {"estimators": {"a.b:C": {"gain": 2}}}
    assert config.assignments(["estimators.openpose.folder=C:/x.y"]) == {
        "estimators": {"openpose": {"folder": "C:/x.y"}}
    }


def test_a_key_of_ten_thousand_parts_is_refused():
    with pytest.raises(ConfigError, match="--set"):
        config.assignments([".".join("a" * 10_000) + "=1"])


FOREIGN = (
    {"estimator": "stranger_a:X"},
    {"refiners": {"stranger_b.deep:Y": {}}},
    {"export": {"formats": ["trc", "stranger_c:write"]}},
    {"export": {"formats": "stranger_d:write"}},
)


@pytest.mark.parametrize("overrides", FOREIGN)
def test_foreign_plugins_of_a_session_are_refused_unless_its_user_allows_them(overrides, monkeypatch):
    monkeypatch.setattr(config, "_allowed", set())
    monkeypatch.delenv(config.PLUGIN_VARIABLE, raising=False)
    path = Path("take/config.yaml")
    (name,) = config.foreign_plugins(overrides)
    with pytest.raises(PluginError, match=f"config.yaml names the plug-in '{name}'.*MVCAP_PLUGINS"):
        config.allowed_overrides(overrides, path)
    module = name.partition(":")[0]
    for allowed in (name, module, module.partition(".")[0], f"other, {module}"):
        monkeypatch.setenv(config.PLUGIN_VARIABLE, allowed)
        assert config.allowed_overrides(overrides, path) == overrides
    monkeypatch.setenv(config.PLUGIN_VARIABLE, f"{module[:-1]},{module}_,{name}_")
    with pytest.raises(PluginError):
        config.allowed_overrides(overrides, path)
    config.allow_plugins(name)
    assert config.allowed_overrides(overrides, path) == overrides


def test_names_of_the_table_are_not_foreign():
    assert (
        config.foreign_plugins({"estimator": "openpose", "refiners": {"bones": {}}, "export": {"formats": ["trc"]}})
        == []
    )
    assert config.foreign_plugins({"estimator": 3, "refiners": [1], "export": 2}) == []
