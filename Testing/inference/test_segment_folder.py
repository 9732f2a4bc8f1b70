"""A folder of patients segmented in one go, interrupted, and gone on with."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.imaging.content import voxels_sha256
from MissingModalityLib.inference.segment_folder import segment_folder
from small_networks import write_student
from small_patient import write_brain


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """One case with two sequences, one with a single one, in a folder with a space and an umlaut."""
    folder = tmp_path / "Fälle neu"
    for name, kinds in (("A_1", ("flair", "t2")), ("B_2", ("t1",))):
        (folder / name).mkdir(parents=True)
        for seed, kind in enumerate(kinds):
            write_brain(folder / name / f"{name}_{kind}.nii.gz", seed=seed)
    return folder


def table(output: Path) -> dict[str, dict[str, str]]:
    with (output / "volumes.csv").open(encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_every_case_is_segmented_from_what_it_has(cases: Path, student: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    events = []
    result = segment_folder(cases, output, student, "cpu", on_progress=events.append)
    assert (result["segmented"], result["kept"], result["failed"]) == (["A_1", "B_2"], [], {})
    rows = table(output)
    assert [row["modalities"] for row in rows.values()] == ["FLAIR+T2", "T1"]
    classes = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "A_1.seg.nrrd")))
    assert float(rows["A_1"]["WT_cm3"]) == pytest.approx((classes > 0).sum() * 8 / 1000, abs=1e-3)
    assert float(rows["A_1"]["WT_mm"]) > 0
    assert [(event.step, event.total, event.message) for event in events] == [
        (0, 2, "A_1"),
        (1, 2, "B_2"),
        (2, 2, ""),
    ]


def test_a_bad_case_is_told_of_and_the_others_are_done(cases: Path, student: Path, tmp_path: Path) -> None:
    broken = cases / "A_1" / "A_1_t2.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    result = segment_folder(cases, tmp_path / "out", student, "cpu")
    assert result["segmented"] == ["B_2"] and "A_1_t2.nii.gz" in result["failed"]["A_1"]
    assert "A_1_t2.nii.gz" in table(tmp_path / "out")["A_1"]["error"]
    assert not (tmp_path / "out" / "A_1.seg.nrrd").exists()


@pytest.mark.parametrize("content", ["Fall,Volumen\nA_1,3\n", "", "annotated"])
def test_a_table_of_other_columns_is_not_replaced(
    content: str, cases: Path, student: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    lines = (output / "volumes.csv").read_text().splitlines()
    segment_folder(cases, output, student, "cpu")
    if content == "annotated":
        content = "\n".join(
            f"{line},{note}" for line, note in zip(lines, ("seen by", "me", "me"), strict=True)
        )
    (output / "volumes.csv").write_text(content)
    with pytest.raises(OptionError, match=r"volumes\.csv has other columns"):
        segment_folder(cases, output, student, "cpu")
    assert (output / "volumes.csv").read_text() == content


def test_a_failure_names_the_earlier_result_that_lies_in_its_place(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    for path in (cases / "A_1").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    (cases / "C_3").mkdir()
    (cases / "C_3" / "C_3_t1.nii.gz").write_bytes(b"no volume")
    failed = segment_folder(cases, output, student, "cpu")["failed"]
    assert "A_1.seg.nrrd is the result of an earlier run" in failed["A_1"]
    assert failed["A_1"] == table(output)["A_1"]["error"]
    assert "earlier run" not in failed["C_3"]


def test_what_is_done_stays_and_what_changed_is_done_again(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    first = table(output)
    (output / "B_2.seg.nrrd").unlink()
    again = segment_folder(cases, output, student, "cpu")
    assert (again["segmented"], again["kept"]) == (["B_2"], ["A_1"])
    assert table(output) == first
    volume = write_brain(cases / "A_1" / "A_1_t2.nii.gz", seed=7)
    later = (output / "A_1.seg.nrrd").stat().st_mtime + 10
    os.utime(volume, (later, later))
    assert segment_folder(cases, output, student, "cpu")["segmented"] == ["A_1"]
    other = write_student(tmp_path / "other.safetensors", bias=0.5)
    assert segment_folder(cases, output, other, "cpu")["kept"] == []


@pytest.mark.parametrize(
    "replace",
    [
        lambda volume, other: shutil.copy2(other, volume),
        lambda volume, other: os.replace(shutil.copy2(other, volume.with_name("restored.nii.gz")), volume),
        lambda volume, other: (shutil.copy(other, volume), os.utime(volume, (0, 0))),
    ],
    ids=["copied with its time", "renamed", "years older"],
)
def test_a_volume_replaced_by_an_older_one_is_done_again(
    replace, cases: Path, student: Path, tmp_path: Path
) -> None:
    other = write_brain(tmp_path / "other.nii.gz", seed=9)
    os.utime(other, (10**9, 10**9))
    segment_folder(cases, tmp_path / "out", student, "cpu")
    replace(cases / "A_1" / "A_1_t2.nii.gz", other)
    again = segment_folder(cases, tmp_path / "out", student, "cpu")
    assert (again["segmented"], again["kept"]) == (["A_1"], ["B_2"])


def test_a_volume_of_the_same_size_and_time_is_told_from_the_one_before(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    volume = cases / "B_2" / "B_2_t1.nii"
    (cases / "B_2" / "B_2_t1.nii.gz").unlink()
    write_brain(volume, seed=1)
    stamp = volume.stat()
    segment_folder(cases, tmp_path / "out", student, "cpu")
    os.utime(volume, (1, 1))
    assert "B_2" in segment_folder(cases, tmp_path / "out", student, "cpu")["kept"], "only its time changed"
    write_brain(volume, seed=9)
    os.utime(volume, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert volume.stat().st_size == stamp.st_size
    assert segment_folder(cases, tmp_path / "out", student, "cpu")["segmented"] == ["B_2"]


class Killed(BaseException):
    """In place of the end of a process, which nothing in it can answer."""


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_run_that_is_killed_as_it_puts_files_in_place_leaves_nothing_that_passes_for_corrected(
    cases: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    output, other = tmp_path / "out", write_student(tmp_path / "other.safetensors", bias=0.5)
    shutil.rmtree(cases / "B_2")
    segment_folder(cases, output, other, "cpu")
    before = (output / "A_1.seg.nrrd").read_bytes()
    rename, places = os.replace, []

    def kill(temporary: Path, path: Path) -> None:
        places.append(path)
        if len(places) > renamed:
            raise Killed
        rename(temporary, path)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", kill)
        segment_folder(cases, output, student, "cpu")
    assert ((output / "A_1.seg.nrrd").read_bytes() == before) == (renamed < 2)
    again = segment_folder(cases, output, student, "cpu")
    assert (again["warnings"], again["failed"]) == ([], {})
    segment_folder(cases, tmp_path / "anew", student, "cpu")
    whole = (tmp_path / "anew" / "A_1.seg.nrrd").read_bytes()
    assert (output / "A_1.seg.nrrd").read_bytes() == whole != before
    path = str(output / "A_1.seg.nrrd")
    sitk.WriteImage(sitk.ReadImage(path) * 0, path)
    assert "was changed" in segment_folder(cases, output, student, "cpu")["warnings"][0]


@pytest.mark.parametrize("keep", [0, 0.6])
def test_a_result_that_is_cut_off_is_made_anew(
    cases: Path, student: Path, tmp_path: Path, keep: float
) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    whole = (output / "A_1.seg.nrrd").read_bytes()
    (output / "A_1.seg.nrrd").write_bytes(whole[: int(keep * len(whole))])
    again = segment_folder(cases, output, student, "cpu")
    assert (again["segmented"], again["kept"]) == (["A_1"], ["B_2"])
    assert (output / "A_1.seg.nrrd").read_bytes() == whole


def test_a_report_that_somebody_edited_is_made_anew_and_one_of_an_earlier_version_is_not(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    segment_folder(cases, tmp_path / "out", student, "cpu")
    before = table(tmp_path / "out")
    for name, change in (("A_1", {"volumes_cm3": {}}), ("B_2", {"report_sha256": None})):
        path = tmp_path / "out" / f"{name}.seg.nrrd.report.json"
        report = json.loads(path.read_text())
        for key, value in change.items():
            if value is None:
                del report[key]
            else:
                report[key]["WT"] += 1
        path.write_text(json.dumps(report))
    again = segment_folder(cases, tmp_path / "out", student, "cpu")
    assert (again["segmented"], again["kept"]) == (["A_1"], ["B_2"])
    assert table(tmp_path / "out") == before


def test_a_result_that_somebody_changed_is_kept_and_told(cases: Path, student: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    shutil.copy(output / "B_2.seg.nrrd", output / "A_1.seg.nrrd")
    again = segment_folder(cases, output, student, "cpu")
    assert again["kept"] == ["A_1", "B_2"]
    (warning,) = again["warnings"]
    assert "A_1.seg.nrrd was changed after it was written" in warning
    rows = table(output)
    assert warning in rows["A_1"]["warnings"] and warning not in rows["B_2"]["warnings"]
    assert (output / "A_1.seg.nrrd").read_bytes() == (output / "B_2.seg.nrrd").read_bytes()


def test_a_result_that_somebody_changed_is_not_replaced_by_that_of_another_model(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    segment_folder(cases, output, student, "cpu")
    shutil.copy(output / "B_2.seg.nrrd", output / "A_1.seg.nrrd")
    (output / "B_2.seg.nrrd.report.json").unlink()
    before = [(output / f"{name}.seg.nrrd").read_bytes() for name in ("A_1", "B_2")]
    (cases / "C_3").mkdir()
    write_brain(cases / "C_3" / "C_3_t1.nii.gz", seed=4)
    again = segment_folder(cases, output, write_student(tmp_path / "other.safetensors", bias=0.5), "cpu")
    assert (again["segmented"], again["unforeseen"]) == (["C_3"], [])
    assert "A_1.seg.nrrd was changed after it was written" in again["failed"]["A_1"]
    assert "B_2.seg.nrrd exists, and no report" in again["failed"]["B_2"]
    assert [(output / f"{name}.seg.nrrd").read_bytes() for name in ("A_1", "B_2")] == before


def test_the_report_names_size_and_hashes_of_every_volume(cases: Path, student: Path, tmp_path: Path) -> None:
    segment_folder(cases, tmp_path / "out", student, "cpu")
    contents = json.loads((tmp_path / "out" / "A_1.seg.nrrd.report.json").read_text())["contents"]
    assert list(contents) == ["FLAIR", "T2"]
    volume = cases / "A_1" / "A_1_t2.nii.gz"
    assert contents["T2"]["bytes"] == volume.stat().st_size
    assert contents["T2"]["sha256"] == hashlib.sha256(volume.read_bytes()).hexdigest()
    assert contents["T2"]["voxels_sha256"] == voxels_sha256(sitk.ReadImage(str(volume)))


def test_a_skipped_volume_beside_a_case_stands_in_its_row(cases: Path, student: Path, tmp_path: Path) -> None:
    write_brain(cases / "A_1" / "A_1_t1rho.nii.gz")
    segment_folder(cases, tmp_path / "out", student, "cpu")
    rows = table(tmp_path / "out")
    assert "A_1_t1rho.nii.gz beside it was skipped" in rows["A_1"]["warnings"]
    assert "skipped" not in rows["B_2"]["warnings"]


@pytest.mark.parametrize("version", ["earlier_result.__version__", "earlier_result.VERSION"])
def test_results_of_another_version_are_made_anew(
    cases: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    segment_folder(cases, tmp_path / "out", student, "cpu")
    assert segment_folder(cases, tmp_path / "out", student, "cpu")["kept"] == ["A_1", "B_2"]
    monkeypatch.setattr(f"MissingModalityLib.inference.{version}", "newer")
    assert segment_folder(cases, tmp_path / "out", student, "cpu")["segmented"] == ["A_1", "B_2"]


def test_files_that_belong_to_no_case_are_told(
    cases: Path, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_brain(cases / "C_MPRAGE.nii.gz")
    for number in range(9):
        (cases / f"{number}.txt").touch()
    arguments = ["--data", cases, "--output", tmp_path / "out", "--student", student, "--device", "cpu"]
    assert main(["segment-folder", *map(str, arguments), "--progress", "none"]) == 0
    told = capsys.readouterr().out
    assert "Warning: C_MPRAGE.nii.gz was skipped: " in told
    assert "Warning: 0.txt, 1.txt, 2.txt and 6 more were skipped: not a volume" in told


def test_no_input_is_overwritten(cases: Path, student: Path) -> None:
    volume = cases / "A_1" / "A_1_t2.nii.gz"
    shutil.copy(volume, cases / "A_1" / "A_1.nii.gz")
    shutil.move(cases / "A_1" / "A_1_t2.nii.gz", cases / "A_1" / "t2.nii.gz")
    shutil.move(cases / "A_1" / "A_1_flair.nii.gz", cases / "A_1" / "flair.nii.gz")
    (cases / "A_1").rename(cases / "t2")
    before = (cases / "t2" / "t2.nii.gz").read_bytes()
    with pytest.raises(OptionError, match="overwrite an input"):
        segment_folder(cases, cases / "t2", student, "cpu", suffix=".nii.gz")
    assert (cases / "t2" / "t2.nii.gz").read_bytes() == before


def test_a_table_that_cannot_be_written_costs_no_result(cases: Path, student: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "volumes.csv").mkdir(parents=True)
    with pytest.raises(OptionError, match=r"volumes\.csv: cannot be written"):
        segment_folder(cases, tmp_path / "out", student, "cpu")
    (tmp_path / "out" / "volumes.csv").rmdir()
    assert segment_folder(cases, tmp_path / "out", student, "cpu")["kept"] == ["A_1", "B_2"]


def test_a_run_that_is_stopped_loses_no_line_of_what_was_done_before(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    segment_folder(cases, tmp_path / "out", student, "cpu")
    first = table(tmp_path / "out")
    shutil.copytree(cases / "B_2", cases / "0_new")
    halves = [tmp_path / "out" / f".unfinished-{age}-a_1.seg.nrrd" for age in ("old", "new")]
    for half in halves:
        half.write_bytes(b"NRRD")
    os.utime(halves[0], (0, 0))

    def stop(event: Event) -> None:
        if event.step == event.total or (event.message == "B_2" and event.step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_folder(cases, tmp_path / "out", student, "cpu", on_progress=stop)
    assert table(tmp_path / "out").items() >= first.items()
    assert [half.exists() for half in halves] == [False, True], "the new one may be another process's"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_told_before_anything_is_computed(
    cases: Path, student: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    events: list[Event] = []
    with pytest.raises(OptionError, match="cannot be written"):
        segment_folder(cases, tmp_path / "out", student, "cpu", on_progress=events.append)
    assert not events


def test_nothing_usable_is_an_error(cases: Path, student: Path, tmp_path: Path) -> None:
    for path in cases.rglob("*.nii.gz"):
        path.write_bytes(b"")
    with pytest.raises(CaseError, match="none of 2 cases could be segmented"):
        segment_folder(cases, tmp_path / "out", student, "cpu")
    with pytest.raises(OptionError, match="kind of output"):
        segment_folder(cases, tmp_path / "out", student, "cpu", suffix=".png")
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot be written"):
        segment_folder(cases, tmp_path / "file" / "out", student, "cpu")


def test_the_command_says_what_it_did(
    cases: Path, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", cases, "--output", tmp_path / "out", "--student", student, "--device", "cpu"]
    command = ["segment-folder", *map(str, arguments), "--suffix", ".nii.gz", "--progress", "none"]
    assert main(command) == 0 and main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "Segmented 2 cases, 0 failed",
        f"Wrote {tmp_path / 'out' / 'volumes.csv'}",
        "Segmented 0 cases, 2 done before, 0 failed",
        f"Wrote {tmp_path / 'out' / 'volumes.csv'}",
    ]
    assert (tmp_path / "out" / "B_2.nii.gz").is_file()
