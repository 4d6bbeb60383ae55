"""Options that verbs share: what reaches a command, in which order settings win, and what is refused."""

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mvcap.cli import options
from mvcap.errors import ConfigError, InputError, PluginError


def called(decorate, *words):
    """Return what reaches a command whose options these are."""
    got = {}

    @click.command()
    @decorate
    def command(**values):
        got.update(values)

    result = CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)
    if result.exception:
        raise result.exception
    return got


def test_a_setting_wins_over_the_file_and_later_ones_over_earlier(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("track: {min_seconds: 1.0, join_s: 2.0}\nestimator: oracle\n")
    words = ("--config", file, "--set", "track.join_s=3", "--set", "track.join_s=4", "--set", "refiner=hampel")
    got = called(options.settings_options, *words)
    assert got == {"changes": {"track": {"min_seconds": 1.0, "join_s": 4}, "estimator": "oracle", "refiner": "hampel"}}
    assert called(options.settings_options) == {"changes": {}}


def test_live_is_a_setting_of_tracking_and_has_the_last_word():
    assert called(options.track_options, "--live")["changes"] == {"track": {"live": True}}
    got = called(options.track_options, "--live", "--set", "track.live=false", "--set", "track.join_s=1")
    assert got["changes"] == {"track": {"live": True, "join_s": 1}}
    assert called(options.track_options)["changes"] == {}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("--set", "track.join=1"), ConfigError),
        (("--set", "track"), ConfigError),
        (("--set", "estimator=nothing"), PluginError),
        (("--config", "none.yaml"), ConfigError),
        (("--live",), click.NoSuchOption),
    ],
)
def test_what_there_is_not_never_reaches_the_command(words, kind):
    with pytest.raises(kind):
        called(options.settings_options, *words)


def test_rig_options_are_there_once_and_the_rig_may_be_required():
    got = called(options.rig_options(required=False))
    assert got == {"rig": None, "rig_unit": None, "rig_scale": False, "subset": False, "trim": False, "rate_hz": None,
                   "start": None, "stop": None, "fov_deg": None}  # fmt: skip
    got = called(options.rig_options(required=True), "--rig", "a.yaml", "--rig-unit", "mm", "--rate", "25", "--trim")
    assert str(got["rig"]) == "a.yaml" and (got["rig_unit"], got["rate_hz"], got["trim"]) == ("mm", 25.0, True)
    with pytest.raises(click.MissingParameter):
        called(options.rig_options(required=True))
    with pytest.raises(click.BadParameter):
        called(options.rig_options(required=False), "--rig-unit", "inch")


def test_benchmark_options_split_their_lists():
    got = called(
        options.benchmark_options, "--views", "cam1, cam 2,cam3", "--clips", "a", "--compare", "x", "--compare", "y"
    )
    assert got["views"] == ("cam1", "cam 2", "cam3") and got["clips"] == ("a",) and got["others"] == ("x", "y")
    assert all(got[name] is None for name in ("noise_px", "detections", "poses", "session", "json_file", "plot_file"))
    none = called(options.benchmark_options)
    assert none["views"] is None and none["clips"] is None and none["others"] == ()
    with pytest.raises(click.BadParameter):
        called(options.benchmark_options, "--noise", "-1")


@pytest.mark.parametrize(
    ("words", "others", "benchmark", "files"),
    [
        (("shelf", "DIR"), (), ("shelf", "DIR"), []),
        (("shelf", "DIR"), ("a.json",), ("shelf", "DIR"), ["a.json"]),
        (("shelf", "DIR", "b.json", "c.json"), ("a.json",), ("shelf", "DIR"), ["a.json", "b.json", "c.json"]),
        ((), ("a.json",), (), ["a.json"]),
        (("b.json", "c.json"), ("a.json",), (), ["a.json", "b.json", "c.json"]),
    ],
)
def test_a_benchmark_is_distinguished_from_files(words, others, benchmark, files):
    assert options.benchmark_and_files(words, others) == (benchmark, files)


@pytest.mark.parametrize(
    ("words", "others"), [((), ()), (("shelf",), ()), (("shelf",), ("a.json",)), (("shelf", "DIR", "b.json"), ())]
)
def test_neither_a_benchmark_nor_a_comparison_is_refused(words, others):
    with pytest.raises(InputError, match="--compare"):
        options.benchmark_and_files(words, others)


@given(st.lists(st.sampled_from(["a.json", "b.json"]), max_size=3), st.lists(st.sampled_from(["c.json"]), min_size=1))
def test_every_file_is_compared_once_and_in_order(words, others):
    _, files = options.benchmark_and_files(("humaneva", "DIR", *words), tuple(others))
    assert files == [*others, *words]
    assert options.benchmark_and_files(tuple(words), tuple(others)) == ((), [*others, *words])


def test_flags_that_stand_alone():
    for decorate, word, name in ((options.json_option, "--json", "as_json"), (options.redo_option, "--redo", "redo")):
        assert called(decorate) == {name: False} and called(decorate, word) == {name: True}
    assert str(called(options.session_argument, "made")["session"]) == "made"


def test_an_error_is_one_line_that_a_terminal_shows_and_does_not_obey():
    from mvcap.cli.main import one_line

    assert one_line(ValueError("a\n  b\x1b[2Jc\u202ed")) == "a b\\x1b[2Jc\\u202ed"
    assert one_line(ValueError("K\u00fcche \u65e5")) == "K\u00fcche \u65e5"
    long = one_line(ValueError("begin " + "x" * 9000 + " end"))
    assert len(long) < 1600 and long.startswith("begin") and long.endswith("end")


def test_a_file_of_settings_allows_no_plug_in(tmp_path):
    """It may have come with the session; what is typed is the user's."""
    file, ran = tmp_path / "own.yaml", tmp_path / "ran"
    (tmp_path / "somebodys_module.py").write_text(f"open({str(ran)!r}, 'w')")
    file.write_text("refiner: somebodys_module:Refiner\n")
    with pytest.raises(PluginError, match="allow-plugin"):
        called(options.settings_options, "--config", file)
    assert not ran.exists()
