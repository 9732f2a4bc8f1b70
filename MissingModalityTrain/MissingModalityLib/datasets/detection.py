"""Which of the four sequences a volume is, guessed from names, series descriptions and DICOM header values.

Words come first, for they say what the scanner's user meant; echo, repetition and inversion times decide only
where words are silent, and lower the confidence where they contradict. No heavy imports: panels use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.modalities import Modality, in_words


@dataclass(frozen=True)
class Guess:
    """A proposal.

    Attributes:
        modality: None where nothing speaks for one of the four, or more than one is possible.
        confidence: 0..1; at 0.5 and above it is fit to be filled in for the user, below it should be asked.
        reason: one sentence for the user.
    """

    modality: Modality | None
    confidence: float
    reason: str


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Other images and maps of a study: none of the four, whatever else the name says.
_OTHER = _set(
    "dwi dti adc trace tracew swi swan mip minip pha mag perfusion perf pwi dsc dce asl cbf cbv rcbv mtt "
    "ttp tmax ktrans fa bold fmri rest epi b0 fieldmap mra mrv tof angio mrs spectroscopy t2star "
    "flairstar hemo medic merge map t1map t2map t1rho pd pdw subtraction subtracted fusion fused mask "
    "brainmask seg segm segmentation label labels labelmap roi gtv parcellation atlas template localizer "
    "localiser scout survey loc"
)
_CONTRAST = _set(
    "gd gad gado gadolinium gadovist dotarem magnevist prohance multihance post postcontrast postgd "
    "postgad ce km contrast enhanced enhancement cplus kontrast injected"
)
_NO_CONTRAST = _set("pre precontrast native nativ noncontrast unenhanced nonenhanced nocontrast plain")
# a T1ce is T1 by its weighting; contrast has words of its own
_WEIGHTINGS = frozenset(modality.name for modality in Modality if modality is not Modality.T1CE)
_T1_SEQUENCES = _set("mprage mpr bravo spgr fspgr mp2rage vibe tfl ffe tfe irfspgr thrive lava")
_FLAIR_WORDS = frozenset(("darkfluid", "tirm"))

# "T1", "t1w", "sT1W", "3DT1", "t1gd"; scanner makers put one letter or a plane in front
_WEIGHTED = re.compile(r"^(?:3d|2d|ax|sag|cor|tra|iso|wip|[sderw])?t([12])(?:3d|2d)?([a-z]*)$")
_WEIGHTED_CONTRAST = re.compile(r"^w?(?:c|ce|gd|gad\w*|post\w*|km|contrast|cplus)$")
_WEIGHTED_FLAIR = re.compile(r"^w?(?:f|\w*flair|tirm|dark\w*)$")

_EXTENSION = re.compile(r"\.(nii|nii\.gz|mha|mhd|nrrd|nhdr|dcm|seg\.nrrd|img|hdr)$", re.IGNORECASE)
_NOT = r"\b(?:w/o|without|ohne|sans|non|no|not|pre|before|vor)"
_AGENT = r"(?:contrast|gd|gad\w*|km|ce|enhanc\w*)\b"
_REPLACED = (
    (re.compile(r"t2\s*\*"), " t2star "),
    (re.compile(r"t2[\s_-]*star"), " t2star "),
    (re.compile(r"dark[\s_-]*fluid"), " darkfluid "),
    (re.compile(rf"{_NOT}[\s_-]*(?:iv[\s_-]*)?{_AGENT}"), " nocontrast "),
    (re.compile(r"[\s_-]-c\b"), " nocontrast "),
    (re.compile(r"\bt1_c$"), " t1c "),
    (re.compile(r"\b(?:pre|post)[\s_-]*(?:op\w*|surg\w*|treat\w*|rt|radio\w*)"), " "),
    (re.compile(r"\+\s*c\b|\bc\s*\+|\+\s*(?=gd|gad|km|ce)"), " cplus "),
)


def detect_modality(*texts: str, header: Mapping[str, str] | None = None) -> Guess:
    """Guess the modality of one volume.

    Args:
        texts: node name, file name, series description ... in any order; empty ones are fine.
        header: DICOM attributes by keyword as strings, times in milliseconds: ContrastBolusAgent, EchoTime,
            RepetitionTime, InversionTime, ScanningSequence, SeriesDescription, ProtocolName; all optional.

    Returns:
        The proposal; ``modality`` is None for other images, for label maps and where two modalities fit.
    """
    header = header or {}
    described = (*texts, header.get("SeriesDescription", ""), header.get("ProtocolName", ""))
    words = [word for text in described if text for word in _words(str(text))]
    other = next((word for word in words if word in _OTHER), None)
    if other:
        return Guess(None, 0.0, f"'{other}' in the name says that it is none of {in_words()}.")
    by_words = _by_words(words, _agent(header))
    by_times = _by_times(header)
    if by_words.modality is None:
        return by_times if by_times.modality is not None and not _weightings(words) else by_words
    return _combined(by_words, by_times)


def _words(text: str) -> list[str]:
    """Lower-case words of a name; of a path only the file's name, and nothing after 'registered to'."""
    if _EXTENSION.search(text):
        text = _EXTENSION.sub("", re.split(r"[/\\]", text)[-1])
    text = text.lower()
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    words = re.findall(r"[a-z0-9]+", text)
    for index, word in enumerate(words):
        if index and word in ("to", "onto", "into"):
            return words[:index]
    return words


