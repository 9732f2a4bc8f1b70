"""One case as models and label maps see it, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import Modality, subset_name
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation import case_panels
from MissingModalityLib.evaluation.case_panels import Panel
from MissingModalityLib.evaluation.case_picture import growing, picture_case
from small_cases import BOTH, write_shell_case
from small_networks import tiny_student


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictured") / "data"
    write_shell_case(folder / "BraTS2021_1", BOTH)
    write_shell_case(folder / "BraTS2021_2", BOTH, label=False)
    return folder


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """What the places of a picture show, row after row."""
    shown: list[Panel] = []
    draw = case_panels._draw
    monkeypatch.setattr(case_panels, "_draw", lambda *places: (shown.append(places[1]), draw(*places)))
    return shown


def right_maps(data: Path, folder: Path) -> Path:
    """Label maps of the first case that are its label, from both subsets with FLAIR."""
    seen = sitk.ReadImage(str(data / "BraTS2021_1" / "seg.nii.gz"))
    for subset in ("FLAIR", "FLAIR+T1ce"):
        (folder / subset).mkdir(parents=True)
        sitk.WriteImage(seen, str(folder / subset / "BraTS2021_1.nii.gz"))
    return folder


def test_a_row_for_each_subset_with_its_sequences_the_reference_and_each_model(
    data: Path, tmp_path: Path, panels: list[Panel], capsys
) -> None:
    tiny_student().save(tmp_path / "tiny.safetensors")
    right_maps(data, tmp_path / "maps")
    arguments = ["compare", f"tiny={tmp_path}/tiny.safetensors", f"right={tmp_path}/maps"]
    arguments += ["--picture", "BraTS2021_1", "--subsets", "FLAIR,FLAIR+T1ce", "--data", str(data)]
    assert main([*arguments, "--device", "cpu", "--output", str(tmp_path / "pictures")]) == 0
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'pictures' / 'BraTS2021_1.png'}\n"
    first, second = panels[:5], panels[5:]
    assert [panel.head for panel in first] == ["FLAIR", "T1ce", "reference", "tiny", "right"]
    assert [panel.absent for panel in first] == ["", "not given", "", "", ""]
    assert not any(panel.absent or panel.head for panel in second)
    for row in (first, second):
        assert row[4].text == "WT 100.0  TC 100.0  ET 100.0", "the maps are the label"
        assert row[3].text.startswith("WT ") and row[3].text != row[4].text
        assert np.array_equal(row[4].classes, row[2].classes)
    label = sitk.ReadImage(str(data / "BraTS2021_1" / "seg.nii.gz"))
    most = np.count_nonzero(sitk.GetArrayViewFromImage(label), axis=(1, 2)).max()
    assert np.count_nonzero(first[2].classes) == most, "the slice with most tumor"
    picture = matplotlib.image.imread(tmp_path / "pictures" / "BraTS2021_1.png")
    height, width = picture.shape[:2]
    colored = [
        np.ptp(picture[60 : height // 2, width * k // 5 : width * (k + 1) // 5, :3], axis=-1).max() > 0.2
        for k in range(5)
    ]
    assert not colored[0] and colored[2] and colored[4]


def test_of_many_models_each_has_a_row_below_the_sequences(
    data: Path, tmp_path: Path, panels: list[Panel]
) -> None:
    maps = right_maps(data, tmp_path / "maps")
    models = {f"model {number}": maps for number in range(case_panels.MOST_COLUMNS + 1)}
    picture_case(models, data, "BraTS2021_1", ["FLAIR", "FLAIR+T1ce"], tmp_path / "out")
    rows = [panels[place : place + 3] for place in range(0, len(panels), 3)]
    assert [panel.head for panel in rows[0]] == ["FLAIR", "T1ce", "reference"]
    assert [row[0].side for row in rows[1:]] == [*models]
    assert [panel.head for panel in rows[1]] == ["from FLAIR", "from FLAIR+T1ce", ""]
    assert all(row[1].text.startswith("WT 100.0") for row in rows[1:])


def test_models_are_given_more_and_more_of_the_sequences_that_a_case_has(data: Path) -> None:
    (case,) = find_cases(data).labeled()[0]
    assert [subset_name(subset) for subset in growing(case)] == ["FLAIR+T1ce"]
    whole = replace(case, images=dict.fromkeys(Modality))
    assert [subset_name(subset) for subset in growing(whole)] == [
        *("T1", "T1+T2", "FLAIR+T1+T2", "FLAIR+T1ce+T1+T2")
    ]


REFUSED = {
    "another name": (CaseError, "case 'BraTS2021_3'", {"case": "BraTS2021_3"}),
    "no label": (CaseError, "no label", {"case": "BraTS2021_2"}),
    "a sequence it lacks": (CaseError, "has no T2", {"subsets": ["FLAIR+T2"]}),
    "no subset": (OptionError, "Unknown subset 'FLAIR-T2'", {"subsets": ["FLAIR-T2"]}),
    "no model": (OptionError, "Nothing to draw", {"models": {}}),
}


@pytest.mark.parametrize(("kind", "text", "changes"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_drawn_is_refused(data: Path, tmp_path: Path, kind, text, changes) -> None:
    asked = {"models": {"a": tmp_path}, "data": data, "case": "BraTS2021_1", "subsets": ["FLAIR"]}
    with pytest.raises(kind, match=text):
        picture_case(**{**asked, **changes}, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_of_tables_and_what_is_of_pictures_is_not_mixed(capsys) -> None:
    for arguments, text in (
        (["--subsets", "T2"], "--picture"),
        (["--picture", "x", "--output", "o"], "--data"),
        (["--picture", "x", "--output", "o", "--data", "d", "--published", "aem-kd-table-4"], "--published"),
    ):
        assert main(["compare", "a=b", *arguments]) == 2 and text in capsys.readouterr().err
