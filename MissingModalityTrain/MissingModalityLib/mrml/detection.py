"""Which sequence each loaded volume is, and which volume to take for each sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import vtk

from ..core.errors import MissingModalityError
from ..core.modalities import Modality
from ..datasets.detection import FIT_TO_FILL_IN, Guess, detect_modality
from ..dicom.choosing import merits, shortcoming
from ..dicom.contrast import settle_contrast
from ..dicom.describing import is_cut_anew, time_of
from ..dicom.series import Series, SeriesKind
from ..dicom.slices import plane_of
from ..imaging.volumes import check_volume
from .inputs import dicom_values, input_problem
from .volumes import Node, image_of

DICOM_TAGS = {
    "SeriesDescription": "0008,103e",
    "ProtocolName": "0018,1030",
    "SequenceName": "0018,0024",
    "PulseSequenceName": "0018,9005",
    "ScanningSequence": "0018,0020",
    "ImageType": "0008,0008",
    "ComplexImageComponent": "0008,9208",
    "AcquisitionContrast": "0008,9209",
    "RepetitionTime": "0018,0080",
    "EchoTime": "0018,0081",
    "InversionTime": "0018,0082",
    "DiffusionBValue": "0018,9087",
    "FlipAngle": "0018,1314",
    "ContrastBolusAgent": "0018,0010",
    "ContrastBolusVolume": "0018,1041",
    "ContrastBolusTotalDose": "0018,1044",
    "AngioFlag": "0018,0025",
    "PatientID": "0010,0020",
    "StudyDate": "0008,0020",
    "StudyInstanceUID": "0020,000d",
    "SeriesNumber": "0020,0011",
    "AcquisitionDateTime": "0008,002a",
    "AcquisitionTime": "0008,0032",
    "SeriesTime": "0008,0031",
}
"""What is asked of Slicer's DICOM database, by keyword."""


def detect_inputs(scene: Node) -> dict[str, Guess]:
    """Guess the sequence of every loaded volume that could be an input.

    Reads node name, file name and, for volumes from Slicer's DICOM database, header attributes; T1 before and
    after contrast agent are told apart by all loaded volumes of a study. Where these say nothing, the voxels
    are looked at, if the packages that this takes are installed.

    Returns:
        Guesses by node ID, in the order of the scene.
    """
    found = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    found.UnRegister(None)  # the caller owns it, and with it every node
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    nodes = [node for node in nodes if input_problem(node) is None and not node.GetHideFromEditors()]
    headers = {node.GetID(): _dicom_header(node) for node in nodes}
    guesses = {
        node.GetID(): detect_modality(node.GetName() or "", _file_name(node), header=headers[node.GetID()])
        for node in nodes
    }
    studies: dict[str, list[Series]] = defaultdict(list)
    for node in nodes:
        study = headers[node.GetID()].get("StudyInstanceUID")
        if study:
            studies[study].append(_series(node, guesses[node.GetID()], headers[node.GetID()]))
    for series in studies.values():
        for one in settle_contrast(series):
            guesses[one.uid] = replace(
                guesses[one.uid],
                modality=one.modality,
                confidence=one.confidence,
                reason=one.reason,
                contrast=one.contrast,
            )
    silent = [node for node in nodes if guesses[node.GetID()].silent]
    return guesses | {node.GetID(): guess for node in silent if (guess := _by_voxels(node))}


def _by_voxels(node: Node) -> Guess | None:
    """What the voxels look like; None where they look like none, or the network cannot be asked."""
    try:  # here, because Slicer lacks safetensors before the first installation
        from ..clinical.content import sequence_of

        image = image_of(node)
        check_volume(image, node.GetName())  # what no filter bears is of no sequence
        modality, share = sequence_of(image)
    except (ImportError, MissingModalityError):
        return None
    if modality is None:
        return None
    return Guess(modality, share, f"Neither name nor header tells; the image looks like {modality.title}.")


