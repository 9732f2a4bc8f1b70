"""Synthetic cases as files: readable like real ones, the same as on the fly, whole or not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from MissingModalityLib.core.errors import CaseError, ImageError, MissingModalityError, OptionError
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import read_label, read_study
from MissingModalityLib.synthesis import write
from MissingModalityLib.synthesis.contact_sheet import draw_contact_sheet
from MissingModalityLib.synthesis.options import SYNTHESIS_METHODS, GrownOptions, SynthesisOptions
from MissingModalityLib.synthesis.pairing import synthetic_cases
from MissingModalityLib.synthesis.write import REPORT_FILE, SHEET_FILE, synthesize
from small_cases import PATIENTS, prepared_patients, write_patients


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real cases; not to be changed."""
    return write_patients(tmp_path_factory.mktemp("real") / "data")


@pytest.fixture(scope="module")
def result(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A finished synthesis and what it returned; not to be changed."""
    output = tmp_path_factory.mktemp("synthetic") / "cases"
    return output, synthesize(data, output, factor=2, seed=5)


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_every_case_has_the_files_of_brats_2021_and_nothing_else_lies_there(result) -> None:
    output, report = result
    expected = {REPORT_FILE, SHEET_FILE}
    for entry in report["synthetic"]:
        name = entry["name"]
        files = [*(modality.lower() for modality in entry["modalities"].split("+")), "seg"]
        expected |= {name} | {f"{name}/{name}_{file}.nii.gz" for file in files}
    assert contents(output) == expected
    assert [entry["name"] for entry in report["synthetic"]] == [f"synthetic_{i:04d}" for i in range(4)]


@pytest.mark.parametrize("method", SYNTHESIS_METHODS)
def test_files_hold_what_training_sees_on_the_fly(tmp_path: Path, method: str) -> None:
    names = ("patient_a", "patient_b", "patient_c")
    options = SynthesisOptions(max_scale_change=0.2, placement="random")
    made = synthetic_cases(prepared_patients(tmp_path, names), 3, 5, method, options)
    synthesize(tmp_path / "data", tmp_path / "out", 3, method, 5, options)
    found = find_cases(tmp_path / "out").cases
    assert [case.name for case in found] == [case.name for case in made]
    for case, expected in zip(found, made, strict=True):
        image, label = expected.crop((0, 0, 0), expected.shape)
        study = read_study(case)
        assert tuple(study.images) == expected.subset
        for modality, volume in study.images.items():
            np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), image[modality])
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_label(case)), label)


def test_the_files_can_be_prepared_like_real_ones(result) -> None:
    output, _ = result
    for case in find_cases(output).cases:
        assert (case.layout, case.convention) == ("brats2021", "brats2021")
        prepared = prepare(read_study(case), read_label(case))
        assert not prepared.warnings and prepared.subset == case.subset
        assert set(np.unique(prepared.label)) == {0, 1, 2, 3}


def test_the_label_numbers_are_those_of_brats_2021(result) -> None:
    output, _ = result
    for path in output.glob("*/*_seg.nii.gz"):
        label = sitk.ReadImage(str(path))
        assert set(np.unique(sitk.GetArrayFromImage(label))) == {0, 1, 2, 4}
        assert label.GetSpacing() == (1, 1, 1) and label.GetPixelID() == sitk.sitkUInt8


def test_the_report_tells_how_to_make_them_again(result, data: Path, tmp_path: Path) -> None:
    output, report = result
    assert json.loads((output / REPORT_FILE).read_text()) == json.loads(json.dumps(report))
    plan = report["plan"]
    assert plan["data"] == str(data.resolve()) and list(plan["cases"]) == sorted(PATIENTS)
    assert (plan["factor"], plan["method"], plan["seed"]) == (2, "aem", 5)
    assert SynthesisOptions(**plan["options"]) == SynthesisOptions()
    for entry, recipient in zip(report["synthetic"], plan["cases"], strict=True):
        assert entry["recipient"] == recipient and set(entry["donors"]) < set(plan["cases"])
    assert report["versions"]["MissingModality"] and report["seconds"] > 0


@pytest.mark.parametrize("method", SYNTHESIS_METHODS)
def test_a_contact_sheet_shows_modalities_by_steps(tmp_path: Path, method: str) -> None:
    options = SynthesisOptions(difference="signed")
    made = synthetic_cases(prepared_patients(tmp_path), 2, 0, method, options)
    for cases in (made[:1], made[1:3]):
        draw_contact_sheet(tmp_path / "sheet.png", cases, options)
        picture = imread(tmp_path / "sheet.png")[..., :3]
        assert picture.shape[0] > 700 * len(cases) > 0.8 * picture.shape[1]
        assert (picture.max(axis=2) > 0.5).mean() > 0.05
        titles = np.array_split(picture[35:85, 30:].max(axis=2), 5, axis=1)
        assert all((title > 0.5).mean() > 0.003 for title in titles), "every column says what it shows"
    assert contents(tmp_path) >= {"sheet.png"} and not list(tmp_path.glob(".*"))


def test_cases_without_label_are_left_out(data: Path, tmp_path: Path) -> None:
    source = write_patients(tmp_path / "some")
    (source / "patient_d" / "patient_d_seg.nii.gz").unlink()
    report = synthesize(source, tmp_path / "out", 2)
    assert list(report["plan"]["cases"]) == ["patient_a", "patient_b", "patient_c"]


def test_a_stopped_synthesis_leaves_whole_cases_and_goes_on(data, tmp_path: Path, monkeypatch) -> None:
    output = tmp_path / "out"

    def full_disk(image: sitk.Image, path: Path) -> None:
        if path.name == "synthetic_0001_t1ce.nii.gz":
            raise ImageError(f"Cannot write {path} (disk full).")
        real(image, path)

    real = write.write_image
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_image", full_disk)
        with pytest.raises(ImageError, match="disk full"):
            synthesize(data, output, 2, seed=5)
    assert not (output / SHEET_FILE).exists()
    assert [case.name for case in find_cases(output).cases] == ["synthetic_0000"]
    first = output / "synthetic_0000" / "synthetic_0000_seg.nii.gz"
    stamp = first.stat().st_mtime_ns
    report = synthesize(data, output, 2, seed=5)
    assert first.stat().st_mtime_ns == stamp, "what is whole is kept"
    assert len(find_cases(output).cases) == 4 and len(report["synthetic"]) == 4
    assert not list(output.glob(".*")) and (output / SHEET_FILE).exists()


def test_a_folder_begun_with_earlier_names_of_options_is_finished(data: Path, tmp_path: Path) -> None:
    options = SynthesisOptions(clip_to_brain=True)
    synthesize(data, tmp_path / "out", 2, options=options)
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text())
    report["plan"]["options"]["clip"] = report["plan"]["options"].pop("clip_to_brain")
    (tmp_path / "out" / REPORT_FILE).write_text(json.dumps(report))
    again = synthesize(data, tmp_path / "out", 2, options=options)
    assert again["plan"]["options"]["clip_to_brain"] is True


def test_cases_that_have_changed_are_not_mixed_with_those_before(tmp_path: Path) -> None:
    source, output = write_patients(tmp_path / "some"), tmp_path / "out"
    synthesize(source, output, 2)
    shutil.copy(source / "patient_b" / "patient_b_t2.nii.gz", source / "patient_a" / "patient_a_t2.nii.gz")
    with pytest.raises(CaseError, match="other data or options"):
        synthesize(source, output, 2)


def test_a_folder_with_something_else_in_it_is_left_alone(result, data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CaseError, match="already holds other files"):
        synthesize(data, tmp_path, 2)
    assert contents(tmp_path) == {"notes.txt"}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / REPORT_FILE).write_text("{")
    with pytest.raises(CaseError, match="empty folder"):
        synthesize(data, tmp_path / "broken", 2)
    output, before = result[0], contents(result[0])
    with pytest.raises(CaseError, match="other data or options"):
        synthesize(data, output, 2, seed=6)
    assert contents(output) == before


def test_synthetic_cases_are_not_put_among_the_real_ones(data: Path) -> None:
    before = contents(data)
    with pytest.raises(CaseError, match="outside"):
        synthesize(data, data / "synthetic", 2)
    assert contents(data) == before


def test_wrong_choices_are_refused_before_any_work(data: Path, tmp_path: Path) -> None:
    for options in ({"method": "gan"}, {"factor": 1}, {"convention": "brats1999"}):
        with pytest.raises(OptionError):
            synthesize(data, tmp_path / "out", **options)
    with pytest.raises(CaseError, match="does not exist"):
        synthesize(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(CaseError, match="cannot be used as the output folder"):
        synthesize(data, tmp_path / "file")
    assert contents(tmp_path) == {"file"}


def test_too_few_labeled_cases_leave_nothing_behind(tmp_path: Path) -> None:
    source = write_patients(tmp_path / "data", ("patient_a", "patient_b"))
    (source / "patient_b" / "patient_b_seg.nii.gz").unlink()
    for method in SYNTHESIS_METHODS:
        with pytest.raises(CaseError, match="at least two labeled cases"):
            synthesize(source, tmp_path / "out", 2, method)
    assert not (tmp_path / "out").exists()


def test_options_that_turn_out_impossible_leave_the_folder_to_the_next_try(
    data: Path, tmp_path: Path
) -> None:
    options = SynthesisOptions(grown=GrownOptions(label_maps=str(tmp_path / "absent")))
    with pytest.raises(MissingModalityError, match="absent does not exist"):
        synthesize(data, tmp_path / "out", 2, "grown", options=options)
    assert contents(tmp_path) == set()


def test_a_full_disk_at_the_end_is_told_and_the_same_call_finishes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(write, "draw_contact_sheet", full_disk)
        with pytest.raises(CaseError, match=rf"{tmp_path / 'out'}: .*No space left.*Free some space"):
            synthesize(data, tmp_path / "out", 2)
    report = synthesize(data, tmp_path / "out", 2)
    assert len(report["synthetic"]) == 4 and (tmp_path / "out" / SHEET_FILE).exists()


def test_progress_names_the_steps(data: Path, tmp_path: Path) -> None:
    events: list = []
    synthesize(data, tmp_path / "out", 2, on_progress=events.append)
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages == ["prepare", "tumors", "write"]
    assert events[-1].step == events[-1].total == 4
