"""Words by which people and scanners name what an image is: weightings, contrast agent, and other images.

They come from series descriptions as scanners of Siemens, GE, Philips, Canon and United Imaging write them by
default, from file names of public data sets, and from English, German, French, Spanish, Portuguese, Italian,
Dutch, Russian, Japanese and Chinese protocols.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from ..core.modalities import Modality


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


LOCALIZER, MAP, PROJECTION, CAPTURE = "localizer", "map", "projection", "screen capture"
SEGMENTATION, OTHER_SEQUENCE = "segmentation", "other sequence"

# Other images and maps of a study: none of the four, whatever else the name says.
_OTHER = {
    LOCALIZER: _set(
        "localizer localiser localizers locator lokalizer scout survey coilsurvey loc pilot tripilot "
        "smartbrain aahscout aascout planscan refscan calibration asset 3plane 3planeloc ubersicht "
        "uebersicht reperage centratore topogram scanogram"
    ),
    MAP: _set(
        "adc dadc eadc fa colfa tensor cbf rcbf cbv rcbv relcbf relcbv relccbv corrcbv mtt relmtt ttp tmax "
        "ktrans kep map maps mapping qmap relaxometry molli mrf qsm t1map t2map t1rho fieldmap b0map b1map "
        "pha phase subtraction subtracted subs sous fusion fused merge pbp gbp k2 minus fatfraction "
        "tractography fibers thermometry thermo temperature"
    ),
    PROJECTION: _set("mip mips minip pjn projected projection radial vrt rendering"),
    SEGMENTATION: _set(
        "mask brainmask seg segm segmentation label labels labelmap roi gtv parcellation atlas template"
    ),
    CAPTURE: _set("screensave posdisp report phoenix phoenixzipreport overlay neuroquant icobrain mdbrain"),
    OTHER_SEQUENCE: _set(
        "dwi sdwi isodwi ddwi dti dki hardi noddi trace tracew diff diffusion resolve ep2d epi swi swip "
        "swan eswan swans mag perfusion perf pwi dsc dce dyn dynamic twist tricks asl pcasl pasl casl bold "
        "fmri fcmri rest moco mocoseries b0 mra mrv mrs tof s3di pca pcmra 2dpc 3dpc pc2d pc3d venc fsbb "
        "csi press svs t2star flairstar medic pd pdw dp stir dir psir fgatir ciss fiesta trufi truefisp "
        "fisp bffe bssfp ssfp psif dess cine flow inv1 inv2 cest apt aptw mre elastography outphase spine "
        "cspine tspine lspine cervical thoracic lumbar hws bws lws ci3d"
    ),
}
_KIND_OF_WORD = {word: kind for kind, words in _OTHER.items() for word in words}
_COMPUTED = ("subtr", "soustr", "sustrac", "sottraz", "substr", "differenz", "difference", "diferenc")
"""How words for one image less another begin."""
_SEQUENCE_STEMS = (
    *("diffus", "difus", "perfus", "dynam", "dinam", "angio", "arterio", "venogr", "spectro", "hemo"),
    "dw",  # Philips' diffusion is called DW_SENSE and DWIBS
)
"""How words for other sequences begin in any of the languages."""
_B_VALUE = re.compile(r"^b(?:0|[1-9]\d?[05]0)$")

_CONTRAST = _set(
    "gd gad gado gadolinium gadovist gadavist gadobutrol gadoteridol gadoterate dotarem magnevist omniscan "
    "prohance multihance clariscan elucirem vueway post postcontrast postgd postgad pstgd pgd ce km mkm "
    "nachkm pkm cont cte enhanced enhancement cplus mdc civ pdc inj"
)
PERHAPS_CONTRAST = {
    "pc": "post contrast, or phase contrast, an angiography",
    "pi": "post injection, or parallel imaging",
    "iv": "intravenous contrast agent, or a number",
}
_CONTRAST_STEMS = ("gado", "contrast", "kontras", "postcontras", "postkontras", "injec", "inyec", "iniez")
_NO_CONTRAST = _set(
    "pre precontrast pregd pregad native nativ noncontrast unenhanced nonenhanced nocontrast plain"
)
# a T1ce is T1 by its weighting; contrast has words of its own
WEIGHTINGS = frozenset(modality.name for modality in Modality if modality is not Modality.T1CE)
_T1_SEQUENCES = _set("mprage bravo spgr fspgr fsp mp2rage vibe tfl tfe irfspgr efgre3d thrive lava")
# fast gradient echoes, which are T1-weighted unless a name says T2, and then T2*
_GRADIENT_ECHOES = _set("gre ffe fl2d fl3d flash fgre mpgr grass fe2d fe3d eg gradient gradiente grad")
_T1_GRADIENT_ECHOES = _set("ffe fl3d")
_FLAIR_WORDS = frozenset(("darkfluid", "tirm"))
_REFORMATS = _set("mpr mprs mpv reformat reformats reformatted rfmt rfmts curved")
_DIXON = _set("dixon mdixon fatsep ideal flex")
_FAT_IMAGES = _set("f ff fat opp op oop opposed")
_IN_PHASE = _set("in ip inphase")
_FAT_SUPPRESSED = _set("fs fatsat spair spir we") | _DIXON

# "T1", "t1w", "sT1W", "3DT1", "t1gd"; makers put one letter in front, people a plane before or after
_WEIGHTED = re.compile(
    r"^(?:3d|2d|ax|axial|sag|cor|tra|trans|iso|wip|[sderw])?t([12])(?:3d|2d)?w?"
    r"(?:ax|sag|cor|tra|trans)?([a-z]*?)(?:ax|sag|cor|tra|trans)?(?:3d|2d)?$"
)
_WEIGHTED_CONTRAST = re.compile(r"^w?(?:c|ce|gd|gad\w*|post\w*|km|contrast|cplus)$")
_WEIGHTED_FLAIR = re.compile(r"^w?(?:f|\w*flair\w*|tirm|dark\w*)$")
_STAR = re.compile(r"^w?(?:gre|ffe|fl|flash|star|s)$")

_EXTENSION = re.compile(r"\.(nii|nii\.gz|mha|mhd|nrrd|nhdr|dcm|seg\.nrrd|img|hdr)$", re.IGNORECASE)
_NOT = (
    r"\b(?:w/o|wo|without|ohne|o\.|sans|sin|senza|sem|s/|zonder|utan|bez|non|no|not|pre|before|vor|avant|antes|"
    r"prima)[\s-]*(?:(?:iv|i\.v\.|de|di|del|della|der|da|la|l'|the)[\s-]*){0,2}"
)
_AGENT = (
    r"(?:contrast\w*|kontrast\w*|cont|cte|gd|gad\w*|km|ce|c|mdc|civ|pdc|inj\w*|inyec\w*|iniez\w*|enhanc\w*)\b"
)
_WITH, _WITHOUT = r"(?:with|w/?|mit|avec)", r"(?:without|w/?o|ohne|sans)"
_TREATMENT = r"(?:op\w*|surg\w*|treat\w*|rt|radio\w*|resec\w*|biops\w*|tx|chemo\w*|therap\w*|litt|ablat\w*)"
_REPLACED = (
    (re.compile(r"\bp\.\s*c\."), " postcontrast "),  # PC is phase contrast, too
    (re.compile(r"\b(?:[a-z]\.){2,}"), lambda found: f"{found[0].replace('.', '')} "),  # m.d.c., c.i.v.
    (re.compile(r"\bт(?=[12])"), " t"),  # the Cyrillic letter
    (re.compile(r"\b(?:до|без)\s+контраст\w*"), " nocontrast "),
    (re.compile(r"контраст\w*"), " contrast "),
    (re.compile(r"диффуз\w*|\bдви\b"), " diffusion "),
    (re.compile(r"非造影|造影剤?(?:前|なし|無)|未增强"), " nocontrast "),
    (re.compile(r"造影|[增増]強|增强|强化"), " contrast "),
    (re.compile(r"単純|平[扫掃]"), " native "),
    (re.compile(r"[拡扩擴]散|[弥彌]散"), " diffusion "),
    (re.compile(r"灌[流注]"), " perfusion "),
    (re.compile(r"位置決め|定位"), " localizer "),
    (re.compile(r"水抑制|抑水|[压壓]水|黑水"), " flair "),
    (re.compile(r"差分|[减減]影"), " subtraction "),
    (re.compile(r"(t2|flair)\s*\*"), r" \1star "),
    (re.compile(r"t2[\s-]*star"), " t2star "),
    # Siemens shortens dark fluid where a name grows long
    (re.compile(r"\b(?:dark|dk|da)[\s-]*fl(?:uid)?\b"), " darkfluid "),
    (re.compile(r"fluid[\s-]*atten\w*"), " flair "),
    (re.compile(r"\bmp[\s-]+rage"), " mprage"),
    # so Siemens shortens MPRAGE where parallel imaging and isotropic voxels follow; else MPR is a reformat
    (re.compile(r"\bt1[\s-]+mpr\b(?=.*\b(?:p\d|iso|ns)\b)"), " t1 mprage"),
    (re.compile(r"\bfat[\s-]*(?:sat|sup)\w*"), " fatsat "),
    (re.compile(r"\bfat[\s-]*frac\w*"), " fatfraction "),
    (re.compile(r"\bin[\s-]*phase\b"), " inphase "),
    (re.compile(r"\b(?:out|opp|opposed)[\s-]*(?:of[\s-]*)?phase\b"), " outphase "),
    (re.compile(r"\bk[\s-]+trans\b"), " ktrans "),
    (re.compile(r"\bfield[\s-]*map\w*"), " fieldmap "),
    (re.compile(r"\bscreen[\s-]*s\w*|\bscreen[\s-]*cap\w*"), " screensave "),
    (re.compile(r"\b(\d[\s-]*)plane\b"), " 3plane "),
    (re.compile(r"\bt1[\s-]+images\b"), " t1map "),  # beside the images of MP2RAGE
    (re.compile(r"apparent[\s-]+diffusion|average[\s-]+dc"), " adc "),
    (re.compile(r"\bdeep[\s-]*resolve\b"), " "),  # how images were computed; RESOLVE is a diffusion sequence
    (re.compile(r"\bpost\w*[\s.-]*fossa\b"), " "),
    (re.compile(r"\bsub\b(?![\s-]*\d|-\w)"), " subtraction "),
    # the whole examination, not this series
    (re.compile(rf"\b{_WITH}[\s/&+,-]*(?:and|und|et)?[\s/&+,-]*{_WITHOUT}\b([\s-]*{_AGENT})?"), " "),
    (re.compile(rf"\b{_WITHOUT}[\s/&+,-]*(?:and|und|et)?[\s/&+,-]*{_WITH}\b([\s-]*{_AGENT})?"), " "),
    (re.compile(rf"{_NOT}{_AGENT}|\bs/c\b"), " nocontrast "),
    (re.compile(r"[\s-]-c\b|\s-c\b|\b(?:km|gd|gado?|ce|c|iv)-(?=\s|$)|\bwithout$"), " nocontrast "),
    (re.compile(r"\bwith$|\b(?:gd|ce)(?=t1)|\bc/c\b"), " cplus "),
    (re.compile(r"\bt1 c$"), " t1c "),
    (re.compile(r"(\bt1\b[^+]*?)\s*\+$"), r"\1 cplus "),
    (re.compile(rf"\b(?:pre|post)[\s-]*{_TREATMENT}"), " "),
    (re.compile(r"\+\s*(?:c|cm|iv)\b|\b(?:c|iv)\s*\+|\+\s*(?=gd|gad|km|ce)|\bw/?\s*c\b"), " cplus "),
)


def without_accents(text: str) -> str:
    """Lower case, with the letters that accents and umlauts are written on, and in half width."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def words_of(text: str) -> list[str]:
    """Lower-case words of a name; of a path only the file's name, and nothing after 'registered to'."""
    if _EXTENSION.search(text):
        text = _EXTENSION.sub("", re.split(r"[/\\]", text)[-1])
    text = without_accents(text).replace("_", " ").strip()
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    words = re.findall(r"[a-z0-9]+", text)
    for index, word in enumerate(words):
        if index and (word in ("to", "onto", "into") or (word == "in" and _name_two(words, index))):
            return words[:index]
    return words


