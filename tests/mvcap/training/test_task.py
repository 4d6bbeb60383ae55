"""The contract of a task, kept by each in the table: what a batch holds, what a network takes, which axes are free."""

import inspect

import numpy as np
import pytest
from detected_take import detected_take

from mvcap import config, plugins
from mvcap.training.loop import TrainConfig
from mvcap.training.samples import load_task
from mvcap.training.task import NetworkAxes

torch = pytest.importorskip("torch")

NAMES = tuple(plugins.TABLE["task"])
OF_ONE_PERSON = ("lift", "lift_temporal", "integrate")  # windows in time, and joints that others hide for a while


@pytest.fixture(scope="module")
def samples():
    """Samples of each task, of two takes that differ in people and cameras."""
    sizes = ((2, 3), (3, 4))
    short, long = (
        [detected_take(people, cameras, frames=frames, calibration="bad") for people, cameras in sizes]
        for frames in (5, 60)
    )
    return {
        name: [load_task(name).samples(take, 4) for take in (long if name in OF_ONE_PERSON else short)]
        for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_network_takes_the_inputs_that_its_task_names_in_their_order(name):
    task = load_task(name)
    assert isinstance(task.sizes, NetworkAxes) and task.name == name
    assert list(inspect.signature(task.network().forward).parameters) == list(task.sizes.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_axes_that_are_named_free_change_and_those_of_one_name_change_together(name, samples):
    task, made = load_task(name), samples[name]
    batches = [task.batch(one) for one in (made[0][:1], made[1][:3], [*made[0][:1], *made[1][:1]])]
    for key, free in task.sizes.inputs.items():
        fixed = {tuple(size for axis, size in enumerate(batch[key].shape) if axis not in free) for batch in batches}
        assert len(fixed) == 1, key
    for batch in batches:
        sizes = {}
        for key, free in task.sizes.inputs.items():
            for axis, label in free.items():
                assert sizes.setdefault(label, batch[key].shape[axis]) == batch[key].shape[axis], (key, label)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_have_the_free_axes_of_the_inputs(name, samples):
    task = load_task(name)
    batch = {key: torch.from_numpy(value) for key, value in task.batch(samples[name][1][:2]).items()}
    sizes = {label: batch[key].shape[axis] for key, free in task.sizes.inputs.items() for axis, label in free.items()}
    with torch.no_grad():
        out = task.network()(*(batch[key] for key in task.sizes.inputs))
    out = out if isinstance(out, tuple) else (out,)
    for value, free in zip(out, task.sizes.outputs.values(), strict=True):
        assert torch.isfinite(value).all()
        assert all(value.shape[axis] == sizes[label] for axis, label in free.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_one_number_and_is_among_the_figures_that_decide(name, samples):
    task, some = load_task(name), [*samples[name][0][:20], *samples[name][1][:20]]
    batch = {key: torch.from_numpy(value) for key, value in task.batch(some).items()}
    torch.manual_seed(0)
    network = task.network().eval()  # some tasks vary batches in training
    loss = task.loss(network, batch)
    assert loss.shape == () and torch.isfinite(loss) and loss.requires_grad
    figures = task.metrics(network, some)
    assert all(isinstance(value, float) and np.isfinite(value) for value in figures.values())
    assert set(task.better) <= set(figures) and set(task.better.values()) <= {"higher", "lower"}
    assert figures["loss"] == pytest.approx(loss.item(), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_settings_of_training(name):
    task = load_task(name)
    for settings in (task.defaults, getattr(task, "tuning", {})):
        assert (
            config.plain(config.build(TrainConfig, settings)).items()
            >= {key: value for key, value in settings.items() if not isinstance(value, dict)}.items()
        )
