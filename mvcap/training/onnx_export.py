"""Export of a network from torch to ONNX, a parity check of the two, and import of the weights for fine-tuning."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.npz import written_whole

if TYPE_CHECKING:
    import torch

    from mvcap.training.task import Sample, Task

_OPSET = 17
_TOLERANCE = 1e-4


def export_onnx(task: Task, network: torch.nn.Module, samples: Sequence[Sample], path: Path) -> None:
    """Write a network as ONNX, with dynamic axes where the task names them. ``samples``: an example of its inputs.

    Initialisers keep the names of the weights, so that ``weights_of`` finds them again.
    """
    import torch

    sizes = task.sizes
    example = tuple(torch.from_numpy(array) for array in _inputs(task, samples[: _at_once(task)]))
    axes = {name: dict(axes) for name, axes in {**sizes.inputs, **sizes.outputs}.items()}
    with written_whole(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.|mvcap\.training\.onnx_export")
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        torch.onnx.export(
            _evaluation_copy(network),
            example,
            str(temporary),
            dynamo=False,
            opset_version=_OPSET,
            do_constant_folding=False,
            input_names=list(sizes.inputs),
            output_names=list(sizes.outputs),
            dynamic_axes=axes,
        )


def check_parity(
    task: Task, network: torch.nn.Module, samples: Sequence[Sample], path: Path, batches: int = 8
) -> float:
    """Largest difference between the file's and torch's outputs, relative to 1 + the size of the value.

    The batches have several sizes, so that dynamic axes are checked too. InputError above 1e-4.
    """
    import onnxruntime as ort
    import torch

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    evaluated = _evaluation_copy(network)
    worst = 0.0
    for batch in _some(samples, _at_once(task), batches):
        arrays = _inputs(task, batch)
        with torch.inference_mode():
            outputs = evaluated(*map(torch.from_numpy, arrays))
        expected = [one.numpy() for one in (outputs if isinstance(outputs, tuple | list) else [outputs])]
        fed = dict(zip(task.sizes.inputs, arrays, strict=True))
        found = session.run(None, {one.name: fed[one.name] for one in session.get_inputs()})
        worst = max([worst, *(_difference(a, b) for a, b in zip(found, expected, strict=True))])
    if not worst < _TOLERANCE:
        raise InputError(
            f"{path}: ONNX and torch differ by {worst:.2g}; the network's forward does not export as it is"
        )
    return worst


def weights_of(path: Path, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights of an ONNX file written by ``export_onnx``, as the network's state; InputError where they do not fit."""
    import onnx
    import torch

    graph = onnx.load(str(path)).graph
    tensors: dict[str, NDArray[Any]] = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:  # weights that were equal are stored once
        if node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    wanted = network.state_dict()
    unfit = [name for name, value in wanted.items() if name not in tensors or tensors[name].shape != tuple(value.shape)]
    if unfit:
        raise InputError(f"{path}: is another network ({', '.join(unfit[:3])} is missing or has another shape)")
    return {name: torch.from_numpy(np.array(tensors[name])).to(value.dtype) for name, value in wanted.items()}


def _evaluation_copy(network: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(network).cpu().eval()


def _at_once(task: Task) -> int:
    """Batch size of the network's inputs: one, where an input's first axis has a fixed length."""
    return task.batch_size if all(0 in axes for axes in task.sizes.inputs.values()) else 1


def _inputs(task: Task, samples: Sequence[Sample]) -> tuple[NDArray[np.generic], ...]:
    batch: Mapping[str, NDArray[np.generic]] = task.batch(samples)
    return tuple(np.ascontiguousarray(batch[name]) for name in task.sizes.inputs)


def _some(samples: Sequence[Sample], most: int, batches: int) -> list[Sequence[Sample]]:
    """Batches spread over the samples, of one sample, of two ... and of ``most``."""
    out = []
    for index in range(batches):
        start = index * len(samples) // batches
        out.append(samples[start : start + min(most, index + 1 if index < batches - 1 else most)])
    return [batch for batch in out if len(batch)]


def _difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return np.inf
    known = np.isfinite(b)
    return (
        float(np.max(np.abs(a - b)[known] / (1 + np.abs(b[known])), initial=0))
        if a.dtype != bool
        else float((a != b).any())
    )
