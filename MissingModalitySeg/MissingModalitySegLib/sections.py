"""The sections of the segmentation panel from top to bottom, and the parameter node made of theirs.

A new section is a file here, its .ui file in Resources/UI, and a name in the tuple.
"""

from MissingModalityPanelLib.parameters import makeParameterNodeClass
from MissingModalitySegLib.devicesection import DeviceSection
from MissingModalitySegLib.expectationsection import ExpectationSection
from MissingModalitySegLib.foldersection import FolderSection
from MissingModalitySegLib.inputssection import InputsSection
from MissingModalitySegLib.modelsection import ModelSection
from MissingModalitySegLib.rawsection import RawSection
from MissingModalitySegLib.resultsection import ResultSection
from MissingModalitySegLib.runsection import RunSection

SECTIONS = (
    InputsSection,
    ExpectationSection,
    ModelSection,
    DeviceSection,
    RawSection,
    RunSection,
    ResultSection,
    FolderSection,
)

MissingModalitySegParameterNode = makeParameterNodeClass("MissingModalitySegParameterNode", SECTIONS)
