"""Several processes at one task, as ``torchrun`` starts them: who am I, and how do results come together.

Everything here works without torchrun too: a process on its own is rank 0 of a world of 1.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import torch
from torch import Tensor
from torch import distributed as dist

from ..core.errors import MissingModalityError
from . import ranks
from .devices import as_torch_says, choose_device

T = TypeVar("T")

TIMEOUT = timedelta(days=1)
"""How long a rank waits for the others. A process that died is noticed at once (its connection closes, and
torchrun ends the rest); this bounds the wait for one that hangs. Ranks meet after whole shares of the cases,
so it must exceed the time that one may be ahead of another then, and that the first one works for all."""

POLL_INTERVAL = timedelta(seconds=1)
"""How long a rank waits before it looks whether rank 0 has begun anew."""

_OPEN_KEY = "rendezvous"
"""Under this name the store holds the key of the round that ranks are meeting for."""


@contextmanager
def start(device: str = "auto") -> Iterator[str]:
    """Join the processes that torchrun started; alone, do nothing.

    With torchrun (``WORLD_SIZE`` above 1) tensors on CUDA devices travel through NCCL, all else through gloo.
    The processes stay together until they end, so a program may start any number of tasks.

    Args:
        device: as in :func:`~.devices.choose_device`.

    Yields:
        The device of this process: ``cuda:<LOCAL_RANK>`` with CUDA and torchrun, else ``device`` itself.

    Raises:
        OptionError: this machine has fewer CUDA devices than processes.
        MissingModalityError: another process has died.
    """
    if ranks.launched_world_size() == 1:
        yield device
        return
    cuda = torch.cuda.is_available()
    if not _joined():
        _join("cpu:gloo,cuda:nccl" if cuda else "gloo")
    if as_torch_says(device).startswith("cuda") or (device == "auto" and cuda):
        device = f"cuda:{ranks.launched_local_rank()}"
        chosen = on_all_ranks(choose_device, device)
        torch.cuda.set_device(chosen)
    try:
        yield device
    except RuntimeError as error:
        if "by peer" not in str(error):  # what gloo says of a connection that the other end has closed
            raise
        raise MissingModalityError(
            f"Process {rank()} stopped, because another one has ended. See what that one said."
        ) from error


def restarted() -> bool:
    """Whether torchrun or Slurm has started any of the processes anew after a failure."""
    return any(gather([ranks.was_relaunched()]))


def rank() -> int:
    """Number of this process, 0 to ``world() - 1``."""
    return dist.get_rank() if _joined() else 0


def world() -> int:
    """How many processes work together."""
    return dist.get_world_size() if _joined() else 1


def is_rank_zero() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return rank() == 0


def barrier() -> None:
    """Wait until every rank has come here."""
    if _joined():
        dist.barrier()


def gather(items: list[T]) -> list[T]:
    """The items of all ranks in the order of ranks, on every rank; items are pickled."""
    if not _joined():
        return items
    shares: list[list[T]] = [[] for _ in range(world())]
    dist.all_gather_object(shares, items)
    return [item for share in shares for item in share]


def on_all_ranks(work: Callable[..., T], *arguments: Any) -> T:
    """Do ``work`` on every rank; where it fails on any, all raise, so that none waits for one that gave up.

    Args:
        work: must not itself wait for other ranks.
        arguments: of ``work``.

    Returns:
        What ``work`` returned here.

    Raises:
        MissingModalityError: ``work`` raised this kind, here or elsewhere; at the first rank that has
            one it is to be reported, at the others it is ``reported_elsewhere``.
        RuntimeError: it raised another kind on another rank, which is named.
    """
    result: T | None = None
    failure: Exception | None = None
    try:
        result = work(*arguments)
    except Exception as error:
        failure = error
    # other errors need not survive pickling
    known = failure if failure is None or isinstance(failure, MissingModalityError) else repr(failure)
    problems = gather([known])
    if failure is None:
        for number, problem in enumerate(problems):
            if isinstance(problem, MissingModalityError):
                problem.reported_elsewhere = True
                raise problem
            if problem:
                raise RuntimeError(f"Rank {number} failed: {problem}")
        return result
    if isinstance(failure, MissingModalityError):
        failure.reported_elsewhere = any(problems[: rank()])
    raise failure


def gather_from(work: Callable[[], list[T]]) -> list[T]:
    """:func:`gather` what ``work`` returns.

    Raises:
        MissingModalityError, RuntimeError: as :func:`on_all_ranks`.
    """
    return gather(on_all_ranks(work))


def raise_on_all_ranks(error: MissingModalityError) -> NoReturn:
    """Raise what all ranks have come to know; each of them calls this, and rank 0 reports it."""
    error.reported_elsewhere = not is_rank_zero()
    raise error


def mean(values: Tensor) -> Tensor:
    """Element-wise mean over ranks, the same on every rank; not differentiable."""
    if _joined():
        dist.all_reduce(values)
        values /= world()
    return values


def total(values: Tensor) -> Tensor:
    """Element-wise sum over ranks: a loss made of it is that of all ranks' samples together.

    All ranks must make the same loss of it. Then each knows the gradient of that loss with nobody's help, and
    no rank can wait in vain for another while gradients are computed. It comes multiplied by the number of
    ranks, for DistributedDataParallel divides by it.
    """
    if not _joined():
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    share = world() * values
    return share + (summed - share.detach())


def on_rank_zero(work: Callable[[], T]) -> T:
    """Do ``work`` on the first rank only, while the others wait; its result, or its error, is everyone's.

    Raises:
        MissingModalityError, RuntimeError: as :func:`on_all_ranks`.
    """
    return gather_from(lambda: [work()] if is_rank_zero() else [])[0]


def shut_down() -> None:
    """Part from the others for good, before the process ends, while what threads hold can still go."""
    if _joined():
        dist.destroy_process_group()
        gc.collect()


def _join(backend: str) -> None:
    """Join the process group, under a rendezvous key that rank 0 makes."""
    # torchrun keeps the store in which ranks find each other across restarts: without a new key for every
    # round they would find the addresses of processes that have ended. The key is listed until all ranks have
    # answered it and is valid only then, so one that a killed round left behind is never used.
    store, rank, world = next(dist.rendezvous("env://", timeout=TIMEOUT))
    if rank == 0:
        key = uuid4().hex
        store.set(_OPEN_KEY, key)
        store.wait([f"{key}/{other}" for other in range(1, world)], TIMEOUT)
        store.delete_key(_OPEN_KEY)
        store.set(f"{key}/counts", "")
    else:
        key = _answered_key(store, rank)
    store = dist.PrefixStore(key, store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=TIMEOUT)
    atexit.register(shut_down)


def _answered_key(store: dist.Store, rank: int) -> str:
    """The key that rank 0 has made for this round, once all ranks have answered it."""
    while True:
        key = store.get(_OPEN_KEY).decode()
        store.set(f"{key}/{rank}", "")
        try:
            store.wait([f"{key}/counts"], POLL_INTERVAL)
        except dist.DistStoreError:  # not yet, or not this key
            continue
        return key


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
