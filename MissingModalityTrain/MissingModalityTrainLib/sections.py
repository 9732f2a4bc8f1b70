"""The sections of the training panel from top to bottom, and the parameter node made of theirs.

A new section is a file here, its .ui file in Resources/UI, and a name in the tuple.
"""

from MissingModalityPanelLib.parameters import makeParameterNodeClass
from MissingModalityTrainLib.datasection import DataSection
from MissingModalityTrainLib.evaluationsection import EvaluationSection
from MissingModalityTrainLib.synthesissection import SynthesisSection
from MissingModalityTrainLib.trainingsection import TrainingSection

SECTIONS = (DataSection, SynthesisSection, TrainingSection, EvaluationSection)

MissingModalityTrainParameterNode = makeParameterNodeClass("MissingModalityTrainParameterNode", SECTIONS)
