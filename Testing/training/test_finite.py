"""What is no finite number is neither trained with nor written, resumed or exported."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.plan import make_plan, read_config
from MissingModalityLib.training.request import TrainRequest
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from MissingModalityLib.training.step_values import Step
from tiny_run import TINY


@pytest.fixture(scope="module")
def run(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, not to be changed."""
    settings = {**TINY, "epochs": 1, "validation_interval": 1, "validation_subsets": "FLAIR"}
    return train(tiny_cases, tmp_path_factory.mktemp("run") / "run", settings={**settings, "ema_decay": 0.5})


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """What a run needs to be resumed or exported."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("run.json", "checkpoint.pt", "log.jsonl"):
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e400", "1.0e+400", "!!float inf"])
@pytest.mark.parametrize("name", ["learning_rate", "validation_fraction", "network.dropout"])
def test_numbers_in_yaml_are_finite_or_refused(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{name}: {value}\n")
    with pytest.raises(OptionError, match=name.rpartition(".")[2]):
        TrainRequest(None, tmp_path, config=tmp_path / "a.yaml").plan()


@pytest.mark.parametrize("pair", ["learning_rate=1e400", "learning_rate=inf", "train.weight_decay=-1e999"])
def test_numbers_of_the_command_line_are_finite_or_refused(
    pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "--data", str(tmp_path), "--output", str(tmp_path / "run"), "--set", pair])
    said = capsys.readouterr().err
    assert code == 2 and pair.partition("=")[0].rpartition(".")[2] in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epohcs: 3", "Unknown setting 'epohcs'"),
        ("train: {epohcs: 3}", "Unknown setting"),
        ("network.widht: 8", "Unknown setting"),
        ("epochs: many", "epochs=many"),
        ("patch_size: 99999", "patch_size"),
        ("stages: {train: {epohcs: 3}}", "Unknown setting"),
        ("stages: {train: {epochs: 3}}\nnetwrok: segresnet", "Unknown setting of a plan 'netwrok'"),
        ("stages: {train: {learning_rate: .inf}}", "learning_rate"),
        ("epochs: 3\nepochs: 4", "'epochs' is given twice"),
        ("stages: {train: {epochs: 3, epochs: 4}}", "'epochs' is given twice"),
        ("epochs: !!bool maybe", "YAML"),
        ("epochs: !!int ''", "YAML"),
        ("epochs: !!timestamp never", "YAML"),
        ("epochs: 2020-13-45", "YAML"),
        ("epochs: " + "1" * 5000, "YAML"),
        ("epochs: " + "[" * 5000, "YAML"),
        ("- " * 5000, "YAML"),
    ],
    ids=lambda value: value[:30],
)
def test_whatever_is_wrong_in_a_file_of_settings_names_the_file(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=rf"(?s)mine\.yaml: .*{words}"):
        TrainRequest(None, tmp_path, config=path).plan()


def test_what_is_wrong_beside_a_file_of_settings_does_not_blame_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("epochs: 3\n")
    with pytest.raises(OptionError, match=r"^Unknown setting 'epohcs'"):
        TrainRequest(None, tmp_path, config=tmp_path / "mine.yaml", settings={"epohcs": 4}).plan()
    assert read_config(tmp_path / "mine.yaml") == {"epochs": 3}


def test_a_resumed_runs_file_of_settings_is_named_too(tiny_cases: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("epohcs: 3\n")
    with pytest.raises(OptionError, match=r"mine\.yaml: Unknown setting 'epohcs'"):
        train(tiny_cases, copy, resume=True, config=tmp_path / "mine.yaml")


def test_run_json_is_strict(run: Path) -> None:
    def none(word: str) -> Any:
        raise AssertionError(word)

    assert json.loads((run / "run.json").read_text(), parse_constant=none)["settings"]["stages"]
    for line in (run / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=none)


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"dice": math.nan, "total": 1.0}, "loss term dice became nan"),
        ({"dice": 0.5, "aside": math.inf, "total": 0.5}, "loss term aside became inf"),
        ({"dice": math.nan, "total": math.nan}, "loss became nan"),
        ({"dice": 0.5, "total": 0.5}, None),
    ],
)
def test_a_term_that_the_log_cannot_hold_is_a_problem(terms: dict[str, float], problem: str | None) -> None:
    assert Step(1, (), terms, 1.0).problem == problem


Change = Callable[[dict[str, Any]], None]


def spoil(part: str, value: float) -> Change:
    def change(state: dict[str, Any]) -> None:
        next(tensor for tensor in state[part].values() if tensor.is_floating_point()).view(-1)[0] = value

    return change


def as_whole(state: dict[str, Any]) -> None:
    for part in ("network", "averaged"):
        state[part] = {name: tensor.to(torch.int32) for name, tensor in state[part].items()}


CHANGES: dict[str, Change] = {
    "nan": spoil("network", math.nan),
    "inf": spoil("network", math.inf),
    "average": spoil("averaged", -math.inf),
    "no network": lambda state: state.pop("network"),
    "a list": lambda state: state.update(network=[1, 2]),
    "no epoch": lambda state: state.update(epoch="one"),
    "no stage": lambda state: state.pop("stage"),
}


def rewrite(folder: Path, change: Change) -> None:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "checkpoint.pt")


@pytest.mark.parametrize("how", CHANGES)
def test_a_checkpoint_of_what_is_no_state_is_neither_exported_nor_resumed(
    how: str, copy: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    rewrite(copy, CHANGES[how])
    with pytest.raises(StudentError, match=r"checkpoint\.pt"):
        export(copy, tmp_path / "s.safetensors")
    with pytest.raises(StudentError, match=r"checkpoint\.pt"):
        train(tiny_cases, copy, resume=True, settings={"epochs": 2})
    assert not (tmp_path / "s.safetensors").exists()


@pytest.mark.parametrize(
    "change",
    [
        as_whole,
        lambda state: state["averaged"].update({"module.another.weight": torch.zeros(3)}),
        lambda state: state["averaged"].pop(next(name for name in state["averaged"] if "weight" in name)),
    ],
    ids=["whole numbers", "one more", "one less"],
)
def test_weights_that_do_not_fit_are_not_exported(change: Change, copy: Path, tmp_path: Path) -> None:
    rewrite(copy, change)
    with pytest.raises(StudentError, match=r"checkpoint\.pt.*does not fit"):
        export(copy, tmp_path / "s.safetensors")
    assert not (tmp_path / "s.safetensors").exists()


def test_a_checkpoint_of_a_stage_that_the_run_lacks_is_refused(copy: Path, tiny_cases: Path) -> None:
    rewrite(copy, lambda state: state.update(stage="posttrain"))
    with pytest.raises(StudentError, match=r"checkpoint\.pt.*stage 'posttrain'"):
        train(tiny_cases, copy, resume=True, settings={"epochs": 2})


def test_a_flipped_bit_in_a_weight_is_told(copy: Path, tmp_path: Path) -> None:
    path = copy / "checkpoint.pt"
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # sees nothing
    with pytest.raises(StudentError, match=r"checkpoint.pt: the checkpoint is damaged \(.*is not what was"):
        export(copy, tmp_path / "student.safetensors")


def test_a_sound_checkpoint_is_exported(copy: Path, tmp_path: Path) -> None:
    path = export(copy, tmp_path / "s.safetensors")
    assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def test_a_card_names_files_of_the_settings_without_their_folders(copy: Path, tmp_path: Path) -> None:
    record = json.loads((copy / "run.json").read_text())
    (stage,) = record["settings"]["stages"].values()
    chosen = {"label_maps": str(tmp_path / "shapes"), "exclude": [r"C:\data\some.txt", "a"]}
    stage["synthesis"]["grown"] |= chosen
    (copy / "run.json").write_text(json.dumps(record))
    card = Student.load(export(copy, tmp_path / "s.safetensors")).card
    (told,) = card.training["settings"]["stages"].values()
    assert (told["synthesis"]["grown"]["label_maps"], told["synthesis"]["grown"]["exclude"]) == (
        "shapes",
        ["some.txt", "a"],
    )


def test_a_method_whose_weights_are_no_numbers_stops_too(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MissingModalityLib.methods.supervised import Supervised

    monkeypatch.setattr(
        Supervised, "state_dict", lambda self: {"critic": {"weight": torch.tensor([math.nan])}}
    )
    settings = {**TINY, "epochs": 1}
    with pytest.raises(
        OptionError, match=r"stage train, epoch 1, have left NaN or infinity in method\.critic"
    ):
        train(tiny_cases, tmp_path / "run", settings=settings)
    assert not (tmp_path / "run" / "train.safetensors").exists()


def test_names_that_only_the_stages_know_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {epochs: 3}\nnetwork: {width: 8}\n")
    plan, _ = TrainRequest(None, tmp_path, config=tmp_path / "mine.yaml", settings={"epochs": 9}).plan()
    assert plan == make_plan(settings={"train.epochs": 3, "network.width": 8, "epochs": 9})
