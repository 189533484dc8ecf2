"""Smaller batches when the memory of the device does not suffice."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from voice_core.codecs.base import OutOfMemoryError

_SIGNS = (
    "out of memory",  # CUDA's allocator, and the driver itself
    "can't allocate memory",  # the CPU's
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)
"""Libraries that allocate memory themselves raise plain RuntimeErrors."""

Item = TypeVar("Item")
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


def ran_out_of_memory(error: RuntimeError) -> bool:
    """
    >>> ran_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    True
    >>> ran_out_of_memory(RuntimeError("Input type and weight type should be the same"))
    False
    """
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS)


def split_on_oom(
    work: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    item_sec: float,
    device: torch.device,
    halved: Callable[[int], None] = lambda _: None,
) -> list[Result]:
    """`work(items)`, in halves where memory does not suffice for all; `halved` is called with the number of items.

    `item_sec` is the length of each. Raises `OutOfMemoryError` where memory does not suffice for one.
    """
    try:
        return work(items)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
    # Out of the handler: the exception keeps the failed batch's tensors alive.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if len(items) == 1:
        raise OutOfMemoryError(f"a clip of {item_sec:.1f} s does not fit into the free memory of {device}")
    _log.warning(
        "out of memory with %d clips of %.1f s at once on %s: the batch is halved", len(items), item_sec, device
    )
    halved(len(items))
    half = len(items) // 2
    first = split_on_oom(work, items[:half], item_sec, device, halved)
    return [*first, *split_on_oom(work, items[half:], item_sec, device, halved)]