def _name_two(words: Sequence[str], index: int) -> bool:
    """Whether a sequence is named before a place and after it: T2 in FLAIR, not T1 in phase."""
    return all(weightings(part) & WEIGHTINGS for part in (words[:index], words[index + 1 :]))


def other_image(words: Iterable[str]) -> tuple[str, str] | None:
    """The word by which a name says that an image is none of the four sequences, and its kind; or None."""
    words = list(words)
    kinds = {word: kind for word in words if (kind := _kind_of_word(word))}
    if kinds:
        return min(kinds.items(), key=lambda item: item[1] == OTHER_SEQUENCE)  # an ADC is of diffusion
    if _GRADIENT_ECHOES & set(words) and "T2" in weightings(words):
        return "T2 gradient echo (T2*)", OTHER_SEQUENCE
    star = [word for word in words if (m := _WEIGHTED.match(word)) and m[1] == "2" and _STAR.match(m[2])]
    if star:
        return star[0], OTHER_SEQUENCE
    if _is_dixon(words) and _FAT_IMAGES & set(words):
        return "fat or opposed-phase image of a Dixon sequence", OTHER_SEQUENCE
    return None


def _kind_of_word(word: str) -> str | None:
    if word in _KIND_OF_WORD:
        return _KIND_OF_WORD[word]
    if word.startswith(("localiz", "scout")) or word.endswith("scout"):
        return LOCALIZER
    if word.startswith(_COMPUTED):
        return MAP
    if word.startswith(_SEQUENCE_STEMS) or word.endswith("dwi") or _B_VALUE.match(word):
        return OTHER_SEQUENCE
    return None


