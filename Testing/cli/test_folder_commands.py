"""The commands that work on folders of cases: prepare, synthesize, train, export, evaluate, compare."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from command_line import exit_code
from MissingModalityLib.__main__ import main
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.attach import store_choices
from MissingModalityLib.inference.student import Student
from small_cases import write_shell_case
from small_networks import write_student


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two labeled cases."""
    data = tmp_path_factory.mktemp("pair")
    for number in (1, 2):
        write_shell_case(data / f"BraTS2021_9000{number}", (Modality.FLAIR, Modality.T1CE), seed=number)
    return data


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two labeled cases, one without label and one that is damaged."""
    data = tmp_path_factory.mktemp("labeled")
    for number in (1, 2):
        write_shell_case(data / f"BraTS2021_9000{number}", (Modality.FLAIR, Modality.T1CE), seed=number)
    write_shell_case(data / "BraTS2021_90003", (Modality.FLAIR,), label=False)
    damaged = write_shell_case(data / "BraTS2021_90004", (Modality.FLAIR,)) / "flair.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:400])
    return data


def test_prepare_fills_the_cache_and_says_what_it_skipped(labeled, tmp_path, capfd):
    arguments = ["prepare", "--data", str(labeled), "--output", str(tmp_path / "cache")]
    assert main([*arguments, "--progress", "json"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {Event.from_json(record).stage for record in records[:-1]} == {"prepare"}
    report = records[-1]["result"]
    assert report == json.loads((tmp_path / "cache" / "report.json").read_text())
    assert list(report["cases"]) == ["BraTS2021_90001", "BraTS2021_90002"]
    assert {entry["path"] for entry in report["skipped"]} == {"BraTS2021_90003", "BraTS2021_90004"}
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.safetensors")}
    assert len(files) == 2
    assert main([*arguments, "--progress", "none"]) == 0
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.safetensors")}
    out = capfd.readouterr().out
    assert "Warning: skipped BraTS2021_90003: no label" in out and f"Wrote {tmp_path / 'cache'}" in out


def test_prepared_cases_are_those_that_training_looks_for(labeled, tmp_path, monkeypatch, capsys):
    """Even when the folder was given relative to where the command ran."""
    monkeypatch.chdir(labeled.parent)
    arguments = ["prepare", "--data", labeled.name, "--output", str(tmp_path / "run" / "prepared")]
    assert main([*arguments, "--progress", "none"]) == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "prepared").iterdir()}
    places = ["--data", str(labeled), "--output", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", *places, "--progress", "none", "--set", *SMALL, "exclude=BraTS2021_90004"]) == 0
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "prepared").iterdir()}


def test_synthesize_multiplies_a_folder_of_cases(pair, tmp_path, capfd):
    output = tmp_path / "synthetic"
    arguments = ["synthesize", "--data", str(pair), "--output", str(output), "--factor", "2", "--seed", "5"]
    assert main([*arguments, "--set", "clip_to_brain=true", "max_rotation_deg=10", "--progress", "json"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert all(record["event"] == "progress" for record in records[:-1])
    report = json.loads((output / "synthesis.json").read_text())
    assert records[-1]["result"] == report
    plan = report["plan"]
    assert (plan["factor"], plan["method"], plan["seed"]) == (2, "aem", 5)
    options = plan["options"]
    assert (options["clip_to_brain"], options["max_rotation_deg"], options["flip"]) == (True, 10, False)
    made = find_cases(output).cases
    assert [case.name for case in made] == [case["name"] for case in report["synthetic"]]
    assert len(made) == 2 and all(case.label for case in made)
    more = ["--data", str(pair), "--output", str(tmp_path / "mixed"), "--factor", "2", "--method", "mixup"]
    assert main(["synthesize", *more, "--progress", "none"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("2 cases in ") and out.endswith(f"Wrote {tmp_path / 'mixed'}\n")


@pytest.fixture(scope="module")
def scored(student: Path, pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations of two students on one case in ``a`` and ``b``; ``zero`` is by another rule."""
    root = tmp_path_factory.mktemp("scored")
    other = write_student(root / "other.safetensors", bias=-3.0)
    data = ["--data", str(pair / "BraTS2021_90001"), "--device", "cpu", "--progress", "none"]
    for name, scored_student, rule in (
        ("a", student, "penalty"),
        ("b", other, "penalty"),
        ("zero", student, "zero"),
    ):
        arguments = ["--student", str(scored_student), "--output", str(root / name), "--hd95-rule", rule]
        assert main(["evaluate", *data, *arguments]) == 0
    return root


