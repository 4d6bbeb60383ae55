"""The training loop, samples, the ONNX export and the contract of a task; knows no single network."""
