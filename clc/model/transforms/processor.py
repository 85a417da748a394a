"""What the processor at hand has instructions for."""

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is the faster type there: a CPU without instructions for it is several times slower with it."""
    return device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