def assign_inputs(scene: Node, guesses: Mapping[str, Guess]) -> tuple[dict[Modality, Node], list[str]]:
    """One volume per sequence: the best as :func:`.choosing.choose` has it, among equals the first loaded.

    Where headers tell of several visits, all volumes are of the one with most sequences, else of the first
    loaded; those whose header tells nothing can be of any.

    Args:
        scene: where the node IDs are valid.
        guesses: from :func:`detect_inputs`.

    Returns:
        Volume nodes by modality in channel order; warnings about volumes left out, one sentence each.
    """
    nodes = {key: scene.GetNodeByID(key) for key in guesses}
    series = {key: _series(node, guesses[key], _dicom_header(node)) for key, node in nodes.items()}
    others = _of_other_visits({key: series[key] for key in series if _is_sure(guesses[key])})
    chosen: dict[Modality, str] = {}
    warnings = []
    for key in sorted(series, key=lambda key: (merits(series[key]), guesses[key].confidence), reverse=True):
        guess, name = guesses[key], series[key].description
        if not _is_sure(guess):
            warnings.append(f"'{name}' was left out. {guess.reason}")
        elif key in others:
            warnings.append(
                f"'{name}' was left out. Its DICOM header names another patient or date than those of the "
                "volumes that were taken; if it is of the same visit, choose it by hand."
            )
        elif guess.modality in chosen:
            best = chosen[guess.modality]
            lacks = f"{guess.confidence:.0%}, {shortcoming(series[best], series[key])}".removesuffix(", ")
            taken = f"'{series[best].description}' ({guesses[best].confidence:.0%}) was taken"
            warnings.append(f"'{name}' ({lacks}) looks like {guess.modality.title} too; {taken}.")
        else:
            chosen[guess.modality] = key
    return {modality: nodes[chosen[modality]] for modality in sorted(chosen)}, warnings


def are_of_several_visits(nodes: Iterable[Node]) -> bool:
    """Whether the DICOM headers of volumes name more than one patient or date."""
    return len({_visit(_dicom_header(node)) for node in nodes} - {None}) > 1


def _visit(header: Mapping[str, str]) -> tuple[str, str] | None:
    """Patient and date, or the study where there is no date; None where a header tells none of them."""
    visit = header.get("PatientID", ""), header.get("StudyDate") or header.get("StudyInstanceUID", "")
    return visit if any(visit) else None


def _is_sure(guess: Guess) -> bool:
    return guess.modality is not None and guess.confidence >= FIT_TO_FILL_IN


def _of_other_visits(series: Mapping[str, Series]) -> set[str]:
    """Of volumes of several visits, those that are not of the one with most sequences; IDs of nodes."""
    sequences: dict[tuple[str, str], set[Modality | None]] = defaultdict(set)
    visits = {key: _visit(one.header) for key, one in series.items()}
    for key, visit in visits.items():
        if visit:
            sequences[visit].add(series[key].modality)
    richest = max(sequences, key=lambda visit: len(sequences[visit]), default=None)
    return {key for key, visit in visits.items() if visit not in (None, richest)}


def _series(node: Node, guess: Guess, header: Mapping[str, str]) -> Series:
    """A loaded volume in terms of a DICOM series; its ID stands for the series' own UID."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(matrix)
    number = header.get("SeriesNumber", "")
    return Series(
        uid=node.GetID(),
        number=int(number) if number.isdigit() else None,
        description=node.GetName() or "",
        patient="",
        study_uid=header.get("StudyInstanceUID", ""),
        date="",
        time=time_of(header),
        slices=(),
        orientation=None,
        size=node.GetImageData().GetDimensions(),
        spacing=node.GetSpacing(),
        thickness=None,
        plane=plane_of(np.array([matrix.GetElement(axis, 2) for axis in range(3)])),
        kind=SeriesKind.REFORMAT if is_cut_anew(header) else SeriesKind.VOLUME,
        modality=guess.modality,
        confidence=guess.confidence,
        reason=guess.reason,
        contrast=guess.contrast,
        problem=guess.reason if guess.excluded else None,
        header=header,
    )


def _file_name(node: Node) -> str:
    """Name of the file that a volume was loaded from, empty for one that was not."""
    storage = node.GetStorageNode()
    return Path(storage.GetFileName()).name if storage is not None and storage.GetFileName() else ""


def _dicom_header(node: Node) -> dict[str, str]:
    """Attributes of the first instance of a volume loaded from DICOM; empty where there is no database."""
    header = {key: dicom_values(node, tag, 1) for key, tag in DICOM_TAGS.items()}
    return {key: values[0] for key, values in header.items() if values and values[0]}
