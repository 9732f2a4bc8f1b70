"""Guessing a modality from what people and scanners call a volume."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

import MissingModalityLib
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.detection import detect_modality
from MissingModalityLib.datasets.sequence_words import is_reformat, words_of

FLAIR, T1CE, T1, T2 = MODALITIES
LIBRARY = Path(MissingModalityLib.__file__).parents[1]

CLEAR = {
    FLAIR: (
        *("flair", "t2f", "T2 FLAIR", "Ax T2 FLAIR", "t2_space_flair", "T2-FLAIR", "FLAIR post contrast"),
        *("BraTS2021_00000_flair.nii.gz", "VSD.Brain.XX.O.MR_Flair.54512.mha", "BraTS-GLI-00001-000-t2f"),
        *("5: t2_tirm_tra_dark-fluid", "Sag CUBE T2 FLAIR", "sub-01_FLAIR.nii.gz", "/data/seg/flair.nii.gz"),
        *("FLAIR_reg_to_T1.nii.gz", "T2W_FLAIR", "3D_Brain_VIEW_FLAIR", "FLAIR_1"),
    ),
    T1CE: (
        *("t1ce", "t1c", "t1gd", "T1ce", "T1C+", "T1 +C", "Ax T1 C+", "T1 MPRAGE POST GD", "T1_GAD"),
        *("BraTS2021_00000_t1ce.nii.gz", "VSD.Brain.XX.O.MR_T1c.54513", "BraTS-MET-00001-000-t1c"),
        *("t1_mprage_sag_p2_iso_CE", "t1_se_tra_km", "axT1post", "T1 SE Gd-DTPA", "3D BRAVO +C", "T1wCE"),
        *("T1-weighted post-contrast", "contrast-enhanced T1", "T1_C", "MPRAGEpost", "T1 GD pre-op"),
    ),
    T1: (
        *("t1", "t1n", "T1w", "AX T1", "Sag T1 Pre", "T1 PRE GD", "MPRAGE", "sT1W_3D_TFE", "3DT1", "eT1W_SE"),
        *("BraTS2021_00000_t1.nii.gz", "VSD.Brain.XX.O.MR_T1.54513.mha", "T1 without contrast", "T1 (2)"),
        *("AX T1 W/O CONTRAST", "t1 non-contrast", "T1 -C", "T1 post-op", "t1_mprage_sag_p2_iso"),
    ),
    T2: (
        *("t2", "t2w", "T2 Propeller", "t2_tse_tra", "T2W_TSE_Ax", "Sag 3D T2 SPACE", "T2 BLADE"),
        *(
            "BraTS2021_00000_t2.nii.gz",
            "VSD.Brain.XX.O.MR_T2.54515.mha",
            "BraTS-GLI-00001-000-t2W",
            "t2_in_flair.nii.gz",
        ),
    ),
}
UNCLEAR = (
    "T1 T2",
    "image",
    "",
    "vol0000",
    "MRBrainTumor1",
    "test2",
    "patient_T1_T2",
    "T1 pre and post",
    "DICOM",
)
OTHER = (
    *(
        "DWI",
        "ADC map",
        "T2 DWI b1000",
        "SWI",
        "T2* GRE",
        "T2_star",
        "perfusion",
        "T2 DSC perfusion",
        "T1 DCE",
    ),
    *(
        "brainmask",
        "flair_mask",
        "BraTS2021_00000_seg.nii.gz",
        "T1 T2 fusion",
        "T1 map",
        "t1map",
        "t2 localizer",
    ),
    *("TOF MRA", "T1 subtraction", "FLAIR segmentation", "tumor label", "VSD.Brain_3more.XX.O.OT.54517.mha"),
)
TIMES = {
    FLAIR: {
        "EchoTime": "120",
        "RepetitionTime": "9000",
        "InversionTime": "2500",
        "ScanningSequence": "SE\\IR",
    },
    T1: {"EchoTime": "3.1", "RepetitionTime": "2300", "InversionTime": "900", "ScanningSequence": "GR\\IR"},
    T2: {"EchoTime": "98", "RepetitionTime": "5200", "ScanningSequence": "SE"},
}


@pytest.mark.parametrize(
    ("modality", "name"), [(key, name) for key, names in CLEAR.items() for name in names]
)
def test_usual_names_are_recognized_with_confidence(modality: Modality, name: str) -> None:
    guess = detect_modality(name)
    assert guess.modality is modality, guess.reason
    assert 0.8 <= guess.confidence <= 1


@pytest.mark.parametrize("name", (*UNCLEAR, *OTHER))
def test_other_images_and_unclear_names_get_no_modality(name: str) -> None:
    guess = detect_modality(name)
    assert guess.modality is None, guess.reason
    assert guess.confidence == 0 and guess.reason


@pytest.mark.parametrize("name", OTHER)
def test_header_times_do_not_turn_another_image_into_a_modality(name: str) -> None:
    if "OT" not in name:
        assert detect_modality(name, header=TIMES[T2]).modality is None


def test_t1_weighted_flair_is_proposed_with_doubt() -> None:
    guess = detect_modality("Ax T1 FLAIR")
    assert guess.modality is T1 and guess.confidence <= 0.5 and "check" in guess.reason
    assert detect_modality("Ax T1 FLAIR +C").modality is T1CE


@pytest.mark.parametrize("name", ["T1 PC", "PC T1", "t1_tse_tra_pc", "T1W_PC", "Ax T1 SE PC"])
def test_pc_may_be_post_or_phase_contrast_and_is_asked(name: str) -> None:
    for header in ({}, TIMES[T1], {"ContrastBolusAgent": "none"}):
        guess = detect_modality(name, header=header)
        assert guess.modality is T1CE and guess.confidence < 0.5 and "check" in guess.reason
    given = detect_modality(name, header={"ContrastBolusAgent": "Gadovist"})
    assert given.modality is T1CE and given.confidence >= 0.5
    assert detect_modality(name, header={"AngioFlag": "Y"}).excluded
    assert detect_modality("PC sag", header=TIMES[T1]).confidence < 0.5


def test_other_short_words_for_contrast_agent() -> None:
    assert all(detect_modality(name).modality is T1CE for name in ("T1 pKM", "T1+", "T1 tse tra +", "T1w +C"))
    assert all(detect_modality(name).confidence < 0.5 for name in ("T1 PI", "T1_IV"))
    assert detect_modality("T1 native IV").modality is T1
    assert detect_modality("brain IV", header=TIMES[T2]).modality is T2


def test_contrast_without_weighting_is_too_little_to_fill_in() -> None:
    assert detect_modality("POST GAD").confidence < 0.5


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_texts_add_up_in_any_order(order: tuple[int, ...]) -> None:
    texts = ("Series 7", "IM0001.nii", "t1_tse_tra Gd")
    assert detect_modality(*(texts[index] for index in order)).modality is T1CE


def test_texts_that_contradict_each_other_get_no_modality() -> None:
    assert detect_modality("T1", "patient_t2.nii.gz").modality is None


def test_description_in_the_header_counts_as_a_text() -> None:
    assert detect_modality("5: unnamed", header={"SeriesDescription": "Ax T2 FLAIR"}).modality is FLAIR
    assert detect_modality(header={"ProtocolName": "t2_tse"}).modality is T2


@pytest.mark.parametrize("modality", TIMES)
def test_times_in_the_header_decide_where_names_are_silent(modality: Modality) -> None:
    guess = detect_modality("Series 5", header=TIMES[modality])
    assert guess.modality is modality
    assert 0.5 <= guess.confidence < 0.8
    assert f"TE {float(TIMES[modality]['EchoTime']):g} ms" in guess.reason


def test_contrast_agent_makes_t1_a_t1ce() -> None:
    agent = {"ContrastBolusAgent": "Gadovist"}
    assert detect_modality("t1_mprage", header=agent).modality is T1CE
    assert detect_modality("Series 5", header=TIMES[T1] | agent).modality is T1CE
    assert detect_modality("t2_tse", header=agent).modality is T2
    assert detect_modality("FLAIR", header=agent).modality is FLAIR
    native = detect_modality("T1 pre", header=agent)
    assert native.modality is T1 and native.confidence < 0.8


@pytest.mark.parametrize(
    "nothing",
    [
        *(
            "",
            "NONE",
            "no",
            "N",
            "0",
            "0 ml",
            "False",
            "Without contrast",
            "OHNE",
            "kein KM",
            "Pas de produit",
        ),
        *("kein KM", "Pas de produit", "SIN CONTRASTE", "senza mdc", "sem contraste", "无", "なし"),
    ],
)
def test_empty_entries_for_the_contrast_agent_do_not_count(nothing: str) -> None:
    assert detect_modality("T1", header={"ContrastBolusAgent": nothing}).modality is T1


@pytest.mark.parametrize(
    ("header", "modality"),
    [
        ({"ContrastBolusAgent": "Gadovist", "ContrastBolusVolume": "0"}, T1),
        ({"ContrastBolusAgent": "Dotarem", "ContrastBolusTotalDose": "0.0"}, T1),
        ({"ContrastBolusAgent": "Gadovist 0 ml"}, T1),
        ({"ContrastBolusAgent": "0,0ml Dotarem"}, T1),
        ({"ContrastBolusVolume": "0"}, T1),
        ({"ContrastBolusAgent": "Gadovist", "ContrastBolusVolume": "0", "ContrastBolusTotalDose": "7"}, T1CE),
        ({"ContrastBolusAgent": "Gadovist 10 ml"}, T1CE),
        ({"ContrastBolusAgent": "Gadovist 7.0 ml"}, T1CE),
        ({"ContrastBolusAgent": "Gadovist 0,1 mmol/kg"}, T1CE),
    ],
)
def test_an_agent_of_which_nothing_was_given_does_not_count(
    header: dict[str, str], modality: Modality
) -> None:
    assert detect_modality("T1", header=header).modality is modality


def test_times_confirm_a_name_or_cast_doubt_on_it() -> None:
    alone = detect_modality("T2").confidence
    assert detect_modality("T2", header=TIMES[T2]).confidence > alone
    doubtful = detect_modality("T2", header=TIMES[FLAIR])
    assert doubtful.modality is T2 and doubtful.confidence < 0.5 and "But" in doubtful.reason


@pytest.mark.parametrize("broken", ["", "abc", "-1", "nan", None])
def test_unusable_numbers_in_the_header_are_ignored(broken: str | None) -> None:
    header = TIMES[FLAIR] | {"EchoTime": broken}
    assert detect_modality("image", header=header).modality is None
    assert detect_modality("FLAIR", header=header).modality is FLAIR


def test_proton_density_and_echo_planar_times_tell_nothing() -> None:
    assert detect_modality("x", header={"EchoTime": "20", "RepetitionTime": "3000"}).modality is None
    planar = {"EchoTime": "90", "RepetitionTime": "8000", "ScanningSequence": "EP"}
    assert detect_modality("x", header=planar).modality is None


def test_guessing_needs_no_heavy_import() -> None:
    code = (
        "import sys, MissingModalityLib.datasets.detection; "
        "print(*{'numpy', 'SimpleITK', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=LIBRARY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "name",
    ["Subtraktion T1 KM", "T1 soustraction", "t1 KM minus nativ", "T2 difference", "DW_SENSE", "Average DC"],
)
def test_computed_and_diffusion_images_are_known_in_other_words(name: str) -> None:
    assert detect_modality(name, header=TIMES[T2]).excluded


@pytest.mark.parametrize(
    "header", [{"DiffusionBValue": "1000"}, {"PulseSequenceName": "SEEPI"}, {"PulseSequenceName": "DwiSE"}]
)
def test_diffusion_is_known_by_its_header_alone(header: dict[str, str]) -> None:
    assert detect_modality(header=TIMES[T2] | header).excluded == "other sequence"
    assert detect_modality(header=TIMES[T2] | {"DiffusionBValue": "0"}).modality is T2


@pytest.mark.parametrize(
    ("name", "reformat"),
    [("t1_mpr_ns_sag_p2_iso", False), ("t1_mpr_ns_sag_p2_iso_MPR Tra", True), ("T1 MPR tra", True)],
)
def test_mpr_is_a_reformat_but_where_it_shortens_mprage(name: str, reformat: bool) -> None:
    assert is_reformat(words_of(name)) is reformat


@pytest.mark.parametrize(
    ("name", "contrast"),
    [("t1_tse KM", True), ("T1 pre Gd", False), ("T1", None), ("FLAIR +C", True), ("t2 nativ", False)],
)
def test_the_guess_says_whether_contrast_was_given(name: str, contrast: bool | None) -> None:
    assert detect_modality(name).contrast is contrast


@pytest.mark.parametrize("name", ["sub-01_T1w.nii.gz", "sub_02_t1ce.nii.gz", "sub-01_ses-2_FLAIR"])
def test_subjects_of_a_data_set_are_no_subtractions(name: str) -> None:
    assert detect_modality(name).modality is not None
