"""Values of any kind as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np


def json_values(value: Any) -> Any:
    """The value in JSON's types: lists for tuples and arrays, tables for dataclasses, None where not finite."""
    if is_dataclass(value):
        return {key: json_values(entry) for key, entry in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [json_values(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return json_values(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
