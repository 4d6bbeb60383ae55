"""Training: a small task is learned, an interruption changes nothing, what is damaged is said, worse is not kept."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import small_tasks
import torch
from synthetic_take import ring_rig, save_rig
from torch import nn
from toy_tasks import Net, Toy

from mvcap import assets, plugins
from mvcap.cli import main
from mvcap.drawing import learning_curves
from mvcap.errors import AssetError, ConfigError, InputError, PluginError, StaleError
from mvcap.progress import silent
from mvcap.train import keep_or_reject, train
from mvcap.training import loop, onnx_export, samples
from mvcap.weights import networks

QUICK = {"steps": 60, "takes": 6, "held_out_takes": 3, "workers": 1, "threads": 1, "checkpoint_s": 0, "measure_s": 0.05}
TOY = "toy_tasks:Toy"


@dataclass(frozen=True)
class NoTake:
    seed: int


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """No take is made, nothing is in the package and in the cache."""
    monkeypatch.setattr(samples.Source, "_take", lambda source, seed: NoTake(seed))
    monkeypatch.setattr(learning_curves, "learning_curves", lambda lines, title: b"")
    monkeypatch.setattr(assets, "path", lambda name: tmp_path)
    monkeypatch.setattr(networks, "SHIPPED", tmp_path / "weights")
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def quick(out, task=TOY, **asked):
    return train(task, out, overrides={**QUICK, **asked.pop("overrides", {})}, **asked)


class Killed(KeyboardInterrupt):
    pass


def killed_at(stage, step):
    def progress(name, done, total):
        if (name, done) == (stage, step):
            raise Killed

    return progress


def test_it_learns(places):
    made = quick(places / "out")
    first = json.loads((places / "out" / "metrics.jsonl").read_text().splitlines()[0])
    assert made.metrics["error"] < 0.25 < first["held_out"]["error"] and made.before is None and made.kept is None
    network = networks.read(made.file)
    sample = Toy().samples(None, 77)[0]
    (far,) = network(sample["node"][None], sample["edge"][None], np.ones((1, len(sample["node"])), bool))
    assert np.abs(far[0] - sample["far"]).mean() < 0.5
    assert (places / "out" / "curves.png").exists()
    card = network.card
    assert card["name"] == "toy" and card["metrics"]["error"] == pytest.approx(made.metrics["error"], rel=1e-4)
    assert card["about"].startswith("How far") and card["limitations"] == ["a toy"] and card["samples"] == 120
    assert {one["licence"] for one in card["data"]} == {"MIT", "Apache-2.0", "figures"}
    assert card["config"]["rate"] == 1e-2
    assert 1 < network.limits["edge"][1] < 3


def weights(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {**state["average"], **{f"now {name}": value for name, value in state["network"].items()}}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_an_interruption_changes_nothing(places):
    whole = quick(places / "whole")
    for stage, step in (("samples", 4), ("learning", 1), ("learning", 37)):
        with pytest.raises(Killed):
            quick(places / "cut", progress=killed_at(stage, step))
        assert not (places / "cut" / "toy.onnx").exists()
    at = torch.load(places / "cut" / "checkpoint.pt", weights_only=True)["step"]
    assert 30 < at <= 37
    cut = quick(places / "cut")
    assert equal(weights(places / "whole"), weights(places / "cut"))
    assert cut.file.read_bytes() == whole.file.read_bytes() and cut.metrics == whole.metrics
    steps = [json.loads(line)["step"] for line in (places / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 60
    assert quick(places / "cut").metrics == whole.metrics  # nothing is left to learn
    assert not list(places.glob("**/.*"))


def test_another_seed_is_another_network(places):
    ones = [quick(places / f"out{n}", seed=seed, overrides={"steps": 5}) for n, seed in enumerate((1, 1, 2))]
    assert ones[0].file.read_bytes() == ones[1].file.read_bytes() != ones[2].file.read_bytes()
    held = [(places / f"out{n}" / "samples" / "held_out-00.npz").read_bytes() for n in (0, 2)]
    assert held[0] == held[1]


def test_batches_take_every_sample_once():
    sizes = np.arange(100) % 7
    batches = loop.batch_order(sizes, 8, 3, 0)
    assert sorted(map(len, batches)) == [8] * 12 and len({*np.concatenate(batches).tolist()}) == 96
    assert np.mean([np.ptp(sizes[batch]) for batch in batches]) < 3
    assert [len(batch) for batch in loop.batch_order(sizes[:3], 8, 3, 1)] == [3]


def test_the_rate_rises_and_falls():
    config = loop.TrainConfig(steps=100, rate=1.0, warm_up=0.1)
    rates = [loop.rate_at(step, config) for step in range(100)]
    assert rates[0] == 0.1 and max(rates) == rates[10] == 1.0 and rates[-1] < 0.02 and np.all(np.diff(rates[10:]) < 0)


def test_samples_come_back_as_they_were(places):
    made = [Toy().samples(None, seed) for seed in range(3)]
    odd = [{"a": np.zeros((0, 3)), "b": np.array(7)}, {"a": np.ones((2, 3)), "b": np.array(8)}]
    samples._write(places / "toy.npz", made)
    samples._write(places / "odd.npz", [odd])
    samples._write(places / "none.npz", [[], []])
    found = samples.Samples([places / "none.npz", places / "toy.npz", places / "odd.npz"])
    expected = [*(one for take in made for one in take), *odd]
    assert len(found) == len(expected) == len(found.sizes) == len(list(found))
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)
    assert len(found[1:5]) == 4


def test_other_processes_make_the_same_samples(places, monkeypatch):
    """Of real takes, small ones, of a rig that goes to the processes."""
    monkeypatch.undo()
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # where there are no motions, those that are made up will do
    rig, small = ring_rig(2), {"people": [1, 2], "frames": 2}
    source = samples.Source("small_tasks:Seen", "train", 3, 5, small, rig)
    [made] = samples.prepare([source], places / "samples", 2, silent)
    expected = [one for index in range(3) for one in source.samples_of(index, small_tasks.Seen())]
    assert len(made) == len(expected) == 3
    for a, b in zip(made, expected, strict=True):
        assert np.array_equal(a["xy"], b["xy"], equal_nan=True)


# What is there already, of other settings or damaged


def test_other_settings_are_refused_and_redone(places):
    quick(places / "out", overrides={"steps": 3})
    for change, words in (
        ({"steps": 4}, "checkpoint.pt is of a training"),
        ({"steps": 3, "takes": 7}, "another takes"),
    ):
        with pytest.raises(StaleError, match=words):
            quick(places / "out", overrides=change)
    assert quick(places / "out", overrides={"steps": 3, "takes": 7}, resume=False).metrics
    with pytest.raises(StaleError, match="another task"):
        quick(places / "out", "toy_tasks:Longer", overrides={"steps": 3, "takes": 7})


def test_samples_that_are_made_otherwise_by_now_are_noticed(places, monkeypatch):
    quick(places / "out", overrides={"steps": 3})
    monkeypatch.setattr(Toy, "unit", 2.0)
    with pytest.raises(StaleError, match="of the program makes differently"):
        quick(places / "out", overrides={"steps": 3})


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("spoil", [cut, lambda path: path.write_bytes(b""), lambda path: torch.save([1], path)])
def test_a_damaged_checkpoint(places, spoil):
    quick(places / "out", overrides={"steps": 3})
    spoil(places / "out" / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt: cannot be resumed from.*remove it, or train again") as found:
        quick(places / "out", overrides={"steps": 3})
    assert "\n" not in str(found.value)
    assert quick(places / "out", overrides={"steps": 3}, resume=False).metrics


def test_damaged_samples_are_made_again(places):
    before = quick(places / "out", overrides={"steps": 3})
    for name in ("train-02", "train-03", "held_out-00"):
        cut(places / "out" / "samples" / f"{name}.npz")
    (places / "out" / "samples" / "train-04.npz").unlink()
    assert quick(places / "out", overrides={"steps": 3}).metrics == before.metrics


def test_what_is_asked_wrongly(places):
    for overrides, words in (({"setps": 3}, "did you mean 'steps'"), ({"steps": 0}, "'steps' has to be more than 0")):
        with pytest.raises(ConfigError, match=words):
            quick(places / "out", overrides=overrides)
    with pytest.raises(PluginError, match="no task 'mgm'; did you mean 'mmg'"):
        quick(places / "out", "mgm")
    with pytest.raises(PluginError, match="cannot be loaded"):
        quick(places / "out", "toy_tasks:None_")
    with pytest.raises(ConfigError, match="the seed"):
        quick(places / "out", seed=-1)
    with pytest.raises(InputError, match="gave no sample"):
        quick(places / "out", "toy_tasks:Silent")
    with pytest.raises(InputError, match="step 0: the loss is inf"):
        quick(places / "diverging", "toy_tasks:Diverging")
    assert not torch.cuda.is_available() or pytest.skip("CUDA is here")
    with pytest.raises(InputError, match="no CUDA device"):
        quick(places / "other", device="cuda")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_network_that_does_not_export_is_refused(places):
    with pytest.raises(InputError, match="ONNX and torch differ"):
        quick(places / "out", "toy_tasks:Unlike", overrides={"steps": 3})


def test_weights_come_back_from_onnx(places):
    made = quick(places / "out", overrides={"steps": 3})
    state = onnx_export.weights_of(made.file, Net())
    average = torch.load(places / "out" / "checkpoint.pt", weights_only=True)["average"]
    assert equal(state, average)
    with pytest.raises(InputError, match="is another network"):
        onnx_export.weights_of(made.file, nn.Linear(2, 3))


# For a rig


def shipped(places, steps):
    made = quick(places / "first", overrides={"steps": steps})
    for file in (made.file, networks.card_path(made.file)):
        (places / "weights").mkdir(exist_ok=True)
        (places / "weights" / file.name).write_bytes(file.read_bytes())
    return made


def test_fine_tuning_is_kept_where_it_is_better(places):
    shipped(places, 10)
    rig = ring_rig(3)
    save_rig(rig, places / "rig.yaml")
    made = quick(places / "out", rig=places / "rig.yaml")
    assert made.metrics["loss"] < made.before["loss"] and made.kept == networks.rig_folder(rig) / "toy.onnx"
    own, other = networks.load_network("toy", rig), networks.load_network("toy", ring_rig(4))
    assert own.identity == networks.read(made.file).identity != other.identity
    assert own.card["rig"] == networks.rig_fingerprint(rig) and own.card["started_from"] == other.identity
    assert own.card["metrics_before"]["loss"] == pytest.approx(made.before["loss"], rel=1e-4)
    again = quick(places / "out", rig=places / "rig.yaml")
    assert again.before == made.before and again.metrics == made.metrics


def test_fine_tuning_is_not_kept_where_it_is_worse(places):
    shipped(places, 60)
    made = quick(places / "out", rig=ring_rig(3), overrides={"steps": 4, "rate": 5.0})
    assert made.kept is None and "the loss is not lower" in made.reason
    assert networks.load_network("toy", ring_rig(3)).path.parent == networks.SHIPPED


def test_the_rule_of_keeping():
    better = {"f1": "higher", "mm": "lower"}
    old = {"loss": 1.0, "f1": 0.9, "mm": 20.0, "note": 5}
    assert keep_or_reject(old, {"loss": 0.9, "f1": 0.9, "mm": 20.1, "note": 1}, better)[0]
    for change, words in (({"loss": 1.0}, "loss"), ({"f1": 0.88}, "f1 is worse"), ({"mm": 21.0}, "mm is worse")):
        kept, reason = keep_or_reject(old, {**old, "loss": 0.9, **change}, better)
        assert not kept and words in reason
    assert not keep_or_reject(old, {**old, "loss": np.nan}, better)[0]


def test_going_on_from_a_file(places):
    first = quick(places / "first", overrides={"steps": 60})
    made = quick(places / "second", start=first.file, overrides={"steps": 1, "rate": 1e-6})
    assert made.before == pytest.approx(first.metrics) and made.kept is None
    cut(first.file)
    with pytest.raises(AssetError, match="damaged"):
        quick(places / "third", start=first.file)


# The command line


def test_the_command_line(places, capsys, monkeypatch):
    monkeypatch.chdir(places)
    words = ["train", TOY, "--out", "out", "--steps", "20", "--takes", "4"]
    words[4:4] = ["--seed", "5"]
    words += [text for key in ("held_out_takes", "workers", "threads") for text in ("--set", f"{key}={QUICK[key]}")]
    main.main(words)
    on_metrics = capsys.readouterr()
    assert re.search(r"^error +0\.\d{4}$", on_metrics.out, re.MULTILINE) and "network: out/toy.onnx" in on_metrics.out
    assert re.search(r"^step +20 .* held out: loss", on_metrics.err, re.MULTILINE)
    assert networks.read(places / "out" / "toy.onnx").card["command"] == "mvcap " + " ".join(words)
    main.main([*words, "--json"])
    assert json.loads(capsys.readouterr().out)["metrics"]["error"] > 0


def test_without_motions_there_is_one_line(places, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("MVCAP_CACHE", str(places / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(AssetError, match=r"motions/.* cannot be fetched"):
        quick(places / "out")


def test_without_torch_there_is_one_line(places, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        main.main(["train", "mmg", "--out", str(places / "out")])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and "pip install 'mvcap[learn]'" in error


def test_help_loads_no_torch():
    code = "import sys, mvcap.cli.main\ntry: mvcap.cli.main.main(['train', '--help'])\nexcept SystemExit: pass\n"
    result = subprocess.run([sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], capture_output=True)
    assert result.returncode == 0 and b"the same command resumes" in b" ".join(result.stdout.split()), result.stderr


@pytest.mark.parametrize("name", plugins.TABLE["task"])
def test_lessons_of_the_house_can_be_loaded(name):
    task = samples.load_task(name)
    assert task.name == name and set(task.sizes.inputs) and task.batch_size > 0
