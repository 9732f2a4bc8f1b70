"""Training and inference on a CUDA device, where there may be no package that reads volumes.

``Scripts/gpu_minutes.py`` runs the files of this name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from MissingModalityLib.core.modalities import SUBSETS, availability
from MissingModalityLib.inference.sliding_window import infer
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from prepared_arrays import write_prepared_cases
from small_networks import SMALLEST, small_network
from tiny_run import QUICK, TINY, log

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared cases."""
    folder = tmp_path_factory.mktemp("prepared")
    write_prepared_cases(folder)
    return folder


def test_a_run_on_cuda_resumes_and_its_student_predicts(data: Path, tmp_path: Path) -> None:
    settings = {**TINY, "epochs": 2, "validation_interval": "1", "ema_decay": "0.9"}
    train(data, tmp_path / "run", device="cuda", settings=settings)
    train(data, tmp_path / "run", device="cuda", settings={"epochs": 4}, resume=True)
    assert [line["epoch"] for line in log(tmp_path / "run")] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]["total"]) for line in log(tmp_path / "run"))
    student = Student.load(export(tmp_path / "run", tmp_path / "student.safetensors"))
    case = write_prepared_cases(tmp_path / "other", count=1)[0].load()
    classes = student.classes(case, torch.device("cuda"))
    assert classes.shape == case.label.shape and not classes[~case.brain].any()


@pytest.mark.parametrize(
    ("recipe", "network"), [("aem-kd", "rfnet"), ("mst-kd", "mstkdnet"), ("adamm", "adamm")]
)
def test_every_recipe_makes_its_steps_on_cuda(recipe: str, network: str, data: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "network": SMALLEST[network], "patch_size": 32, "epochs": 1}
    train(data, tmp_path / "run", recipe, network, device="cuda", settings=settings)
    assert all(np.isfinite(line["loss"]["total"]) for line in log(tmp_path / "run"))


@pytest.mark.parametrize("name", SMALLEST)
def test_a_network_gives_on_cuda_what_it_gives_on_the_cpu(name: str) -> None:
    network = small_network(name).eval()
    image = np.random.default_rng(0).normal(0, 1, (4, 32, 32, 32)).astype(np.float32)
    available = np.array([availability(subset) for subset in (SUBSETS[0], SUBSETS[-1])])
    how = {"window": (32, 32, 32), "overlap": 0.5}
    found = [
        infer(network, image, available, device=torch.device(device), **how).probabilities
        for device in ("cpu", "cuda")
    ]
    # both may compute in bfloat16, whose numbers have 8 bits
    np.testing.assert_allclose(found[0], found[1], atol=0.05)