def test_compare_puts_evaluations_side_by_side(scored, tmp_path, capsys):
    lines = [f"without={scored}/a", f"with={scored}/b,{scored}/a"]
    assert main(["compare", *lines]) == 0
    table = capsys.readouterr().out
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| with")]
    assert rows[:2] == [["| without", "1"], ["| with", "2"]]
    assert "with less without" in table
    assert main(["compare", *lines, "--output", str(tmp_path / "compared")]) == 0
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'compared'}\n"
    assert (tmp_path / "compared" / "comparison.md").read_text().strip() == table.strip()


MISUSED = {
    "prepare nothing labeled": ("prepare --data UNLABELED --output new", "no label"),
    "prepare into a file": ("prepare --data PAIR --output taken", "taken"),
    "prepare with an unknown numbering": ("prepare --data PAIR --output new --convention brats", "brats2021"),
    "synthesize inside of the data": ("synthesize --data PAIR --output PAIR/new", "outside"),
    "synthesize with an unknown option": ("synthesize --data PAIR --output new --set clp=true", "clip"),
    "synthesize out of range": ("synthesize --data PAIR --output new --set tumors=0", "1 to 8"),
    "synthesize into a file": ("synthesize --data PAIR --output taken", "taken"),
    "synthesize as many": ("synthesize --data PAIR --output new --factor 1", "at least 2"),
    "compare without names": ("compare SCORED/a --output new", "KEY=VALUE"),
    "compare one name twice": ("compare a=SCORED/a a=SCORED/b --output new", "commas"),
    "compare no folder": ("compare a=SCORED/a b= --output new", "has no name"),
    "compare one folder as two seeds": ("compare a=SCORED/a,SCORED/a --output new", "given twice"),
    "compare what is no evaluation": ("compare a=SCORED/a b=PAIR --output new", "holds no evaluation"),
    "compare other rules": ("compare a=SCORED/a b=SCORED/zero --output new", "rule"),
    "evaluate nothing labeled": ("evaluate --data UNLABELED --output new/deep", "no label"),
    "train into a file": ("train --data PAIR --output taken/run --preset quick", "taken"),
    "train with more folds than cases": ("train --data PAIR --output new --folds 3", "2 cases with a label"),
    "plot what is no run": ("plot PAIR", "no epoch to draw"),
    "train an unknown network": ("train --data PAIR --output new --network unet", "segresnet"),
    "train an unknown stage": ("train --data PAIR --output new --stages train,finetune", "finetune"),
    "train from no student": ("train --data PAIR --output new --init taken", "taken"),
    "train by an absent file": ("train --data PAIR --output new --config none.yaml", "none.yaml"),
    "train by a file of nothing": ("train --data PAIR --output new --config taken", "taken"),
    "restart what never ran": ("train --data PAIR --output new --restart train", "--resume"),
}


