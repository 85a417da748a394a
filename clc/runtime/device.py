"""Where a network computes."""

import torch

from clc.errors import ProfileError


def available_device(name: str) -> torch.device:
    """The device "cpu", "cuda" or "cuda:N". Raises ProfileError for another name or one that is not there."""
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not number.isdecimal()):
        raise ProfileError(f"unknown device {name!r}; use cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise ProfileError(f"device {name} is not there: PyTorch finds {count} CUDA devices; use another, or cpu")
    return torch.device(name)
