"""A training step without its arithmetic: what it holds in memory, computes and moves, on no device at all.

The real network, method and optimizer run, at any size of crop and batch, but operators on large tensors give
tensors of the right shape that hold nothing: all of them lie on the same untouched memory. So a step takes as
long as Python needs to call its operators, and any registered network can be measured, also of another
package. Small tensors, such as flags of sequences, are computed, since networks decide by them.
"""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from .. import networks
from ..core.errors import OptionError
from ..core.labels import TumorClass
from ..core.modalities import MODALITIES
from ..methods.registry import METHODS
from .optimization import WeightAverage, clip_gradients, make_optimizer
from .plan import Plan
from .settings import Settings

_CPU = torch.device("cpu")

_SMALL = 4096
"""Elements below which a tensor is computed: more than the flags, losses and lists of cases of any step."""

_ALIASES = frozenset(
    {torch.ops.aten.detach.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.lift_fresh.default}
)
"""Operators that give their argument, though they are no views by their schema."""


@dataclass(frozen=True)
class StepCost:
    """What one step costs.

    Attributes:
        memory: bytes of all tensors that live at the same time, at most: weights, gradients, the optimizer's
            state, what the backward pass needs, and what operators make on the way.
        fixed: bytes of them that stay between steps.
        weights: bytes of what the optimizer trains, as many as the gradients that processes exchange.
        operations: additions and multiplications of convolutions and matrix products.
        moved: bytes that operators read and write.
        operators: how many are called.
    """

    memory: int
    fixed: int
    weights: int
    operations: float
    moved: float
    operators: int


def dry_step(plan: Plan, stage: str, half: bool = False) -> StepCost:
    """One step of a stage with all that it costs from the second one on.

    Args:
        plan: of the run.
        stage: one of its stages.
        half: whether a GPU computes it in 16 bits.

    Raises:
        OptionError: the network or its method decides by voxels, which a dry step does not have.
    """
    settings = plan.stages[stage]
    with torch.random.fork_rng([]), _Dry() as dry:
        try:
            parts = make_stage(plan, stage, _CPU)
            weights = sum(part.nbytes for part in parts.trained.parameters())
            before, peaks = dry.now, []
            parts.optimizer.register_step_pre_hook(lambda *_: peaks.append(dry.peak))
            with _GpuPrecision() if half else nullcontext():
                take_step(parts, settings, _CPU, torch.autocast("cpu", torch.bfloat16, enabled=half))
        except (RuntimeError, NotImplementedError) as error:
            raise OptionError(
                f"A step of {plan.network} with method {settings.method} cannot be counted "
                f"({str(error).splitlines()[0]}). Time it instead: train with --preset quick."
            ) from error
        parts.optimizer.zero_grad(set_to_none=True)
        state = max(0, dry.now - before)  # made by the first step, there from the second on
        # while a step is made its state is counted already, before the first one it is not
        memory = max(dry.peak, peaks[0] + state)
        return StepCost(memory, dry.now, weights, dry.operations, dry.moved, dry.operators)


class StageParts(NamedTuple):
    """What a stage trains, its method, its optimizer, and the average of the weights where there is one."""

    trained: Any
    method: Any
    optimizer: Any
    average: Any


def make_stage(plan: Plan, stage: str, device: torch.device) -> StageParts:
    """The parts of a stage, with fresh weights, on a device."""
    settings = plan.stages[stage]
    network = networks.build(plan.network, **plan.network_options).to(device).train()
    method = METHODS.get(settings.method)(settings.method_options(), fresh=False)
    trained = method.assemble(network)
    method.know_cases(["case"], [{}])
    optimizer = make_optimizer(trained.parameters(), settings, device)
    average = WeightAverage(network, settings.ema_decay) if settings.ema_decay else None
    method.begin_epoch(network, 0)
    return StageParts(trained, method, optimizer, average)


def take_step(parts: StageParts, settings: Settings, device: torch.device, precision: Any) -> None:
    """One step on random voxels.

    Args:
        parts: from :func:`make_stage`.
        settings: of the stage.
        device: of the parts.
        precision: autocast to compute the loss in.
    """
    trained, method, optimizer, _ = parts
    optimizer.zero_grad(set_to_none=True)
    with precision:
        # the last epoch, when terms that rise over epochs are all there
        total = method.loss(trained, _batch(settings, device), settings.epochs - 1)["total"]
    total.backward()
    clip_gradients(method.clipped_apart(trained), settings.max_grad_norm)
    optimizer.step()
    method.finish_step()


def _batch(settings: Settings, device: torch.device) -> dict[str, Tensor]:
    """As :class:`.samples.PatchDataset` makes them, with every sequence, the costliest subset."""
    size, patch = settings.batch_size, settings.patch_size
    flags = {
        name: torch.ones(size, len(MODALITIES), dtype=torch.bool, device=device)
        for name in ("available", "present", "teacher", "other")
    }
    return {
        "image": torch.randn(size, len(MODALITIES), *patch, device=device),
        "label": torch.randint(len(TumorClass), (size, *patch), dtype=torch.uint8, device=device),
        "case": torch.zeros(size, dtype=torch.int64, device=device),
        "place": torch.zeros(size, len(patch), dtype=torch.int64, device=device),
        **flags,
    }


