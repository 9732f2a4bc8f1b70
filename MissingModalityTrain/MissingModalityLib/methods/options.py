"""What can be set about each method of training; imports nothing heavy, as panels and help read it."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.aliases import OLD_JOINT_OPTIONS
from ..core.settings import above_zero, at_least, check, choice, fraction, reads_old_names, setting, switch

# Far beyond what any paper trains with: for mistyped numbers, which would cost days or spoil the loss.
MOST_EPOCHS = 100_000
MOST_WEIGHT = 1000
MOST_SIDE = 512


@dataclass(frozen=True)
class NoOptions:
    """Of a method that has nothing to set."""


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """How :func:`~.plain.plain_loss` compares a prediction with the labels; the defaults are Dice over the
    batch plus the mean cross entropy. Other losses have no options.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    dice_over: str = choice(
        "batch",
        "Dice of all crops of a step together, or the mean Dice of crops, which is about 0 for a region that "
        "a crop lacks unless almost none of it is predicted",
        *("batch", "sample"),
    )
    focal_gamma: float = at_least(
        0,
        0.0,
        "Focal loss: power by which voxels that are predicted right count less; 0 is cross entropy",
        MOST_WEIGHT,
    )
    top_k_fraction: float = setting(
        1.0,
        "Share of each crop's voxels, those of the largest cross entropy, that counts",
        "more than 0, at most 1",
        lambda value: 0 < value <= 1,
    )
    region_weights: tuple[float, float, float] = setting(
        (1.0, 1.0, 1.0),
        "Weights of WT, TC and ET in Dice and cross entropy; a class weighs as the regions that hold it do",
        f"three numbers of 0 or more, one of them more than 0, at most {MOST_WEIGHT}",
        lambda value: min(value) >= 0 < max(value) <= MOST_WEIGHT,
    )

    def __post_init__(self) -> None:
        check(self)


DEFAULTS = LossOptions()
"""Dice over the batch and the mean cross entropy."""


@dataclass(frozen=True)
class SupervisedOptions(LossOptions):
    """Of :class:`~.supervised.Supervised`.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    fusion_start_epoch: int = at_least(
        0,
        0,
        "Epochs in which a network with separate decoders, starting from scratch, trains those alone",
        MOST_EPOCHS,
    )
    consistency_weight: float = at_least(
        0,
        0.0,
        "Weight of what the network says with more modalities as a target, where the label proves it better",
        MOST_WEIGHT,
    )
    consistency_superset: str = choice(
        "all", "More modalities: all that a case has, or one", *("all", "one_more")
    )
    consistency_trains_superset: bool = switch(
        False,
        "Learn from the labels with more modalities too, in one batch with the subsets, which takes twice "
        "the memory; else more modalities are a second forward pass without gradient",
    )

    def __post_init__(self) -> None:
        check(self, "supervised.")


@dataclass(frozen=True)
class DistillationOptions(LossOptions):
    """Of :class:`~.self_distillation.Distillation`. Defaults: Liu et al., Sec. 3.3 and 4.1.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    teacher_update_interval: int = at_least(
        1, 5, "Epochs after which the student replaces its teacher", MOST_EPOCHS
    )
    feature_weight: float = at_least(0, 1.0, "Weight of the distance between features", MOST_WEIGHT)
    prediction_weight: float = at_least(0, 1.0, "Weight of the teacher's predictions", MOST_WEIGHT)
    features: str = choice(
        "fused",
        "Features after fusion, or of the encoders, which no missing modality changes",
        *("fused", "encoder"),
    )

    def __post_init__(self) -> None:
        check(self, "distillation.")


@dataclass(frozen=True)
class AdversarialOptions:
    """Of :class:`~.adversarial.Adversarial`. Defaults: Jeong et al. (RA-HVED).

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    weight: float = at_least(0, 0.1, "Weight of what the discriminator tells", MOST_WEIGHT)
    discriminator_learning_rate: float = above_zero(1, 1e-4, "Learning rate of the discriminator")

    def __post_init__(self) -> None:
        check(self, "adversarial.")


@dataclass(frozen=True)
class MaskedOptions:
    """Of :class:`~.masked.Masked`. Defaults: Liu et al. (M3AE).

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    patch_side: int = at_least(1, 16, "Side in voxels of the blocks that are hidden or shown", MOST_SIDE)
    ratio: float = fraction(0.875, "Share of the blocks of each available sequence that is hidden")
    substitute_weight: float = at_least(0, 0.005, "Weight of the substitute's mean square", MOST_WEIGHT)

    def __post_init__(self) -> None:
        check(self, "masked.")