@pytest.mark.parametrize("what", MISUSED)
def test_misuse_gives_one_message_and_no_files(what, labeled, pair, scored, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    command, expected = MISUSED[what]
    for name, place in {"PAIR": pair, "UNLABELED": labeled / "BraTS2021_90003", "SCORED": scored}.items():
        command = command.replace(name, str(place))
    silent = [] if command.startswith("compare") else ["--progress", "none"]
    capfd.readouterr()  # what the fixtures said
    assert exit_code([*command.split(), *silent]) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 1, err
    assert err.startswith("missing-modality: error: ") and expected in err, err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert len(list(pair.iterdir())) == 2


SMALL = [
    "epochs=1",
    "iterations_per_epoch=1",
    "patch_size=16",
    "validation_fraction=0",
    "network.blocks=(1, 1)",
]


@pytest.fixture(scope="module")
def trained(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least of a run."""
    run = tmp_path_factory.mktemp("trained") / "run"
    places = ["--data", str(pair), "--output", str(run), "--device", "cpu"]
    assert main(["train", *places, "--progress", "none", "--set", *SMALL]) == 0
    return run


def test_a_run_that_is_over_says_so_when_it_is_resumed(trained, capsys):
    assert main(["train", "--output", str(trained), "--resume", "--progress", "none"]) == 0
    assert capsys.readouterr().out.endswith(f"All stages of '{trained}' were over: nothing was trained.\n")


def test_an_export_that_is_refused_leaves_what_was_there(trained, scored, tmp_path, capsys):
    student = trained / "train.safetensors"
    before = student.read_bytes()
    command = ["export", "--run", str(trained), "--progress", "none", "--output"]
    assert main([*command, str(student)]) == 2
    assert "the run itself goes on" in capsys.readouterr().err and student.read_bytes() == before
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    old.write_text("an earlier one")
    for output in (new, old):
        assert main([*command, str(output), "--evaluation", str(scored / "a")]) == 2
        assert "The evaluation is not one of" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]
    assert old.read_text() == "an earlier one"


def test_the_folder_of_a_cross_validation_takes_no_other_run(pair, tmp_path, capsys):
    folds = tmp_path / "cv"
    (folds / "fold1").mkdir(parents=True)
    (folds / "fold1" / "run.json").write_text("{}")
    assert main(["train", "--output", str(folds), "--data", str(pair), "--progress", "none"]) == 2
    assert f"'{folds}' is a cross-validation. Give folds" in capsys.readouterr().err
    export = ["export", "--run", str(folds), "--output", str(tmp_path / "x.safetensors")]
    for command in (["train", "--output", str(folds), "--resume"], export):
        assert main([*command, "--progress", "none"]) == 2
        assert f"'{folds}' is a cross-validation. Choose one of its folds" in capsys.readouterr().err
    assert [path.name for path in folds.iterdir()] == ["fold1"]


def test_train_takes_all_its_options(trained, pair, tmp_path, capsys):
    student, config, run = tmp_path / "s.safetensors", tmp_path / "settings.yaml", tmp_path / "run"
    assert main(["export", "--run", str(trained), "--output", str(student), "--progress", "none"]) == 0
    config.write_text("iterations_per_epoch: 2\ntrain: {epochs: 3, batch_size: 2}\n")
    places = ["--data", str(pair), "--output", str(run), "--prepared", str(tmp_path / "cache")]
    options = ["--recipe", "aem-kd", "--stages", "train,posttrain", "--init", str(student), "--seed", "7"]
    options += ["--config", str(config), "--set", *SMALL, "train.epochs=2", "--device", "cpu"]
    assert main(["train", *places, *options, "--progress", "none"]) == 0
    record = json.loads((run / "run.json").read_text())
    stages = record["settings"]["stages"]
    assert list(stages) == ["train", "posttrain"]
    assert [stages["train"][key] for key in ("epochs", "iterations_per_epoch", "batch_size")] == [2, 1, 2]
    assert (record["recipe"], record["seed"], record["initial"]) == ("aem-kd", 7, str(student))
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2 and not (run / "prepared").exists()
    again = ["train", *places, "--resume", "--restart", "posttrain", "--set", "posttrain.epochs=2"]
    assert main([*again, "--device", "cpu", "--progress", "none"]) == 0
    epochs = [json.loads(line)["stage"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert epochs.count("posttrain") == 2 and epochs.count("train") == 2
    assert capsys.readouterr().err == ""


def test_a_run_becomes_a_student_that_tells_name_license_and_scores(trained, tmp_path, capsys):
    first, second, scores = (
        tmp_path / "first.safetensors",
        tmp_path / "second.safetensors",
        tmp_path / "scores",
    )
    run_of = ["--run", str(trained), "--progress", "none", "--et-minimum", "500", "--blending", "mean"]
    facts = ["--name", "Small one", "--license", "CC BY 4.0"]
    assert main(["export", *run_of, "--output", str(first), *facts]) == 0
    card = Student.load(first).card
    assert (card["min_enhancing_voxels"], card["blending"]) == (500, "mean")
    assert (card["name"], card["license"]) == ("Small one", "CC BY 4.0") and "evaluation" not in card
    unseen = tmp_path / "cases"
    write_shell_case(unseen / "BraTS2021_90009", (Modality.FLAIR, Modality.T1CE), seed=9)
    arguments = ["--student", first, "--data", unseen, "--output", scores]
    arguments += ["--device", "cpu", "--progress", "none", "--hd95-rule", "zero"]
    assert main(["evaluate", *map(str, arguments)]) == 0
    assert "evaluation" not in Student.load(first).card
    assert main(["evaluate", *map(str, arguments), "--store"]) == 0
    stored = Student.load(first).card["evaluation"]
    assert (stored["hd95_rule"], stored["cases"]) == ("zero", 1)
    assert main(["export", *run_of, "--output", str(second), "--evaluation", str(scores)]) == 0
    card = Student.load(second).card
    assert card["evaluation"] == stored and not {"name", "license"} & card.keys()
    assert capsys.readouterr().err == ""


def test_an_export_over_a_model_tells_what_that_had_and_how_to_have_it_back(trained, tmp_path, capsys):
    output = tmp_path / "model.safetensors"
    command = ["export", "--run", str(trained), "--output", str(output), "--et-minimum", "500"]
    assert main([*command, "--blending", "mean", "--quiet"]) == 0
    student = Student.load(output)
    Student(student.network, {**student.card, "smoothing_mm": 0.0, "mirror_windows": []}).save(output)
    assert main([*command, "--name", "Mine", "--blending", "mean", "--quiet"]) == 0
    assert capsys.readouterr().err == "", "nothing was lost"
    student = Student.load(output)
    Student(student.network, {**student.card, "min_component_voxels": 20, "limits": ["None."]}).save(output)
    assert main([*command, "--quiet"]) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"Warning: {output} was a model that had what this one has not: ")
    assert "min_component_voxels 20, blending mean, name Mine, its limits. " in told
    assert "options of export give blending, name; 'select --run FOLDS --reuse" in told
    assert "evaluate --store" not in told
    store_scores(output)
    assert main([*command, "--progress", "json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["result"]["lost"] == ["evaluation"]


def test_an_export_tells_what_was_stored_in_the_own_model_of_the_run(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    command = ["export", "--run", str(run), "--output", str(tmp_path / "model.safetensors"), "--quiet"]
    assert main(command) == 0 and capsys.readouterr().err == ""
    own = run / f"{Student.load(tmp_path / 'model.safetensors').card['training']['stage']}.safetensors"
    store_choices(own, {"min_component_voxels": 20})
    assert main(command) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"Warning: {own}, the model of the run itself, has what this one has not: ")
    assert "min_component_voxels 20. To have it back: 'select --run FOLDS --reuse" in told


def store_scores(model):
    """An evaluation in a model's card, of whatever kind."""
    student = Student.load(model)
    student.card["evaluation"] = {"cases": 1}
    student.save(model)


def test_export_writes_nothing_when_the_evaluation_is_none(trained, tmp_path, capsys):
    arguments = ["--run", trained, "--output", tmp_path / "s.safetensors", "--evaluation", tmp_path]
    assert main(["export", *map(str, arguments), "--progress", "none"]) == 2
    assert "holds no evaluation" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_package_that_reads_yaml_has_another_name(pair, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "settings.yaml").write_text("epochs: 1\n")
    places = ["--data", str(pair), "--output", str(tmp_path / "run")]
    assert main(["train", *places, "--config", str(tmp_path / "settings.yaml"), "--progress", "none"]) == 2
    assert "pip install pyyaml" in capsys.readouterr().err


def test_of_several_processes_only_the_first_has_the_last_word(student, pair, tmp_path, monkeypatch, capsys):
    arguments = ["evaluate", "--student", student, "--data", pair / "BraTS2021_90001", "--device", "cpu"]
    arguments = [*map(str, arguments), "--output", str(tmp_path / "scores"), "--progress", "none"]
    for rank, words in (("1", ""), ("0", f"Wrote {tmp_path / 'scores'}\n")):
        monkeypatch.setenv("RANK", rank)
        assert main(arguments) == 0
        assert capsys.readouterr().out == words


def spoil(case: Path, how: str) -> None:
    """Make the volume T1ce of a case one that no command may use."""
    path = case / "t1ce.nii.gz"
    if how == "same as FLAIR":
        flair = sitk.ReadImage(str(case / "flair.nii.gz"))
        sitk.WriteImage(sitk.Cast(flair, sitk.sitkFloat32) * 2, str(path))
        return
    raw = bytearray(gzip.decompress(path.read_bytes()))
    if how == "sform elsewhere":
        struct.pack_into("<f", raw, 292, 40 + struct.unpack_from("<f", raw, 292)[0])
    else:
        struct.pack_into("<f", raw, 88, 0.0)
    path.write_bytes(gzip.compress(bytes(raw)))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("same as FLAIR", "hold the same volume"),
        ("sform elsewhere", "40.0 mm apart"),
        ("no slice distance", "spacing of 1, 1, 0 mm"),
    ],
)
def test_what_the_gate_refuses_is_left_out_by_every_command_with_the_reason(
    how, words, pair, tmp_path, capsys
):
    data = shutil.copytree(pair, tmp_path / "data")
    spoil(data / "BraTS2021_90002", how)
    student = write_student(tmp_path / "student.safetensors")
    commands = {
        "prepare": [],
        "segment-folder": ["--student", str(student), "--device", "cpu"],
        "evaluate": ["--student", str(student), "--device", "cpu"],
    }
    for command, options in commands.items():
        output = tmp_path / command
        arguments = ["--data", str(data), "--output", str(output), *options, "--progress", "json"]
        assert main([command, *arguments]) == (command == "segment-folder"), command
        result = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]
        told = json.dumps(result.get("skipped") or result.get("failed"))
        assert "BraTS2021_90002" in told and words in told, command
        assert "BraTS2021_90001" not in told, command


def test_split_writes_lists_that_train_takes(pair, tmp_path, capfd):
    arguments = ["split", "--data", str(pair), "--output", str(tmp_path / "lists")]
    assert main([*arguments, "--sizes", "1,0,1", "--seed", "2"]) == 0
    assert "1 training, 0 validation, 1 test" in capfd.readouterr().out
    names = [(tmp_path / "lists" / f"{part}.txt").read_text().split() for part in ("training", "test")]
    assert sorted(name for part in names for name in part) == ["BraTS2021_90001", "BraTS2021_90002"]
    assert main([*arguments, "brats2020"]) == 2
    assert "is one of 369, and there are 2" in capfd.readouterr().err
    assert main([*arguments, "brats2020", "--seed", "1"]) == 2
    assert main(arguments) == 2


@pytest.mark.parametrize("sizes", ["1,1", "0,1,1", "a,b,c", "1,-1,1"])
def test_sizes_that_divide_nothing_are_refused(sizes, pair, tmp_path, capfd):
    assert exit_code(["split", "--sizes", sizes, "--data", str(pair), "--output", str(tmp_path)]) == 2
    assert "is not three whole numbers" in capfd.readouterr().err