class _Dry(TorchDispatchMode):
    """Calls operators without computing large tensors, and counts.

    Attributes:
        now, peak: bytes of living tensors.
        operations, moved, operators: see :class:`StepCost`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.operators = 0
        self.operations = self.moved = 0.0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._memory = np.empty(0, np.uint8)
        self._shapes: dict[Any, Any] = {}  # by call: five of six that rfnet makes are repeated ones

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Of each operator, below autograd and autocast."""
        kwargs = kwargs or {}
        if function.is_view or function in _ALIASES:
            return function(*args, **kwargs)
        self.operators += 1
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if inputs and max(tensor.numel() for tensor in inputs) < _SMALL:
            return tree_map_only(Tensor, self._counted, function(*args, **kwargs))
        self.moved += sum(tensor.nbytes for tensor in inputs)
        if written := _written(function, args, kwargs):
            return None if not function._schema.returns else written[0]
        result = self._without_values(function, inputs, args, kwargs)
        self.moved += sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        if count := flop_registry.get(function._overloadpacket):
            self.operations += count(*args, **kwargs, out_val=result)
        return result

    def _without_values(self, function: Any, inputs: list[Tensor], args: Any, kwargs: Any) -> Any:
        if function is torch.ops.aten.index.Tensor:
            args = (args[0], [part for index in args[1] for part in _places(index)])
        call = (function, _kind(args), _kind(tuple(kwargs.items())))
        if call not in self._shapes:
            self._shapes[call] = _shapes_of(function, not inputs, args, kwargs)
        result = self._shapes[call]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if not inputs and all(tensor.numel() < _SMALL for tensor in made):
            return tree_map_only(Tensor, self._counted, function(*args, **kwargs))
        return tree_map_only(Tensor, self._hollow, result)

    def _hollow(self, shape: Tensor) -> Tensor:
        """A tensor of this shape on the shared memory; zeros where it is small, and may be decided by."""
        if shape.numel() < _SMALL:
            return self._counted(torch.zeros(shape.shape, dtype=shape.dtype))
        size = shape.untyped_storage().nbytes()
        if size > len(self._memory):
            self._memory = _untouched(size)
        whole = torch.from_numpy(self._memory[:size]).view(shape.dtype)
        return self._counted(whole.as_strided(shape.shape, shape.stride(), shape.storage_offset()))

    def _counted(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen[storage] = size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, size)
        return tensor

    def _freed(self, size: int) -> None:
        self.now -= size


def _untouched(size: int) -> np.ndarray:
    """Bytes that nobody writes to, so that the system gives no page of them.

    Raises:
        OptionError: more than this system lends.
    """
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        raise OptionError(
            f"A tensor of this step has {size / 2**30:.1f} GiB, more than this computer can address to count "
            "it. Give a smaller memory, batch_size or patch_size, or plan on a computer with more memory."
        ) from None


def _places(index: Tensor | None) -> tuple[Tensor | None, ...]:
    """A mask as the places that it takes: all of them where its values are not known."""
    if index is None or index.dtype is not torch.bool:
        return (index,)
    known = index if index.numel() < _SMALL else torch.ones(index.shape, dtype=torch.bool)
    return known.nonzero(as_tuple=True)


def _kind(value: Any) -> Any:
    """All that the shape of a result depends on, of an argument."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_kind, value))
    return type(value), value  # 1, 1.0 and True are equal and make tensors of different types


def _shapes_of(function: Any, makes: bool, args: Any, kwargs: Any) -> Any:
    """What an operator gives, as tensors without values; ``makes``: it has no tensor to begin with."""
    shapes, more = tree_map_only(Tensor, _shape_alone, (args, kwargs))
    named = {argument.name for argument in function._schema.arguments}
    if "device" in named and (makes or kwargs.get("device") is not None):
        more = {**more, "device": torch.device("meta")}
    return function(*shapes, **more)


def _shape_alone(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _written(function: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The arguments that an operator writes into, first those in its place."""
    found = []
    for number, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            found += [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
    return found


class _GpuPrecision(TorchFunctionMode):
    """What autocast does on a GPU alone: norms and softmax in float32, by the list in PyTorch's manual."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Of each function of ``torch``."""
        if getattr(function, "__name__", "") in _IN_FLOAT32 and args and isinstance(args[0], Tensor):
            args = (args[0].float(), *args[1:])
        return function(*args, **(kwargs or {}))


_IN_FLOAT32 = frozenset({"group_norm", "layer_norm", "softmax", "log_softmax", "softplus", "norm"})