def unclear_contrast(words: Sequence[str]) -> str:
    """The word of a name that may mean contrast agent or something else, where none is clear; else empty."""
    if {"CONTRAST", "NATIVE"} & weightings(words):
        return ""
    return next((word for word in words if word in PERHAPS_CONTRAST), "")


def is_reformat(words: Iterable[str]) -> bool:
    """Whether a name says that the images were cut anew out of a volume (multi-planar reformat)."""
    return not _REFORMATS.isdisjoint(words)


def is_fat_suppressed(words: Iterable[str]) -> bool:
    """Whether a name says that fat is dark; it is not in the in-phase image of a Dixon sequence."""
    words = list(words)
    return not _FAT_SUPPRESSED.isdisjoint(words) and not (_is_dixon(words) and _IN_PHASE & set(words))


def _is_dixon(words: Iterable[str]) -> bool:
    """Whether a name is of a sequence that tells water from fat."""
    return any(word in _DIXON or "dixon" in word for word in words)


def weightings(words: Iterable[str]) -> set[str]:
    """Which of T1, T2, FLAIR are named, and CONTRAST or NATIVE."""
    words = list(words)
    found: set[str] = set()
    for word in words:
        found |= _weighting(word)
    if "ir" in words and found & WEIGHTINGS == {"T2"}:
        found.add("FLAIR")  # an inversion pulse before a T2-weighted readout is there to null fluid
    if not found & WEIGHTINGS and not _T1_GRADIENT_ECHOES.isdisjoint(words):
        found.add("T1")
    return found


def _weighting(word: str) -> set[str]:
    match = _WEIGHTED.match(word)
    if match and _WEIGHTED_FLAIR.match(match[2]):
        return {"FLAIR", f"T{match[1]}"}
    if match and match[1] == "1" and _WEIGHTED_CONTRAST.match(match[2]):
        return {"T1", "CONTRAST"}
    if match and match[1] == "1" and match[2] in ("n", "wn"):
        return {"T1", "NATIVE"}
    if match:
        return {f"T{match[1]}"}
    if word in _FLAIR_WORDS or "flair" in word:
        return {"FLAIR"}
    if word in _T1_SEQUENCES or word.endswith(("mprage", "bravo", "spgr")):
        return {"T1"}
    if word.startswith("mprage") and _WEIGHTED_CONTRAST.match(word.removeprefix("mprage")):
        return {"T1", "CONTRAST"}
    if word in _CONTRAST or word.startswith(_CONTRAST_STEMS):
        return {"CONTRAST"}
    return {"NATIVE"} if word in _NO_CONTRAST else set()
