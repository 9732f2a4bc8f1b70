"""What DICOM attributes say of an MR image beside its names: kind of image, contrast agent, and weighting.

Sources: DICOM PS3.3 C.7.6.1.1.2 and C.8.3.1.1.1 (Image Type), C.8.13.3 (Acquisition Contrast), C.8.3.1
(Scanning Sequence, times), C.8.13.5.9 (b-value), C.7.6.4 (Contrast/Bolus).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.modalities import Modality
from .sequence_words import CAPTURE, LOCALIZER, MAP, OTHER_SEQUENCE, PROJECTION

HEADER_KEYWORDS = (
    *("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "ScanningSequence"),
    *("ImageType", "ComplexImageComponent", "AcquisitionContrast"),
    *("RepetitionTime", "EchoTime", "InversionTime"),
    *("ContrastBolusAgent", "ContrastBolusVolume", "ContrastBolusTotalDose"),
    *("DiffusionBValue", "AngioFlag"),
)
"""Attributes that :func:`detection.detect_modality` looks at."""

Header = Mapping[str, str]
"""Attributes by keyword as text, several values joined by backslashes, times in milliseconds."""


@dataclass(frozen=True)
class Weighting:
    """What the times of a sequence make bright.

    Attributes:
        modality: T1 (whatever the contrast), T2 or FLAIR; None where the times tell none of them.
        reason: one sentence; empty where the header has no times.
        excluded: the times are those of a sequence that is none of the four.
    """

    modality: Modality | None
    reason: str = ""
    excluded: bool = False


# of Image Type: what each value says, and the kind of image
_IMAGE_TYPES = {
    "LOCALIZER": LOCALIZER,
    "SCOUT": LOCALIZER,
    **dict.fromkeys(("PROJECTION IMAGE", "MIP", "MIN IP", "MINIP", "MNIP", "CSA MIP"), PROJECTION),
    **dict.fromkeys(("VRT", "SSD"), PROJECTION),
    **dict.fromkeys(("VOLUME RENDER", "VOLREND", "PJN", "CSA 3D EDITOR"), PROJECTION),
    **dict.fromkeys(("ADC", "FA", "EADC", "CBF", "CBV", "MTT", "TTP", "TMAX", "RCBV", "RCBF"), MAP),
    **dict.fromkeys(("T1 MAP", "T2 MAP", "T2_STAR MAP", "MAP", "SUBTRACTION", "SUBTRACT", "SUB"), MAP),
    **dict.fromkeys(("PHASE", "PHASE MAP", "VELOCITY", "B0", "B1", "FIELD_MAP", "P", "R", "I"), MAP),
    **dict.fromkeys(("OPP_PHASE", "OPP PHASE", "OUT_PHASE", "OPP", "OP", "FAT", "F", "FF"), OTHER_SEQUENCE),
    **dict.fromkeys(("SCREEN SAVE", "SCREENSAVE"), CAPTURE),
    **dict.fromkeys(("DIFFUSION", "TRACEW", "TENSOR"), OTHER_SEQUENCE),
    **dict.fromkeys(("PERFUSION", "ASL", "FMRI", "MOSAIC", "SWI", "SPECTROSCOPY"), OTHER_SEQUENCE),
}
_PHASE_OF_PHILIPS = re.compile(r"^[PRI]_[A-Z]+$")

_OTHER_CONTRASTS = frozenset(
    ("DIFFUSION", "FLOW_ENCODED", "PERFUSION", "PROTON_DENSITY", "STIR", "TAGGING", "T2_STAR", "TOF", "BOLD")
)
_CONTRASTS = {"FLUID_ATTENUATED": Modality.FLAIR, "T1": Modality.T1, "T2": Modality.T2}

# pulse sequences of Siemens: *ep_b1000, *swi3d1r, *tfi2d1 (true FISP), *ci3d (CISS), *fl_tof; of Philips:
# SEEPI, DwiSE
_OTHER_SEQUENCES = re.compile(r"^\*?(?:q?ep|q?swi|tfi|ci3d|asl|tgse|csi|svs|resolve)|tof|epi|dwi", re.I)
_T1_SEQUENCE = re.compile(r"^\*?tfl", re.I)
_NO_AGENT = (
    r"(no|none|non|not|n|nil|n/?a|unknown|false|without.*|wo|w/o.*|no .*|nativ\w*|pre\w*|-|\.|"
    r"0([.,]0*)?\s*(ml|cc)?|(keine?|ohne|sans|pas|aucune?|sin|ningun\w*|senza|nessun\w*|sem|nenhum\w*|zonder|geen|без|нет)\b.*|"
    r"[无無未].*|なし)?"
)
"""What is written where an agent's name stands else, in the languages of :mod:`.sequence_words`."""

