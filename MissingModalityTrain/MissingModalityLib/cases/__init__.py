"""Find cases on disk in the layouts that data sets come in, read them, split them.

A *layout* is how a data set names its files; it also tells how labels are numbered (the *convention*, a key
of :data:`MissingModalityLib.regions.CONVENTIONS`), unless the user says so explicitly.
"""

from .finding import find_cases
from .model import Case, ImageFile, Listing, Skipped
from .reading import read_label, read_study
from .splitting import split_cases

__all__ = [
    "Case",
    "ImageFile",
    "Listing",
    "Skipped",
    "find_cases",
    "read_label",
    "read_study",
    "split_cases",
]
