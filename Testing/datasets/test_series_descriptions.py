"""Series descriptions as scanners and their users write them."""

from __future__ import annotations

import pytest

from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.datasets.detection import FIT_TO_FILL_IN, detect_modality

FLAIR, T1CE, T1, T2 = MODALITIES
NONE = None

SIEMENS = {
    "t2_tirm_tra_dark-fluid": FLAIR,
    "t2_tirm_tra_dark-fluid_5mm_KM": FLAIR,
    "t2_spc_da-fl_sag_p2_iso": FLAIR,
    "t2_space_dark-fluid_sag_p2_iso_MPR_tra": FLAIR,
    "t2_spc_da-fl_irprep_sag_p2_iso MPR cor": FLAIR,
    "t2_spc_ir_sag_p2_iso": FLAIR,
    "t2_blade_dark-fluid_tra": FLAIR,
    "t2_tse_dark-fluid_tra_p2": FLAIR,
    "t2_space_flair_sag_1mm": FLAIR,
    "t1_mprage_sag_p2_iso": T1,
    "t1_mpr_ns_sag_p2_iso": T1,
    "t1_mprage_tra_p2_iso_nativ": T1,
    "t1_mp2rage_sag_p3_iso_UNI_Images": T1,
    "t1_se_tra": T1,
    "t1_tse_tra_vor KM": T1,
    "t1_fl2d_tra": T1,
    "t1_space_sag_p2_iso": T1,
    "t1_mprage_sag_p2_iso_KM": T1CE,
    "t1_mprage_tra_p2_iso_nach_KM_MPR_cor": T1CE,
    "t1_se_tra_post_gd": T1CE,
    "t1_tse_fs_cor +KM": T1CE,
    "t1_vibe_tra_fs_post": T1CE,
    "t1_spc_sag_p2_iso_CE": T1CE,
    "t2_tse_tra": T2,
    "t2_tse_tra_MPR": T2,
    "t2_space_sag_p2_iso": T2,
    "t2_blade_tra_320": T2,
    "t2_haste_tra": T2,
    "t2_fl2d_tra_hemo": NONE,
    "t2_fl3d_tra_p2_swi": NONE,
    "ep2d_diff_3scan_trace_p2_TRACEW": NONE,
    "ep2d_diff_3scan_trace_p2_ADC": NONE,
    "resolve_4scan_trace_tra_192_ADC": NONE,
    "ep2d_perf_p2_MoCo": NONE,
    "ep2d_bold_moco_p2": NONE,
    "relCBV_t2": NONE,
    "SWI_Images": NONE,
    "mIP_Images(SW)": NONE,
    "Pha_Images": NONE,
    "gre_field_mapping": NONE,
    "tof_fl3d_tra_p2_multi-slab": NONE,
    "localizer_t1": NONE,
    "AAHead_Scout_MPR_sag": NONE,
    "t1_mp2rage_sag_p3_iso_INV1": NONE,
    "t1_mp2rage_sag_p3_iso_T1_Images": NONE,
    "t1_vibe_dixon_tra_F": NONE,
    "t2_ci3d_ciss_tra": NONE,
    "t2_ci3d_tra_iac": NONE,
    "t1_mprage_sag Deep Resolve": T1,
    "FLAIR Deep Resolve": FLAIR,
    "FLAIR* tra": NONE,
    "t2_stir_cor": NONE,
    "pd+t2_tse_tra": NONE,
    "t2_tse_sag_HWS spine": NONE,
    "PhoenixZIPReport": NONE,
    "MPR Range[1]": NONE,
}
GE = {
    "Ax T2 FLAIR": FLAIR,
    "AX FLAIR PROPELLER": FLAIR,
    "Sag CUBE T2 FLAIR": FLAIR,
    "Sag FLAIR 3D MPR Ax": FLAIR,
    "Ax FLAIR +C": FLAIR,
    "PU:Sag T2 FLAIR CUBE": FLAIR,
    "Ax T1": T1,
    "SAG T1 PRE": T1,
    "Ax 3D BRAVO": T1,
    "Ax FSPGR 3D": T1,
    "AX T1 W/O": T1,
    "Ax T1 SE WO CONTRAST": T1,
    "AX T1 POST": T1CE,
    "Ax T1 +C": T1CE,
    "COR T1 C+ FS": T1CE,
    "Ax 3D BRAVO +C": T1CE,
    "Sag T1 MPRAGE W CONTRAST": T1CE,
    "AX T1 GAD Fat Sat": T1CE,
    "3D T1 w/ C": T1CE,
    "Ax T2 PROP": T2,
    "Ax T2 FRFSE": T2,
    "AX T2 FSE FS": T2,
    "Sag T2 CUBE": T2,
    "AX T2 GRE": NONE,
    "Ax T2* GRE": NONE,
    "Ax SWAN": NONE,
    "FILT_PHA: Ax SWAN T2": NONE,
    "Ax DWI b1000 ASSET": NONE,
    "Apparent Diffusion Coefficient (mm2/s)": NONE,
    "eADC T2": NONE,
    "3-Plane Loc T2 SSFSE": NONE,
    "Ax T2 FIESTA": NONE,
    "AX T2 PERFUSION": NONE,
    "T1 DCE dynamic": NONE,
    "3D ASL (non-contrast)": NONE,
    "Screen Save T1": NONE,
    "SUB AX T1 POST": NONE,
    "PJN:3D TOF": NONE,
    "Ax T1 FLAIR": NONE,
    "BRAIN W/WO CONTRAST": NONE,
}
PHILIPS = {
    "T2W_FLAIR": FLAIR,
    "FLAIR_longTR": FLAIR,
    "3D_Brain_VIEW_FLAIR SENSE": FLAIR,
    "WIP sag 3D FLAIR": FLAIR,
    "sFLAIR_3D_VISTA": FLAIR,
    "T1W_SE": T1,
    "sT1W_3D_TFE": T1,
    "T1W_IR_TSE": T1,
    "T1W_3D_FFE": T1,
    "3D_TFE_T1 pre Gd": T1,
    "eT1W_SE_CLEAR": T1,
    "T1W_SE_GD": T1CE,
    "sT1W_3D_TFE+Gd": T1CE,
    "T1W_TSE_Dotarem": T1CE,
    "T1 3D TFE avec gado": T1CE,
    "sT1W_3D_TFE_post": T1CE,
    "T2W_TSE": T2,
    "T2W_TSE_MV_CLEAR": T2,
    "sT2W_3D_VISTA": T2,
    "T2W_FFE": NONE,
    "T2_FFE hemo": NONE,
    "sDWI_T2": NONE,
    "dADC": NONE,
    "isoDWI": NONE,
    "SWIp T2": NONE,
    "VEN_BOLD": NONE,
    "B0_map T1": NONE,
    "SmartBrain T1": NONE,
    "Survey": NONE,
    "WIP fcMRI Field Mapping": NONE,
    "T2W_bFFE": NONE,
    "DSC_perfusion T2": NONE,
    "T1_map_MOLLI": NONE,
    "COR STIR T2W": NONE,
}
CANON = {
    "FSE T2W AX": T2,
    "FLAIR MPV": FLAIR,
    "3D FFE T1": T1,
    "CE T1 MPV": T1CE,
    "FSBB T1": NONE,
}
UNITED_IMAGING = {
    "t2_fse_arms_tra": T2,
    "t2_mx3d_flair_sag_fs": FLAIR,
    "gre_fsp_3d_sag": T1,
    "gre_fsp_3d_sag+C": T1CE,
    "epi_dwi_tra_b1000": NONE,
}
LANGUAGES = {
    "T1 o. KM": T1,
    "T1 ohne Kontrast": T1,
    "T1 KM- tra": T1,
    "T1 TRA NACH KONTRASTMITTEL": T1CE,
    "T1 MPRAGE nach Kontrastmittelgabe": T1CE,
    "Übersicht T1": NONE,
    "T1 avant l'injection": T1,
    "3D T1 injecté": T1CE,
    "T1 après injection": T1CE,
    "SOUS T1": NONE,
    "T2 EG": NONE,
    "T2 Hémo": NONE,
    "DP T2": NONE,
    "repérage T2": NONE,
    "T1 s/ contraste": T1,
    "T1 sem contraste": T1,
    "T1 pós-contraste": T1CE,
    "T1 con CIV": T1CE,
    "T2 difusión": NONE,
    "T2 eco de gradiente": NONE,
    "T1 prima di mdc": T1,
    "T1 zonder contrast": T1,
    "T1 met contrast": T1CE,
    "T1 до контраста": T1,
    "Т1 после контраста": T1CE,  # noqa: RUF001 the Cyrillic letter
    "T2 диффузия": NONE,
    "T1強調": T1,
    "T1WI 単純": T1,
    "造影T1強調": T1CE,
    "T1 造影前": T1,
    "T2強調画像": T2,
    "拡散強調 T2": NONE,
    "位置決め T1": NONE,
    "T1 p.c. tra": T1CE,
    "T1 SE ASS CON M.D.C.": T1CE,
    "T1 senza m.d.c.": T1,
    "T1 c.i.v.": T1CE,
    "T1 POSTCONTRASTE": T1CE,
    "T1 AX C/C": T1CE,
    "T1 AX S/C": T1,
    "T1 con cte": T1CE,
    "T1 sin cte": T1,
    "T1 pGd": T1CE,
    "T1 post fossa": T1,
    "T2 水抑制 TRA": FLAIR,
    "T2 压水": FLAIR,
    "T1 平扫": T1,
    "T1 增强": T1CE,
    "T2 灌注": NONE,
}
IN_ONE_WORD = {
    "T1AXGD": T1CE,
    "T1CEAX": T1CE,
    "AXT1POST": T1CE,
    "SAGMPRAGE+C": T1CE,
    "T1 +CM": T1CE,
    "T1 IV+": T1CE,
    "T1 avec PDC": T1CE,
    "T1 IV-": T1,
    "T1AXPRE": T1,
    "3DBRAVO": T1,
    "MEMPRAGE": T1,
    "T2WAX": T2,
    "AXT2FS": T2,
    "SAGFLAIR": FLAIR,
    "T2GREAX": NONE,
    "T2STARAX": NONE,
    "T1 overlay": NONE,
}
WATER_AND_FAT = {
    "t1_vibe_dixon_tra_in": T1,
    "T1 LAVA-Flex in phase": T1,
    "WATER: Ax T1 LAVA-Flex +C": T1CE,
    "t1_vibe_dixon_FF": NONE,
    "FAT: Ax T1 LAVA-Flex +C": NONE,
    "OutPhase: Ax T1 LAVA": NONE,
    "T1 LAVA out of phase": NONE,
    "T1 fat fraction": NONE,
}
LISTS = {
    **{"Siemens": SIEMENS, "GE": GE, "Philips": PHILIPS, "Canon": CANON, "United Imaging": UNITED_IMAGING},
    **{"languages": LANGUAGES, "in one word": IN_ONE_WORD, "water and fat": WATER_AND_FAT},
}