_AMOUNTS = ("ContrastBolusVolume", "ContrastBolusTotalDose")
_NOTHING_OF_IT = re.compile(r"(?<![\d.,])0+(?:[.,]0*)?\s*(?:ml|cc|cm3|mmol)\b")
"""Written behind an agent's name; scanners keep the name of the last examination."""


def other_image_type(header: Header) -> tuple[str, str] | None:
    """What in a header says that an image is none of the four, and the image's kind; or None."""
    values = [value.strip().upper() for value in (header.get("ImageType") or "").split("\\")]
    kinds = {value: _IMAGE_TYPES[value] for value in values if value in _IMAGE_TYPES}
    kinds |= {value: MAP for value in values if _PHASE_OF_PHILIPS.match(value)}
    if kinds:
        value, kind = min(kinds.items(), key=lambda item: item[1] == OTHER_SEQUENCE)  # an ADC is of DIFFUSION
        return f"Image Type {value}", kind
    component = (header.get("ComplexImageComponent") or "").upper()
    if component in ("PHASE", "REAL", "IMAGINARY"):
        return f"Complex Image Component {component}", MAP
    contrast = (header.get("AcquisitionContrast") or "").upper()
    if contrast in _OTHER_CONTRASTS:
        return f"Acquisition Contrast {contrast}", OTHER_SEQUENCE
    # 0 is stated of images without diffusion, too
    if _number(header.get("DiffusionBValue")):
        return f"b-value {header['DiffusionBValue']}", OTHER_SEQUENCE
    if "EP" in _scanning(header):  # diffusion, perfusion or functional, whatever its times
        return "echo-planar imaging", OTHER_SEQUENCE
    for name in (header.get("SequenceName") or "", header.get("PulseSequenceName") or ""):
        if _OTHER_SEQUENCES.search(name):
            return f"sequence {name}", OTHER_SEQUENCE
    return None


def is_t2_star(header: Header) -> bool:
    """Whether what its name calls T2 was read by gradient echoes alone: T2*, or a steady state."""
    return _scanning(header) == {"GR"}


def contrast_agent(header: Header) -> str:
    """The contrast agent that a header names, or says a volume of; empty where none, or 0 ml, was given."""
    agent = (header.get("ContrastBolusAgent") or "").strip()
    amounts = [amount for key in _AMOUNTS if (amount := _amount(header.get(key))) is not None]
    if not re.fullmatch(_NO_AGENT, agent.lower()):
        none = not any(amounts) and (amounts or _NOTHING_OF_IT.search(agent.lower()))
        return "" if none else agent
    if agent:  # 'none' stands there: it was asked for and denied
        return ""
    return f"{max(amounts):g} ml of contrast agent" if any(amounts) else ""


def is_angiography(header: Header) -> bool:
    """Whether the scanner says that an image is meant for vessels (Angio Flag, C.8.3.1)."""
    return (header.get("AngioFlag") or "").strip().upper() == "Y"


def contrast_denied(header: Header) -> bool:
    """Whether a header says in words that there was no contrast agent."""
    agent = (header.get("ContrastBolusAgent") or "").strip().lower()
    return bool(agent) and re.fullmatch(_NO_AGENT, agent) is not None


