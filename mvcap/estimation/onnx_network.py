"""ONNX networks with one input, run by onnxruntime on the processor or on what else its installed build supports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import AssetError
from mvcap.weights.networks import runtime_faults

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Names of devices in settings, and onnxruntime's names; the fastest first."""
DEVICES = ("auto", *PROVIDERS)


def available_devices() -> tuple[str, ...]:
    """Return the devices that the installed onnxruntime supports, the fastest first; ``cpu`` is always there."""
    import onnxruntime as ort

    installed = ort.get_available_providers()
    return tuple(name for name, provider in PROVIDERS.items() if provider in installed)


class OnnxNetwork:
    """An ONNX network with one input."""

    def __init__(self, model: Path | bytes, threads: int = 1, device: str = "cpu", remedy: str = "") -> None:
        """Load a file or a serialised model; AssetError if onnxruntime cannot.

        remedy: what a message about an input that the network does not accept advises.
        """
        import onnxruntime as ort

        found = available_devices()
        if device not in ("auto", *found):
            raise AssetError(
                f"onnxruntime has no {PROVIDERS[device]} here (available: {', '.join(found)}); install the build of "
                "onnxruntime for it, such as onnxruntime-gpu, or set device to cpu"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # faults are raised, not printed
        chosen: Sequence[str] = found if device == "auto" else (device,)
        providers = list(dict.fromkeys(PROVIDERS[one] for one in (*chosen, "cpu")))
        self.name = "network" if isinstance(model, bytes) else str(model)
        self._remedy = f"; {remedy}" if remedy else ""
        try:
            self._session = ort.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=providers
            )
        except runtime_faults() as fault:
            reason = " ".join(str(fault).split())
            raise AssetError(
                f"{self.name}: not a network that onnxruntime can load ({reason}); delete it and get it again"
            ) from fault
        self.input = self._session.get_inputs()[0]
        self.output_names = [output.name for output in self._session.get_outputs()]

    def __call__(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs for a batch; AssetError if the network does not accept it."""
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, {self.input.name: np.ascontiguousarray(batch)})
        except runtime_faults() as fault:
            reason = " ".join(str(fault).split())[:300]
            raise AssetError(f"{self.name}: does not accept input {batch.shape} ({reason}){self._remedy}") from fault
        return outputs
