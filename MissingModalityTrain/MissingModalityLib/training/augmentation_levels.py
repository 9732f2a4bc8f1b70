"""Levels of augmentation: what each changes, how often and how far."""

from __future__ import annotations

from dataclasses import dataclass, replace

Range = tuple[float, float, float]
"""The probability of a change, and the lowest and highest value that its parameters may have."""
_NEVER: Range = (0.0, 0.0, 0.0)


THINNEST_SLICE = 2.0
"""Distance of slices, voxels, from which on they are called thick."""


@dataclass(frozen=True)
class Acquisition:
    """How strongly raw clinical input is simulated. Lengths are voxels, of 1 mm.

    Attributes:
        touched: probability that a sample meets a kind of simulation at all, drawn for each kind on its own.
        each: probability that it changes a sequence of such a sample.
        shading: coefficients of the logarithm of the bias field of raw intensities.
        slice_thickness: shortest and longest distance of slices; they are as thick as they lie apart.
        translation: longest shift of a sequence against the label.
        degrees: largest rotation of a sequence against the label.
        missing: smallest and largest share of the crop that lies beyond the end of a sequence.
        missing_along: probabilities that this happens along z, y, x; most stacks of slices are axial.
        strip_share: probability that a node of the coarse grid of errors of the skull strip has one.
    """

    touched: float = 0.5
    each: float = 0.5
    shading: float = 0.3
    slice_thickness: tuple[float, float] = (THINNEST_SLICE, 6.0)
    translation: float = 2.0
    degrees: float = 2.0
    missing: tuple[float, float] = (0.05, 0.25)
    missing_along: tuple[float, float, float] = (0.6, 0.2, 0.2)
    strip_share: float = 0.5


@dataclass(frozen=True)
class Resampling:
    """What only nnU-Net's augmentation has, beside what others have too.

    Attributes:
        size: factor of the sides of what a crop shows, alike along all axes and drawn apart from rotation.
        contrast: factor of intensities that stay within the range they had.
        coarseness: distance of the voxels that a sequence is reduced to and interpolated from again, voxels.
        inverted_gamma: exponent of intensities stretched to 1 to 0, dark to bright.
    """

    size: Range
    contrast: Range
    coarseness: Range
    inverted_gamma: Range


@dataclass(frozen=True)
class Level:
    """How strong a level is. Geometry is drawn for a crop, intensities for each of its modalities on its own.

    Attributes:
        moved: probability of rotation, zoom and shear, which come together.
        axes: axes, chosen at random, that a crop is rotated about.
        degrees: largest rotation about an axis.
        scale: factor of intensities.
        shift: addition to intensities.
        zoom: largest change of the size along an axis, as a share of it.
        shear: largest shear of an axis along another.
        bias: coefficients of the logarithm of the bias field.
        blur: standard deviation along an axis, voxels.
        gamma: exponent of intensities stretched to 0 to 1.
        noise: standard deviation of Gaussian noise.
        acquisition: what raw clinical input brings beside; None for nothing of it.
        resampling: what nnU-Net has beside; None for nothing of it.
    """

    moved: float
    axes: int
    degrees: float
    scale: Range
    shift: Range
    zoom: float = 0.0
    shear: float = 0.0
    bias: Range = _NEVER
    blur: Range = _NEVER
    gamma: Range = _NEVER
    noise: Range = _NEVER
    acquisition: Acquisition | None = None
    resampling: Resampling | None = None


# our own: no paper is followed
_STRONG = Level(
    moved=0.7,
    axes=3,
    degrees=20,
    zoom=0.15,
    shear=0.05,
    scale=(0.8, 0.75, 1.25),
    shift=(0.8, -0.25, 0.25),
    bias=(0.2, -0.15, 0.15),
    blur=(0.15, 0.4, 1.0),
    gamma=(0.4, 0.7, 1.5),
    noise=(0.25, 0.0, 0.15),
)

LEVELS = {
    "none": None,
    "flips": Level(moved=0.0, axes=0, degrees=0, scale=_NEVER, shift=_NEVER),
    "paper": Level(moved=1.0, axes=1, degrees=10, scale=(1.0, 0.9, 1.1), shift=(1.0, -0.1, 0.1)),
    "strong": _STRONG,
    # the stronger bias field is one of raw intensities, in place of the one of z-scores
    "clinical": replace(_STRONG, bias=_NEVER, acquisition=Acquisition()),
    # Isensee et al., Nature Methods 2021, Supplementary Note 4; a probability per sample times one per
    # modality is one number here
    "nnunet": Level(
        moved=0.2,
        axes=3,
        degrees=30,
        scale=(0.15, 0.7, 1.3),
        shift=_NEVER,
        blur=(0.1, 0.5, 1.5),
        gamma=(0.15, 0.7, 1.5),
        noise=(0.15, 0.0, 0.316),  # the variance is 0.1 at most
        resampling=Resampling(
            size=(0.2, 0.7, 1.4),
            contrast=(0.15, 0.65, 1.5),
            coarseness=(0.125, 1.0, 2.0),
            inverted_gamma=(0.15, 0.7, 1.5),
        ),
    ),
}

AUGMENTATIONS = tuple(LEVELS)
"""Names of the levels. "none"; "flips", along each axis, as in the public codes of MST-KDNet and AdaMM;
"paper", as in RFNet (Ding et al., ICCV 2021), with one draw per volume: rotation within 10 degrees about one
axis, flips, scale and shift of intensities within 0.1; "strong", for few cases: rotation about all axes,
zoom, shear, flips, bias field, blur, gamma, scale, shift and noise; "clinical", for input as clinics send it:
"strong" with a stronger bias field, and contrast, thick slices, partial coverage, misregistration and
imperfect skull strips; "nnunet", nnU-Net's kinds, probabilities and strengths: rotation about all axes, size,
flips, noise, blur, brightness, contrast, low resolution, gamma of intensities and of inverted ones."""
