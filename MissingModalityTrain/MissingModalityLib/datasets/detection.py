"""Which of the four sequences a volume is, guessed from names, series descriptions and DICOM header values.

Words come first, for they say what the scanner's user meant; echo, repetition and inversion times decide only
where words are silent, and lower the confidence where they contradict. No heavy imports: panels use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.modalities import Modality, in_words
from .sequence_header import (
    Header,
    Weighting,
    contrast_agent,
    contrast_denied,
    is_angiography,
    is_t2_star,
    other_image_type,
    weighting,
)
from .sequence_words import (
    OTHER_SEQUENCE,
    PERHAPS_CONTRAST,
    WEIGHTINGS,
    other_image,
    unclear_contrast,
    weightings,
    words_of,
)

FIT_TO_FILL_IN = 0.5
"""From this confidence on a guess is used without asking."""

_TO_BE_CHECKED = 0.45
_PC = "pc"
_SILENT = "Neither name nor header tells the modality."


@dataclass(frozen=True)
class Guess:
    """A proposal.

    Attributes:
        modality: None where nothing speaks for one of the four, or more than one is possible.
        confidence: 0..1; from :data:`FIT_TO_FILL_IN` on it is filled in for the user, below it is asked.
        reason: one sentence for the user.
        excluded: the kind of image, where something says that it is none of the four; else empty.
        evidence: what says so, e.g. ``'dwi' in the name``; else empty.
        contrast: whether names or header say that contrast agent had been given; None where neither does.
    """

    modality: Modality | None
    confidence: float
    reason: str
    excluded: str = ""
    evidence: str = ""
    contrast: bool | None = None

    @property
    def silent(self) -> bool:
        """Whether neither name nor header says anything, not even that it is another image."""
        return self.reason == _SILENT


@dataclass(frozen=True)
class _Contrast:
    """Of contrast agent: what names say, and what the header names."""

    named: bool
    denied: bool
    agent: str

    @property
    def given(self) -> bool | None:
        """None where nothing tells, or the name speaks of both."""
        if self.named and self.denied:
            return None
        if self.named or self.denied:
            return self.named
        return True if self.agent else None


def detect_modality(*texts: str, header: Header | None = None) -> Guess:
    """Guess the modality of one volume.

    Args:
        texts: node name, file name, series description ... in any order; empty ones are fine.
        header: DICOM attributes, of which :data:`.sequence_header.HEADER_KEYWORDS` are looked at; all are
            optional. The protocol's name counts where texts and Series Description name no weighting, for one
            protocol has many series.

    Returns:
        The proposal; ``modality`` is None for other images, for label maps and where two modalities fit.
    """
    header = header or {}
    words = _all_words(*texts, header.get("SeriesDescription") or "")
    if not weightings(words) & WEIGHTINGS and not other_image(words):
        words += _all_words(header.get("ProtocolName") or "")
    if other := other_image(words):
        dual = _second_echo(words, other[0], header)
        return dual or _excluded(f"'{other[0]}' in the name", other[1])
    if other := other_image_type(header):
        return _excluded(f"{other[0]} in the header", other[1])
    found = weightings(words)
    contrast = _Contrast(
        "CONTRAST" in found, "NATIVE" in found or contrast_denied(header), contrast_agent(header)
    )
    by_times = weighting(header)
    kinds = found & WEIGHTINGS
    if kinds == {"T2"} and is_t2_star(header):
        return _excluded("T2 in the name with gradient echoes in the header (T2*)", OTHER_SEQUENCE)
    if by_times.excluded and kinds <= {"T2", "FLAIR"}:
        return Guess(None, 0.0, by_times.reason, OTHER_SEQUENCE, by_times.reason.rstrip("."))
    unclear = "" if contrast.given else unclear_contrast(words)
    if unclear and (kinds == {"T1"} or (not kinds and unclear == _PC)):
        return _perhaps_contrast(unclear, kinds, header)
    if not kinds:
        return _by_times(by_times, contrast)
    return _combined(_by_words(kinds, contrast), by_times)


def _all_words(*texts: str) -> list[str]:
    return [word for text in texts if text for word in words_of(str(text))]


def _excluded(evidence: str, kind: str) -> Guess:
    return Guess(None, 0.0, f"{evidence} says that it is none of {in_words()}.", kind, evidence)


def _perhaps_contrast(word: str, kinds: set[str], header: Header) -> Guess:
    """Of a T1-weighted image with a word that may mean contrast agent, where nothing else says so."""
    if word == _PC and is_angiography(header):
        return _excluded("'pc' in the name of an angiography", OTHER_SEQUENCE)
    reason = f"'{word.upper()}' in the name may mean {PERHAPS_CONTRAST[word]}; check it."
    return Guess(Modality.T1CE, _TO_BE_CHECKED, reason) if kinds else Guess(None, 0.0, reason)


def _second_echo(words: list[str], other: str, header: Header) -> Guess | None:
    """The T2-weighted echo of a double-echo sequence that is named PD and T2, by its echo time."""
    if not other.startswith("pd") or "T2" not in weightings(words):
        return None
    by_times = weighting(header)
    if by_times.modality is not Modality.T2:
        return None
    return Guess(Modality.T2, 0.8, f"The T2-weighted echo of PD and T2. {by_times.reason}")


def _by_words(kinds: set[str], contrast: _Contrast) -> Guess:
    given = contrast.given
    if kinds >= WEIGHTINGS - {"FLAIR"}:
        return Guess(None, 0.0, "The name speaks of T1 and of T2; choose the modality yourself.")
    if kinds == WEIGHTINGS - {"T2"}:
        # GE and others sell an inversion-prepared T1-weighted sequence as "T1 FLAIR"
        modality = Modality.T1CE if given else Modality.T1
        reason = "'T1 FLAIR' usually is a T1-weighted volume; check it."
        return Guess(modality, _TO_BE_CHECKED, reason, contrast=given)
    if "FLAIR" in kinds:
        return Guess(Modality.FLAIR, 0.95, "FLAIR in the name.", contrast=given)
    if kinds == {"T2"}:
        return Guess(Modality.T2, 0.9, "T2 in the name.", contrast=given)
    return _t1(contrast)


def _t1(contrast: _Contrast) -> Guess:
    agent = contrast.agent
    if contrast.named and contrast.denied:
        return Guess(
            None, 0.0, "The name speaks of T1 before and after contrast; choose the modality yourself."
        )
    if contrast.named:
        return Guess(Modality.T1CE, 0.95, "T1 with contrast in the name.", contrast=True)
    if contrast.denied and agent:
        reason = f"The name says T1 before contrast, but the header names '{agent}'."
        return Guess(Modality.T1, 0.6, reason, contrast=False)
    if contrast.denied:
        return Guess(Modality.T1, 0.95, "T1 before contrast in the name.", contrast=False)
    if agent:
        reason = f"T1 in the name and the contrast agent '{agent}' in the header."
        return Guess(Modality.T1CE, 0.85, reason, contrast=True)
    return Guess(Modality.T1, 0.8, "T1 in the name, contrast not mentioned.")


def _by_times(by_times: Weighting, contrast: _Contrast) -> Guess:
    """Where names are silent on the weighting."""
    given = contrast.given
    if by_times.modality is None:
        if contrast.named:
            reason = "Contrast is named but no weighting; T1ce is the usual choice."
            return Guess(Modality.T1CE, 0.35, reason, contrast=given)
        return Guess(None, 0.0, _SILENT, contrast=given)
    if by_times.modality is not Modality.T1:
        return Guess(by_times.modality, 0.6, by_times.reason, contrast=given)
    if contrast.named and not contrast.denied:
        return Guess(Modality.T1CE, 0.8, f"Contrast in the name. {by_times.reason}", contrast=True)
    if given:
        reason = f"{by_times.reason} It names the contrast agent '{contrast.agent}'."
        return Guess(Modality.T1CE, 0.55, reason, contrast=True)
    return Guess(Modality.T1, 0.55, by_times.reason, contrast=given)


def _combined(by_words: Guess, by_times: Weighting) -> Guess:
    """Words win; the header's times confirm them or cast doubt."""
    modality = by_words.modality
    if by_times.modality is None or modality is None:
        return by_words
    weighted = Modality.T1 if modality is Modality.T1CE else modality
    if modality is Modality.FLAIR and by_times.modality is Modality.T2:
        return by_words  # the times of a FLAIR whose header leaves out the inversion
    agree = by_times.modality is weighted
    if agree and by_words.confidence == _TO_BE_CHECKED:
        reason = f"'T1 FLAIR' in the name. {by_times.reason}"
        return Guess(modality, 0.85, reason, contrast=by_words.contrast)
    confidence = min(0.99, by_words.confidence + 0.04) if agree else by_words.confidence * 0.5
    reason = by_words.reason if agree else f"{by_words.reason} But: {by_times.reason}"
    return Guess(modality, confidence, reason, contrast=by_words.contrast)