_CSF_NULLED_MS = (1400, 4000)
"""Least inversion and repetition time of FLAIR.

Fluid (T1 about 4 s) gives no signal at TI = T1 (ln 2 - ln(1 + exp(-TR / T1))): 1.5 s where TR is 4 s, later
where it is longer.
"""

_T1_MS = {"echo": 30, "repetition": 1000, "inversion": 1300, "gradient echo": 8}
"""Longest times of a T1-weighted sequence.

Brain tissue has a T1 of about 0.8 to 1.4 s and a T2 of about 80 to 100 ms: spins must not recover between two
pulses, nor lose much signal before the echo. With an inversion pulse or small flip angles the repetition time
does not count.
"""

_T2_MS = (60, 1800)
"""Least echo and repetition time of a T2-weighted sequence: near tissue's T2, well above its T1."""

_FAT_NULLED_MS = 300
"""Longest inversion time that nulls fat (STIR): ln 2 times its T1 of 0.25 to 0.38 s.

T1-weighted inversion recoveries of the brain have longer ones.
"""


def weighting(header: Header) -> Weighting:
    """From the contrast that the scanner states, or from its times as physics has them at 1.5 and 3 T."""
    stated = (header.get("AcquisitionContrast") or "").upper()
    if stated in _CONTRASTS:
        modality = _CONTRASTS[stated]
        return Weighting(modality, f"The header states the contrast of {modality.title} ({stated}).")
    echo, repetition, inversion = (
        _number(header.get(key)) for key in ("EchoTime", "RepetitionTime", "InversionTime")
    )
    if echo is None or repetition is None:
        return Weighting(None)
    times = f"(TE {echo:g} ms, TR {repetition:g} ms{f', TI {inversion:g} ms' if inversion else ''})"
    scanning = _scanning(header)
    gradient = "GR" in scanning and "SE" not in scanning
    if not gradient and repetition >= _T2_MS[1]:
        return _spin_echo(echo, repetition, inversion, times)
    if inversion and inversion > _T1_MS["inversion"]:
        return Weighting(None)
    recovers = repetition > _T1_MS["repetition"] and not inversion
    if echo <= _T1_MS["echo"] and (not recovers or (gradient and echo <= _T1_MS["gradient echo"])):
        return Weighting(Modality.T1, f"The header has the times of a T1-weighted sequence {times}.")
    if _T1_SEQUENCE.match(header.get("SequenceName") or ""):
        return Weighting(Modality.T1, f"The header names a T1-weighted sequence {times}.")
    return Weighting(None)


def _spin_echo(echo: float, repetition: float, inversion: float | None, times: str) -> Weighting:
    """Of spin echoes whose spins recover between pulses."""
    if inversion and inversion >= _CSF_NULLED_MS[0]:
        if repetition >= _CSF_NULLED_MS[1]:
            return Weighting(Modality.FLAIR, f"Times in the header are those of FLAIR {times}.")
        return Weighting(None)
    if inversion and inversion <= _FAT_NULLED_MS:
        return Weighting(None, f"Times in the header are those of STIR {times}.", excluded=True)
    if inversion:
        if inversion <= _T1_MS["inversion"] and echo <= _T1_MS["echo"]:
            return Weighting(Modality.T1, f"The header has the times of a T1-weighted sequence {times}.")
        return Weighting(None)
    if echo >= _T2_MS[0]:
        return Weighting(Modality.T2, f"Times in the header are those of a T2-weighted sequence {times}.")
    if echo <= _T1_MS["echo"]:
        return Weighting(None, f"Times in the header are those of proton density {times}.", excluded=True)
    return Weighting(None)


def _scanning(header: Header) -> set[str]:
    return {value.strip().upper() for value in (header.get("ScanningSequence") or "").split("\\") if value}


def _amount(value: object) -> float | None:
    """Milliliters, also with a decimal comma; None where none are stated."""
    try:
        number = float(str(value).split("\\")[0].replace(",", "."))
    except ValueError:
        return None
    return number if number >= 0 else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value).split("\\")[0])
    except ValueError:
        return None
    return number if number > 0 else None