def _weightings(words: Iterable[str]) -> set[str]:
    """Which of T1, T2, FLAIR are named, and CONTRAST or NATIVE."""
    found: set[str] = set()
    for word in words:
        match = _WEIGHTED.match(word)
        if match and _WEIGHTED_FLAIR.match(match[2]):
            found |= {"FLAIR", f"T{match[1]}"}
        elif match:
            found.add(f"T{match[1]}")
            if match[1] == "1" and _WEIGHTED_CONTRAST.match(match[2]):
                found.add("CONTRAST")
            elif match[1] == "1" and match[2] in ("n", "wn"):
                found.add("NATIVE")
        elif word in _FLAIR_WORDS or word.endswith("flair"):
            found.add("FLAIR")
        elif word in _T1_SEQUENCES:
            found.add("T1")
        elif word.startswith("mprage") and _WEIGHTED_CONTRAST.match(word.removeprefix("mprage")):
            found |= {"T1", "CONTRAST"}
        elif word in _CONTRAST:
            found.add("CONTRAST")
        elif word in _NO_CONTRAST:
            found.add("NATIVE")
    return found


def _by_words(words: Iterable[str], agent: str) -> Guess:
    found = _weightings(words)
    kinds = found & _WEIGHTINGS
    contrast = "CONTRAST" in found
    if kinds >= _WEIGHTINGS - {"FLAIR"}:
        return Guess(None, 0.0, "The name speaks of T1 and of T2; choose the modality yourself.")
    if kinds == _WEIGHTINGS - {"T2"}:
        # GE and others sell an inversion-prepared T1-weighted sequence as "T1 FLAIR"
        modality = Modality.T1CE if contrast else Modality.T1
        return Guess(modality, 0.5, "'T1 FLAIR' usually is a T1-weighted volume; check it.")
    if "FLAIR" in kinds:
        return Guess(Modality.FLAIR, 0.95, "FLAIR in the name.")
    if kinds == {"T2"}:
        return Guess(Modality.T2, 0.9, "T2 in the name.")
    if kinds == {"T1"}:
        return _t1(contrast, "NATIVE" in found, agent)
    if contrast:
        return Guess(Modality.T1CE, 0.35, "Contrast is named but no weighting; T1ce is the usual choice.")
    return Guess(None, 0.0, "The name says nothing of FLAIR, T1 or T2.")


def _t1(contrast: bool, native: bool, agent: str) -> Guess:
    if contrast and native:
        return Guess(
            None, 0.0, "The name speaks of T1 before and after contrast; choose the modality yourself."
        )
    if contrast:
        return Guess(Modality.T1CE, 0.95, "T1 with contrast in the name.")
    if native and agent:
        return Guess(Modality.T1, 0.6, f"The name says T1 before contrast, but the header names '{agent}'.")
    if native:
        return Guess(Modality.T1, 0.95, "T1 before contrast in the name.")
    if agent:
        return Guess(Modality.T1CE, 0.85, f"T1 in the name and the contrast agent '{agent}' in the header.")
    return Guess(Modality.T1, 0.8, "T1 in the name, contrast not mentioned.")


def _agent(header: Mapping[str, str]) -> str:
    agent = str(header.get("ContrastBolusAgent") or "").strip()
    return (
        "" if re.fullmatch(r"(no|none|non|n|nil|0|n/?a|unknown|without.*|no .*|-)?", agent.lower()) else agent
    )


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


def _by_times(header: Mapping[str, str]) -> Guess:
    """From echo, repetition and inversion time in ms, as physics has them at 1.5 and 3 T."""
    echo, repetition, inversion = (
        _number(header.get(key)) for key in ("EchoTime", "RepetitionTime", "InversionTime")
    )
    nothing = Guess(None, 0.0, "Neither name nor header tells the modality.")
    if echo is None or repetition is None:
        return nothing
    times = f"(TE {echo:g} ms, TR {repetition:g} ms{f', TI {inversion:g} ms' if inversion else ''})"
    if inversion and inversion >= _CSF_NULLED_MS[0] and repetition >= _CSF_NULLED_MS[1]:
        return Guess(Modality.FLAIR, 0.6, f"Times in the header are those of FLAIR {times}.")
    sequence = str(header.get("ScanningSequence") or "").upper()
    if "EP" in sequence:  # echo-planar: diffusion or perfusion, whatever its times
        return nothing
    gradient = "GR" in sequence
    recovers = repetition > _T1_MS["repetition"] and not (inversion and inversion <= _T1_MS["inversion"])
    if echo <= _T1_MS["echo"] and (not recovers or (gradient and echo <= _T1_MS["gradient echo"])):
        agent = _agent(header)
        modality = Modality.T1CE if agent else Modality.T1
        suffix = f" and names the contrast agent '{agent}'" if agent else ""
        return Guess(modality, 0.55, f"The header has the times of a T1-weighted sequence {times}{suffix}.")
    if echo >= _T2_MS[0] and repetition >= _T2_MS[1] and not inversion and not gradient:
        return Guess(Modality.T2, 0.55, f"Times in the header are those of a T2-weighted sequence {times}.")
    return nothing


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if number > 0 else None


def _combined(by_words: Guess, by_times: Guess) -> Guess:
    """Words win; the header's times confirm them or cast doubt."""
    if by_times.modality is None:
        return by_words
    t1 = {Modality.T1, Modality.T1CE}
    if by_times.modality == by_words.modality or {by_times.modality, by_words.modality} <= t1:
        return Guess(by_words.modality, min(0.99, by_words.confidence + 0.04), by_words.reason)
    return Guess(by_words.modality, by_words.confidence * 0.5, f"{by_words.reason} But: {by_times.reason}")