@pytest.mark.parametrize("kind", LISTS)
def test_descriptions_of_scanners_and_their_users_are_understood(kind: str) -> None:
    wrong = {}
    for description, modality in LISTS[kind].items():
        guess = detect_modality(header={"SeriesDescription": description})
        filled_in = guess.modality if guess.confidence >= FIT_TO_FILL_IN else None
        if filled_in is not modality or (modality is not None and guess.confidence < 0.8):
            wrong[description] = guess
    assert not wrong


def test_a_volume_node_named_as_slicer_names_series_is_understood_like_the_series() -> None:
    for name in (*SIEMENS, *GE, *PHILIPS):
        alone, node = detect_modality(name), detect_modality(f"12: {name}")
        assert (alone.modality, alone.excluded) == (node.modality, node.excluded), name


SPIN_ECHO = {"ScanningSequence": "SE"}
DUAL = SPIN_ECHO | {"SeriesDescription": "pd+t2_tse_tra", "RepetitionTime": "3000"}
HEADERS = {
    "first of two echoes": (DUAL | {"EchoTime": "12"}, NONE),
    "second of two echoes": (DUAL | {"EchoTime": "98"}, T2),
    "T1 FLAIR with its times": (
        {"SeriesDescription": "Ax T1 FLAIR", "ScanningSequence": "SE\\IR", "EchoTime": "25"}
        | {"RepetitionTime": "2500", "InversionTime": "860"},
        T1,
    ),
    "T2 read by gradient echoes": ({"SeriesDescription": "Ax T2", "ScanningSequence": "GR"}, NONE),
    "short inversion time": (
        {"SeriesDescription": "t2_tirm_cor", "ScanningSequence": "SE\\IR", "EchoTime": "60"}
        | {"RepetitionTime": "4000", "InversionTime": "160"},
        NONE,
    ),
    "second inversion of MP2RAGE": (
        {"ScanningSequence": "GR\\IR", "EchoTime": "2.9", "RepetitionTime": "5000", "InversionTime": "2500"},
        NONE,
    ),
    "contrast of an enhanced file": (
        {"SeriesDescription": "VISTA", "AcquisitionContrast": "FLUID_ATTENUATED"},
        FLAIR,
    ),
    "phase image": ({"SeriesDescription": "t1_tfl", "ImageType": "ORIGINAL\\PRIMARY\\P\\ND"}, NONE),
    "phase image of Philips": (
        {"SeriesDescription": "T1W_FFE", "ImageType": "ORIGINAL\\PRIMARY\\PHASE MAP\\P\\FFE"},
        NONE,
    ),
    "fat image by its kind": (
        {"SeriesDescription": "T1", "ImageType": "DERIVED\\PRIMARY\\DIXON\\F"},
        NONE,
    ),
    "subtraction by its kind": (
        {"SeriesDescription": "T1", "ImageType": "DERIVED\\PRIMARY\\M\\SUB"},
        NONE,
    ),
    "projection": ({"SeriesDescription": "T1 3D", "ImageType": "DERIVED\\SECONDARY\\PROJECTION IMAGE"}, NONE),
    "diffusion map": ({"SeriesDescription": "T2", "ImageType": "DERIVED\\PRIMARY\\DIFFUSION\\ADC"}, NONE),
    "echo-planar": ({"SeriesDescription": "T2 axial", "ScanningSequence": "EP\\SE"}, NONE),
    "susceptibility by its sequence": ({"SeriesDescription": "T1 3D", "SequenceName": "*swi3d1r"}, NONE),
    "thermometry": ({"SeriesDescription": "t1 fl2d thermometry"}, NONE),
    "after an ablation": ({"SeriesDescription": "T1 post LITT"}, T1),
    "volume of agent alone": ({"SeriesDescription": "T1 3D", "ContrastBolusVolume": "7.5"}, T1CE),
    "agent denied": (
        {"SeriesDescription": "T1 3D", "ContrastBolusAgent": "none", "ContrastBolusVolume": "7"},
        T1,
    ),
    "the protocol is the examination": (
        {"SeriesDescription": "Ax T2", "ProtocolName": "MRI BRAIN PERFUSION W WO CONTRAST"},
        T2,
    ),
    "the protocol where the description is silent": (
        {"SeriesDescription": "WIP 501", "ProtocolName": "T2W_TSE"},
        T2,
    ),
    "FLAIR without its inversion time": (
        SPIN_ECHO | {"SeriesDescription": "T2W_FLAIR", "EchoTime": "120", "RepetitionTime": "11000"},
        FLAIR,
    ),
    "contrast in the name, T1 in the times": (
        SPIN_ECHO | {"SeriesDescription": "Ax POST GAD", "EchoTime": "9", "RepetitionTime": "500"},
        T1CE,
    ),
}


@pytest.mark.parametrize("case", HEADERS)
def test_what_the_header_states_settles_what_names_leave_open(case: str) -> None:
    header, modality = HEADERS[case]
    guess = detect_modality(header=header)
    assert guess.modality is modality, guess.reason
    assert modality is None or guess.confidence >= FIT_TO_FILL_IN


def test_no_guess_that_asks_to_be_checked_is_filled_in() -> None:
    for name in (*SIEMENS, *GE, *PHILIPS):
        guess = detect_modality(name)
        assert "check" not in guess.reason or guess.confidence < FIT_TO_FILL_IN
