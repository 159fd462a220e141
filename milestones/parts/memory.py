"""What a chunk may hold: the memory that is free, and what autograd keeps of a pass."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor


def free_memory(device: torch.device | None = None) -> int:
    """Bytes that can be taken without harm; at least an eighth of what the machine has, since what the system uses
    for its file cache counts as taken and is given back when asked for."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * max(os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PHYS_PAGES") // 8)
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return 1 << 30


def kept(forward: Callable[[], object]) -> int:
    """Bytes that autograd keeps of one call of `forward`, weights included."""
    total = 0

    def add(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.nbytes
        return tensor.detach()  # a layer's output that kept itself would never be freed

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(add, lambda tensor: tensor):
        forward()
    return total