@dataclass(frozen=True)
class MutualOptions:
    """Of :class:`~.mutual.Mutual`. Defaults: Liu et al. (M3AE).

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    dice: float = at_least(0, 0.7, "Weight of Dice in the loss of either subset", MOST_WEIGHT)
    cross_entropy: float = at_least(0, 0.3, "Weight of cross entropy in the loss of either", MOST_WEIGHT)
    consistency: float = at_least(
        0, 0.1, "Mean square of the difference of both subsets' probabilities", MOST_WEIGHT
    )
    content: float = at_least(
        0,
        0.1,
        "Mean square of the difference of both subsets' content; 0 for networks without",
        MOST_WEIGHT,
    )

    def __post_init__(self) -> None:
        check(self, "mutual.")


@dataclass(frozen=True)
class EnsembleOptions(SupervisedOptions):
    """Of :class:`~.ensemble.Ensemble`, which learns from the labels as the method supervised does.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    teachers: tuple[str, ...] = setting(
        (),
        "Model files that teach, each the cases that it was not trained on",
        "paths joined by commas",
    )
    weight: float = at_least(0, 1.0, "Weight of the teachers' predictions", MOST_WEIGHT)

    def __post_init__(self) -> None:
        check(self, "ensemble.")


@reads_old_names(OLD_JOINT_OPTIONS)
@dataclass(frozen=True)
class JointOptions:
    """Of :class:`~.joint.JointDistillation`: weights of its loss terms; 0 leaves a term out.

    Defaults: MST-KDNet's terms. After 20 steps at full weight the gradient of each, with respect to the
    student, shall have 0.1 to 1 of the norm of that of the student's own losses, so presets have weights of
    their own where their learning rate or network asks for it. The public code has 0.5 for attention, 0.2 for
    multiscale, 0.25 for kl_divergence in the units that are used here, and adversarial and style terms that
    are too small to matter (2e-4 and about 1e-14 of Dice).

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    # 0.4 and 0.6 as in the public codes of MST-KDNet and AdaMM
    teacher_weight: float = at_least(0, 0.4, "Weight of the teacher's own segmentation loss", MOST_WEIGHT)
    student_weight: float = at_least(0, 0.6, "Weight of the student's segmentation loss", MOST_WEIGHT)
    cross_entropy: float = at_least(
        0, 0.0, "Cross entropy beside Dice in both; the papers have Dice alone", MOST_WEIGHT
    )
    attention: float = at_least(
        0, 0.3, "MS-TKD: extreme values of attention; 0 for networks without", MOST_WEIGHT
    )
    extremes: str = choice("heads", "MS-TKD: over what extreme values are taken", "heads", "layers")
    multiscale: float = at_least(
        0, 0.3, "MS-TKD: decoded maps of the Transformer; 0 for networks without", MOST_WEIGHT
    )
    logits: float = at_least(0, 0.05, "DMLD: difference of logits", MOST_WEIGHT)
    kl_divergence: float = at_least(0, 1.0, "DMLD: divergence of standardized logits", MOST_WEIGHT)
    standardize_over: str = choice(
        "classes",
        "DMLD: logits are standardized over the classes of a voxel, as in the paper, or over the last axis "
        "of space, as in its public code",
        *("classes", "space"),
    )
    temperature: float = above_zero(MOST_WEIGHT, 7.0, "DMLD: softens the standardized logits")
    style: float = at_least(0, 0.1, "GSME: matrices of fused features", MOST_WEIGHT)
    adversarial: float = at_least(
        0, 0.1, "GSME: a discriminator of the teacher's and the student's style", MOST_WEIGHT
    )
    discriminator_learning_rate: float = above_zero(1, 1e-4, "GSME: learning rate of the discriminator")
    presence: float = at_least(
        0,
        0.0,
        "LGRM: presence of each tumor class, which also weighs its Dice; 0 for networks without",
        MOST_WEIGHT,
    )
    consistency: float = at_least(0, 0.0, "Mean square of the difference of probabilities", MOST_WEIGHT)
    content: float = at_least(
        0, 0.0, "BBDM: mean square of the difference of content; 0 for networks without", MOST_WEIGHT
    )
    doubt: float = at_least(
        0, 0.0, "ACN: a discriminator of how doubtful predictions are, place by place", MOST_WEIGHT
    )
    information: float = at_least(
        0, 0.0, "ACN: what the student's content tells of the teacher's; 0 for networks without", MOST_WEIGHT
    )
    # 20 epochs in the public codes of both papers, where the consistency alone is ramped
    consistency_ramp_epochs: int = at_least(
        0, 20, "First epochs of the stage, over which the weight of consistency rises", MOST_EPOCHS
    )
    ramp_epochs: int = at_least(
        0, 20, "First epochs of the stage, over which the weights of all other distances rise", MOST_EPOCHS
    )
    dropout: str = choice(
        "none",
        "Which networks have their dropout: none, so that both are alike where they know the same; the "
        "student alone; or both, as in the public codes, which makes distances mostly noise at first",
        *("none", "student", "both"),
    )
    equal_subsets: bool = switch(
        False, "Distances of samples too of which the student sees all that the teacher sees"
    )
    dice: str = choice(
        "mean",
        "Dice of the channels: their mean, or their sum, as in the public codes, to which the published "
        "weights of distances belong",
        *("mean", "sum"),
    )
    clip_together: bool = switch(
        False, "max_grad_norm limits the gradient of both networks together, else of each by itself"
    )

    def __post_init__(self) -> None:
        check(self, "joint.")
