"""The training logic as scripts in Slicer use it: child processes whose news arrive from the event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
import slicer.util

import MissingModalityLib as mm
import readme
import slicer_standin
from event_loop import run_events
from MissingModalityLib.__main__ import build_parser
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime import processes
from MissingModalityLib.runtime.jobs import Job
from small_cases import write_block_cases
from tiny_run import TINY

train = slicer_standin.load_module("MissingModalityTrain")
qt = slicer_standin.load_module("qt")

PROGRESS = '{"event": "progress", "stage": "train", "step": 3, "total": 40, "message": "", "values": {}}'
RESULT = '{"event": "result", "result": {"output": "run"}}'


@pytest.fixture
def logic() -> Any:
    slicer_standin.new_scene()
    return train.MissingModalityTrainLogic()


def test_a_choice_that_the_librarys_train_does_not_have_is_refused_at_once(logic: Any) -> None:
    with pytest.raises(mm.MissingModalityError, match="Unknown option 'epoch'"):
        logic.train("cases", "run", epoch=3)
    with pytest.raises(mm.MissingModalityError, match="settings='epochs=3'"):
        logic.startTraining("cases", "run", settings="epochs=3")


def test_every_choice_reaches_the_command_line(
    logic: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    replaced_process("exit 0")
    choices = {
        "data": tmp_path / "my cases",
        "output": tmp_path / "run",
        "recipe": "aem-kd",
        "network": "rfnet",
        "preset": "paper",
        "stages": ("train", "posttrain"),
        "config": tmp_path / "plan.yaml",
        "initial": tmp_path / "pretrain.safetensors",
        "resume": True,
        "restart": "posttrain",
        "seed": 3,
        "device": "cuda:1",
        "convention": "brats2021",
        "prepared": tmp_path / "prepared",
    }
    settings = {
        "patch_size": (64, 64, 96),
        "train": {"epochs": 7, "training_subsets": ("T1", "FLAIR+T2")},
        "posttrain.synthesis": {"clip": True, "scale": 0.1},
        "network.width": 4,
        "learning_rate": 1e-5,
        "exclude": ["a", "b"],
        "validation_subsets": "none",
    }
    job = logic.train(**choices, settings=settings)
    job.wait()
    options = vars(build_parser().parse_args(job.arguments))
    assert {name: options[name] for name in choices} == choices
    plan = mm.make_plan("aem-kd", "rfnet", "paper", choices["stages"], dict(options["settings"]))
    assert plan == mm.make_plan("aem-kd", "rfnet", "paper", choices["stages"], settings)


def test_news_arrive_without_anyone_asking(logic: Any, replaced_process: Callable[[str], None]) -> None:
    replaced_process(f"echo '{PROGRESS}'; exec sleep 60")
    events, ended = [], []
    job = logic.train("cases", "run", onProgress=events.append, onFinished=ended.append)
    run_events(lambda: events)
    assert (events[0].stage, events[0].step, events[0].total) == ("train", 3, 40)
    assert job.running and not ended
    job.cancel()
    assert ended == [job] and job.canceled


def test_the_application_stays_alive_during_a_wait(
    logic: Any, tmp_path: Path, replaced_process: Callable[[str], None]
) -> None:
    """The child ends well only if the event loop turns meanwhile."""
    sign = tmp_path / "alive"
    replaced_process(
        f"for i in $(seq 600); do [ -e '{sign}' ] && echo '{RESULT}' && exit 0; sleep 0.05; done; exit 3"
    )
    job = logic.train("cases", "run")
    timer = qt.QTimer()
    timer.timeout.connect(sign.touch)
    timer.start(1)
    assert logic.wait(job) == Path("run")
    timer.stop()
    assert not job.running and job.error is None


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("echo 'missing-modality: error: no case here' >&2; exit 2", mm.MissingModalityError, "no case here"),
        ("echo 'it broke' >&2; exit 3", RuntimeError, "exit code 3: it broke"),
    ],
)
def test_a_failure_is_raised_by_the_wait(
    logic: Any, replaced_process: Callable[[str], None], script: str, error: type, message: str
) -> None:
    replaced_process(script)
    ended = []
    with pytest.raises(error, match=message):
        logic.wait(logic.export("run", "student.safetensors", ended.append))
    assert len(ended) == 1


def test_an_interrupted_wait_ends_the_job(logic: Any, replaced_process: Callable[[str], None]) -> None:
    replaced_process(f"echo '{PROGRESS}'; exec sleep 60")

    def interrupt(event: mm.Event) -> None:
        raise KeyboardInterrupt

    # no timer, so that it is the wait which delivers the event
    job = Job(["train"], interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        logic.wait(job)
    assert job.canceled


def test_a_program_that_cannot_start_is_told(
    logic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "python_executable", lambda: str(tmp_path / "absent"))
    ended = []
    with pytest.raises(RuntimeError, match="cannot be started"):
        logic.wait(logic.train("cases", "run", onFinished=ended.append))
    assert len(ended) == 1


class LoadedModule:
    """A scripted module as the desktop's list of modules holds it, with its panel."""

    def __init__(self, panel: Any) -> None:
        self.panel = panel

    def widgetRepresentation(self) -> LoadedModule:
        return self

    def self(self) -> Any:
        return self.panel


def test_the_lines_of_the_readme_train_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, in a real child process, but on tiny cases and with settings to match."""
    slicer_standin.new_scene()
    panel = train.MissingModalityTrainWidget(slicer_standin.module_area())
    panel.setup()
    loaded = {"MissingModalityTrain": LoadedModule(panel)}
    for kind in ("qSlicerScriptedLoadableModule", "qSlicerScriptedLoadableModuleWidget"):
        monkeypatch.setattr(slicer, kind, LoadedModule, raising=False)
    monkeypatch.setattr(
        slicer.app, "moduleManager", lambda: SimpleNamespace(module=loaded.get), raising=False
    )
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 1}
    monkeypatch.setattr(panel.logic, "train", partial(panel.logic.train, settings=settings, device="cpu"))
    write_block_cases(tmp_path / "cases")
    monkeypatch.chdir(tmp_path)
    names = {"slicer": slicer}
    exec(readme.lines_with("logic.train"), names)  # noqa: S102 - lines of our own README
    assert names["run"] == Path("run") and names["job"].error is None
    assert Student.load(names["model"]).card["training"]["stage"] == "posttrain"
    panel.cleanup()
