"""One case as models and label maps see it, side by side."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.evaluation import case_picture
from MissingModalityLib.evaluation.case_picture import picture_case
from small_cases import BOTH, write_shell_case
from small_networks import tiny_student


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictured") / "data"
    write_shell_case(folder / "BraTS2021_1", BOTH)
    write_shell_case(folder / "BraTS2021_2", BOTH, label=False)
    return folder


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written below the panels, in their order."""
    written: list[str] = []
    draw = case_picture._panel
    monkeypatch.setattr(case_picture, "_panel", lambda *panel: (written.append(panel[-1]), draw(*panel)))
    return written


def test_a_row_for_each_subset_and_a_column_for_each_model(data: Path, tmp_path: Path, texts, capsys) -> None:
    tiny_student().save(tmp_path / "tiny.safetensors")
    seen = sitk.ReadImage(str(data / "BraTS2021_1" / "seg.nii.gz"))
    for subset in ("FLAIR", "FLAIR+T1ce"):
        (tmp_path / "maps" / subset).mkdir(parents=True)
        sitk.WriteImage(seen, str(tmp_path / "maps" / subset / "BraTS2021_1.nii.gz"))
    arguments = ["compare", f"tiny={tmp_path}/tiny.safetensors", f"right={tmp_path}/maps"]
    arguments += ["--picture", "BraTS2021_1", "--subsets", "FLAIR,FLAIR+T1ce", "--data", str(data)]
    assert main([*arguments, "--device", "cpu", "--output", str(tmp_path / "pictures")]) == 0
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'pictures' / 'BraTS2021_1.png'}\n"
    rows = np.reshape(texts, (2, 4)).tolist()
    assert [row[0] for row in rows] == ["FLAIR", "FLAIR+T1ce (FLAIR shown)"]
    assert all(row[3] == "WT 100.0  TC 100.0  ET 100.0" for row in rows), "the maps are the label"
    assert all(row[2].startswith("WT ") and row[2] != row[3] for row in rows)
    picture = matplotlib.image.imread(tmp_path / "pictures" / "BraTS2021_1.png")
    height, width = picture.shape[:2]
    reference, right = (picture[60 : height // 2, width * k // 4 : width * (k + 1) // 4] for k in (1, 3))
    colored = [np.ptp(part[..., :3], axis=-1).max(initial=0) > 0.2 for part in (reference, right)]
    assert colored == [True, True] and width > height


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
