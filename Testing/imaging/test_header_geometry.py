"""Headers that contradict themselves, lack a spacing or an orientation, or state what no volume has."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from header_places import AXES, LPS, ORIGIN, SPACE, geometry_of, refusal
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import Case, ImageFile
from MissingModalityLib.imaging.header_geometry import file_geometry
from MissingModalityLib.imaging.reading import read_label, read_volumes
from MissingModalityLib.imaging.volumes import read_image, write_image
from volume_headers import MATRIX, SHAPE, SPACING, affine, head, write_metaimage, write_nifti, write_nrrd

STEP = f"ElementSpacing = {SPACING:g} {SPACING:g} {SPACING:g}"
TURNED = f"TransformMatrix = {MATRIX}"
PLACE = "Offset = 1 2 3"


def moved(*distance: float) -> np.ndarray:
    return affine(place=tuple(np.array([-50, -40, 30]) + distance))


def turned(degrees: float) -> np.ndarray:
    matrix = affine()
    matrix[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() * SPACING
    return matrix


HERE = (0, 0, 0, -50, -40, 30)


@pytest.mark.parametrize(
    ("sform", "codes"),
    [
        (moved(0, 40, 0), (1, 2)),
        (moved(0, 40, 0), (1, 1)),
        (moved(1, 0, 0), (2, 1)),
        (turned(2), (1, 1)),
        (turned(90), (3, 4)),
        (affine() @ np.diag([-1, 1, 1, 1]), (1, 1)),
    ],
    ids=["40 mm, other codes", "40 mm, same codes", "1 mm", "2 degrees", "90 degrees", "mirrored"],
)
def test_sform_and_qform_at_two_places_are_refused_with_both(
    tmp_path: Path, sform: np.ndarray, codes: tuple[int, int]
) -> None:
    path = write_nifti(tmp_path / "x.nii", sform, codes=codes, quaternion=HERE)
    message = refusal(path)
    assert "qform" in message and "sform" in message and "mm apart" in message


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1), (2, 1), (1, 4)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_statements_that_agree_are_followed_and_float_noise_is_let_pass(
    tmp_path: Path, codes: tuple[int, int], order: str
) -> None:
    sform = moved(0.02, 0, 0) if all(codes) else affine()
    path = write_nifti(tmp_path / "x.nii", sform, order, codes=codes, quaternion=HERE)
    matrix, origin = geometry_of(read_image(path))
    np.testing.assert_allclose(matrix, LPS * SPACING, atol=1e-5)
    np.testing.assert_allclose(origin, [50, 40, 30], atol=0.03)
    assert file_geometry(path).oriented and not file_geometry(path).warnings


@pytest.mark.parametrize(
    "spacing",
    [(6, 6, 0), (-6, 6, 6), (6, np.nan, 6), (np.inf, 6, 6), (1, 1, 1), (6, 6, 6.3), (4, 4, 4)],
    ids=str,
)
@pytest.mark.parametrize("codes", [(0, 1), (1, 1)])
def test_pixdim_that_is_no_spacing_or_not_that_of_the_sform_is_refused(
    tmp_path: Path, spacing: tuple[float, ...], codes: tuple[int, int]
) -> None:
    path = write_nifti(tmp_path / "x.nii", codes=codes, pixdim=(1, *spacing, 0, 0, 0, 0), quaternion=HERE)
    assert "spacing" in refusal(path) and "pixdim" in refusal(path)


@pytest.mark.parametrize("factor", [1.5, 0.9, 0.0, np.nan, np.inf])
def test_sform_with_another_spacing_than_pixdim_is_refused(tmp_path: Path, factor: float) -> None:
    sform = affine()
    sform[2, 2] *= factor
    assert "sform" in refusal(write_nifti(tmp_path / "x.nii", sform))


@pytest.mark.parametrize(
    ("quaternion", "handedness"),
    [((np.nan, 0, 0), 1), ((1, 1, 0), 1), ((0, 0, 0), np.nan), ((0, 0, 0), 3)],
)
def test_qform_that_is_no_rotation_is_refused(
    tmp_path: Path, quaternion: tuple[float, ...], handedness: float
) -> None:
    fields = {
        "codes": (1, 0),
        "quaternion": (*quaternion, 0, 0, 0),
        "pixdim": (handedness, 6, 6, 6, *[0] * 4),
    }
    assert "no rotation" in refusal(write_nifti(tmp_path / "x.nii", **fields))


@pytest.mark.parametrize(("unit", "millimeters"), [(1, 1000.0), (2, 1.0), (3, 1e-3), (0, 1.0)])
def test_unit_of_nifti_holds_for_spacing_and_place(tmp_path: Path, unit: int, millimeters: float) -> None:
    matrix = affine()
    matrix[:3] /= millimeters
    pixdim = (1, *[SPACING / millimeters] * 3, 0, 0, 0, 0)
    image = read_image(write_nifti(tmp_path / "x.nii", matrix, pixdim=pixdim, xyzt_units=(unit,)))
    np.testing.assert_allclose(image.GetSpacing(), SPACING, rtol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), (50, 40, 30), rtol=1e-5)


@pytest.mark.parametrize("scaling", [(np.inf, 0), (-np.inf, 0), (2, np.nan), (1, np.inf)])
def test_scaling_by_what_is_no_number_is_refused(tmp_path: Path, scaling: tuple[float, float]) -> None:
    assert "scl_slope" in refusal(write_nifti(tmp_path / "x.nii", scaling=scaling))


@pytest.mark.parametrize("scaling", [(0, 0), (0, np.nan), (np.nan, np.nan), (1, 0)])
def test_no_scaling_is_no_scaling(tmp_path: Path, scaling: tuple[float, float]) -> None:
    image = read_image(write_nifti(tmp_path / "x.nii", scaling=scaling))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, head())


def without_orientation(folder: Path) -> list[Path]:
    return [
        write_nifti(folder / "codes.nii", codes=(0, 0)),
        write_nrrd(folder / "spacings.nrrd", "spacings: 6 6 6"),
        write_nrrd(folder / "no_space.nrrd", "space dimension: 3", AXES, ORIGIN),
        write_nrrd(folder / "scanner.nrrd", "space: scanner-xyz", AXES, ORIGIN),
        write_metaimage(folder / "no_matrix.mha", STEP),
    ]


def test_header_without_orientation_is_read_with_a_warning_in_every_format(tmp_path: Path) -> None:
    for path in without_orientation(tmp_path):
        matrix, _ = geometry_of(read_image(path))
        np.testing.assert_allclose(matrix, np.eye(3) * SPACING)
        study = read_volumes({Modality.FLAIR: ImageFile(path)})
        assert len(study.warnings) == 1
        assert str(path) in study.warnings[0] and "left from right" in study.warnings[0]


def test_header_without_orientation_beside_one_that_has_it_is_refused(tmp_path: Path) -> None:
    sound = write_nifti(tmp_path / "sound.nii")
    for path in without_orientation(tmp_path):
        files = {Modality.FLAIR: ImageFile(sound), Modality.T1: ImageFile(path)}
        with pytest.raises(ImageError, match=rf"{path.name} does not tell .* but .*sound\.nii does"):
            read_volumes(files)
        case = Case("x", tmp_path, "brats", {Modality.FLAIR: ImageFile(sound)}, path, "brats2021")
        with pytest.raises(ImageError, match=f"{path.name} does not tell"):
            read_label(case)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("TransformMatrix = 2 0 0 0 2 0 0 0 2", STEP), "lengths 2, 2, 2"),
        (("TransformMatrix = 1 0 0 0 1 0 0 0 1.1", STEP), "lengths 1, 1, 1.1"),
        (("TransformMatrix = 0 0 0 0 1 0 0 0 1", STEP), "lengths 0, 1, 1"),
        (("TransformMatrix = 1 0 0 .5 .866 0 0 0 1", STEP), "sheared"),
        (("TransformMatrix = 1 0 0 0 1 0", STEP), "not 9 numbers"),
        (("TransformMatrix = nan 0 0 0 1 0 0 0 1", STEP), "nan"),
        ((TURNED, "Rotation = 0 1 0 1 0 0 0 0 1", STEP), "means the same"),
        ((TURNED, "Offset = 1 2 3", "Position = 1 2 4", STEP), "means the same"),
        ((TURNED, "Offset = 1 inf 3", STEP), "no place"),
        ((TURNED,), "no voxel spacing"),
        ((TURNED, "ElementSpacing = 6 6 0"), "positive number"),
        ((TURNED, "ElementSpacing = 6 nan 6"), "positive number"),
        ((TURNED, "ElementSpacing = 6 -6 6"), "positive number"),
        ((TURNED, "ElementSpacing = 6 6"), "not 3 numbers"),
        ((TURNED, STEP, "DistanceUnits = inch"), "no unit"),
        ((STEP, "AnatomicalOrientation = LPI"), "no TransformMatrix"),
        ((TURNED, STEP, "ElementByteOrderMSB = True"), "contradict each other"),
        ((TURNED, STEP, "ElementToIntensityFunctionSlope = 2"), "scaled voxels are not read"),
        ((TURNED, STEP, "ElementToIntensityFunctionOffset = -100"), "scaled voxels are not read"),
    ],
)
def test_metaimage_that_contradicts_itself_is_refused(
    tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    assert words in refusal(write_metaimage(tmp_path / "x.mha", *lines))


@pytest.mark.parametrize(
    "lines",
    [
        (TURNED, "Offset = 1 2 3", STEP),
        (f"Orientation = {MATRIX}", "Position = 1 2 3", STEP),
        (f"Rotation = {MATRIX}", "Origin = 1 2 3", f"ElementSize = {STEP.split('=')[1]}"),
        (TURNED, "Offset = 0.1 0.2 0.3", "ElementSpacing = .6 .6 .6", "DistanceUnits = cm"),
        (TURNED, "Offset = 1000 2000 3000", "ElementSpacing = 6000 6000 6000", "DistanceUnits = um"),
        ("Offset = 1 2 3", STEP, "AnatomicalOrientation = RAI"),
        (TURNED, "Offset = 1 2 3", STEP, "AnatomicalOrientation = RAI"),
        (TURNED, "Offset = 1 2 3", STEP, "AnatomicalOrientation = ???"),
    ],
)
def test_metaimage_is_placed_by_all_names_and_units_of_its_fields(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    path = write_metaimage(tmp_path / "x.mha", *lines)
    matrix, origin = geometry_of(read_image(path))
    np.testing.assert_allclose(matrix, np.eye(3) * SPACING)
    np.testing.assert_allclose(origin, [1, 2, 3])
    assert file_geometry(path).oriented and not file_geometry(path).warnings


@pytest.mark.parametrize("stated", ["LAI", "RPI", "RAS", "ARI"])
def test_anatomical_orientation_that_is_not_the_matrix_is_told(tmp_path: Path, stated: str) -> None:
    path = write_metaimage(tmp_path / "x.mha", TURNED, STEP, PLACE, f"AnatomicalOrientation = {stated}")
    (warning,) = file_geometry(path).warnings
    assert stated in warning and "RAI" in warning


@pytest.mark.parametrize(
    ("size", "told"), [("3 3 6", 1), ("6 12 6", 1), ("nan 6 6", 1), ("6 6 5", 0), ("6 6 6", 0)]
)
def test_voxels_of_another_size_than_their_distance_are_told(tmp_path: Path, size: str, told: int) -> None:
    path = write_metaimage(tmp_path / "x.mha", TURNED, STEP, PLACE, f"ElementSize = {size}")
    warnings = file_geometry(path).warnings
    assert len(warnings) == told and all("ElementSize" in text for text in warnings)


def test_anatomical_orientation_that_itk_writes_for_oblique_axes_is_no_contradiction(tmp_path: Path) -> None:
    for seed in range(40):
        image = sitk.GetImageFromArray(head())
        image.SetDirection(Rotation.random(random_state=seed).as_matrix().ravel().tolist())
        sitk.WriteImage(image, str(tmp_path / "x.mha"))
        assert not file_geometry(tmp_path / "x.mha").warnings


@pytest.mark.parametrize("origin", [(), ("space origin: none",)])
def test_header_without_origin_is_told_and_refused_beside_one_that_has_it(
    tmp_path: Path, origin: tuple[str, ...]
) -> None:
    sound = write_nrrd(tmp_path / "sound.nrrd", SPACE, AXES, ORIGIN)
    for path in (
        write_nrrd(tmp_path / "x.nrrd", SPACE, AXES, *origin),
        write_metaimage(tmp_path / "x.mha", TURNED, STEP),
    ):
        (warning,) = read_volumes({Modality.FLAIR: ImageFile(path)}).warnings
        assert str(path) in warning and "no origin" in warning
        with pytest.raises(ImageError, match=rf"{path.name} does not tell .* but .*sound\.nrrd does"):
            read_volumes({Modality.FLAIR: ImageFile(sound), Modality.T1: ImageFile(path)})


def test_fourth_dimension_of_one_is_left_out_of_a_metaimage(tmp_path: Path) -> None:
    lines = (f"TransformMatrix = {' '.join('1' if n % 5 == 0 else '0' for n in range(16))}",)
    lines += ("Offset = 1 2 3 0", "ElementSpacing = 6 6 6 1")
    image = read_image(write_metaimage(tmp_path / "x.mha", *lines, sizes="20 18 16 1"))
    assert image.GetSize() == SHAPE and image.GetOrigin() == (1, 2, 3)


@pytest.mark.parametrize("write", ["nifti", "nrrd", "metaimage"])
@pytest.mark.parametrize(("cosine", "told"), [(0.0, 0), (5e-4, 0), (5e-3, 1), (0.0166, 1)])
def test_shear_beyond_rounding_is_told_in_every_format(
    tmp_path: Path, write: str, cosine: float, told: int
) -> None:
    other = np.sqrt(1 - cosine**2)
    if write == "nifti":
        sform = affine()
        sform[:2, 1] = cosine * SPACING, other * SPACING
        path = write_nifti(tmp_path / "x.nii", sform)
    elif write == "nrrd":
        axes = f"space directions: (6,0,0) ({6 * cosine},{6 * other},0) (0,0,6)"
        path = write_nrrd(tmp_path / "x.nrrd", SPACE, axes, ORIGIN)
    else:
        path = write_metaimage(
            tmp_path / "x.mha", f"TransformMatrix = 1 0 0 {cosine} {other} 0 0 0 1", STEP, PLACE
        )
    warnings = file_geometry(path).warnings
    assert len(warnings) == told and all("right angle" in text for text in warnings)
    axes = np.reshape(read_image(path).GetDirection(), (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=2e-3 if not told else 1e-6)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_nifti(path / "x.nii", affine(16), pixdim=(1, 16, 16, 16, 0, 0, 0, 0)),
        lambda path: write_nrrd(path / "x.nrrd", "spacings: 3 3 120"),
        lambda path: write_metaimage(path / "x.mha", TURNED, "ElementSpacing = 3 3 15.5"),
    ],
)
def test_voxels_that_no_volume_of_a_head_has_are_refused(tmp_path: Path, write) -> None:
    assert "above 15 mm" in refusal(write(tmp_path))


@pytest.mark.parametrize("keep", [0, 3, 60])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_header_that_is_cut_off_is_an_error_of_its_own(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"x{suffix}"
    write_image(sitk.GetImageFromArray(head()), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=f"x{suffix}"):
        file_geometry(path)


def test_output_says_the_same_to_programs_that_follow_the_qform_and_the_sform(tmp_path: Path) -> None:
    oblique = affine()
    oblique[:3, :3] = Rotation.from_euler("xyz", [20, -8, 30], degrees=True).as_matrix() * SPACING
    for number, codes in enumerate([(0, 1), (0, 2)]):
        path = write_nifti(tmp_path / f"{number}.nii", oblique, codes=codes)
        write_image(read_image(path), tmp_path / f"out{number}.nii.gz")
        written = nibabel.load(tmp_path / f"out{number}.nii.gz")
        np.testing.assert_allclose(written.get_qform(coded=True)[0], oblique, atol=1e-3)
        np.testing.assert_allclose(written.get_sform(coded=True)[0], oblique, atol=1e-3)


def test_any_geometry_that_other_programs_write_is_the_one_that_is_read(tmp_path: Path) -> None:
    hypothesis = pytest.importorskip("hypothesis")
    strategies = hypothesis.strategies
    numbers = strategies.floats(0.5, 9)
    angles, places = strategies.floats(-180, 180), strategies.floats(-300, 300)

    @hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
    @hypothesis.given(
        strategies.tuples(numbers, numbers, numbers),
        strategies.tuples(angles, angles, angles),
        strategies.tuples(places, places, places),
        strategies.booleans(),
        strategies.sampled_from([(1, 0), (0, 1), (1, 1), (1, 2)]),
    )
    def check(spacing, degrees, place, flipped, codes) -> None:
        axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * spacing
        axes[:, 2] *= -1 if flipped else 1
        matrix = np.eye(4)
        matrix[:3] = np.column_stack([axes, place])
        written = nibabel.Nifti1Image(head(), None)
        written.set_sform(matrix, codes[1])
        written.set_qform(matrix, codes[0])
        nibabel.save(written, tmp_path / "x.nii")
        image = read_image(tmp_path / "x.nii")
        for suffix in (".nii", ".mha", ".nrrd"):
            write_image(image, tmp_path / f"again{suffix}")
            found, origin = geometry_of(read_image(tmp_path / f"again{suffix}"))
            np.testing.assert_allclose(found, LPS @ axes, atol=2e-3)
            np.testing.assert_allclose(origin, LPS @ place, atol=2e-3)
            assert not file_geometry(tmp_path / f"again{suffix}").warnings

    check()
