"""The training loop, samples, the ONNX export and the contract of a task, independent of any single network."""
