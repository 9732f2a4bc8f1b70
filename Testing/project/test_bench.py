"""The benchmark measures what it says, on sizes that take seconds."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
import bench_evaluation
import bench_networks
import bench_processes
import bench_raw
import bench_synthesis
import bench_training
import straightforward
from freeze_rfnet import seeded_case, seeded_network
from masks import flags
from small_cases import write_shell_case
from small_networks import tiny_student


def test_the_benchmark_covers_a_whole_case_with_75_windows() -> None:
    boxes = list(bench.windows((155, 240, 240), 80))
    assert len(boxes) == 75
    covered = np.zeros((155, 240, 240), bool)
    for box in boxes:
        assert covered[box].shape == (80, 80, 80)
        covered[box] = True
    assert covered.all()


@pytest.mark.slow
def test_the_benchmark_runs_and_says_what_it_scaled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shell_case(tmp_path / "BraTS2021_1")
    tiny_student().save(tmp_path / "tiny.safetensors")
    sizes = ["--window", "16", "--width", "4", "--filters", "8", "--threads", "1"]
    places = ["--student", str(tmp_path / "tiny.safetensors"), "--output", str(tmp_path / "bench.json")]
    assert bench.main(["--case", str(tmp_path / "BraTS2021_1"), *sizes, *places]) == 0
    printed = capsys.readouterr().out
    assert "ESTIMATED: 3 of 16 windows timed" in printed
    tables = json.loads((tmp_path / "bench.json").read_text())["tables"]
    assert [len(results) for results in tables] == [4, 2, 2, 2]
    assert all(result["seconds"] > 0 and result["peak_gib"] > 0.1 for results in tables for result in results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crop", "lines"),
    [
        ("64", ("mst-kd",)),  # crops of 32 are one token of MST-KDNet, which attends to itself alone
        ("32", ("adamm", "smu-net", "acn", "m3ae")),
    ],
)
def test_each_distance_teaches_a_tenth_of_what_the_labels_do_to_as_much(
    crop: str, lines: tuple[str, ...], tmp_path: Path
) -> None:
    sizes = ["--crop", crop, "--preset", "quick", "--steps", "19"]
    assert bench_training.main(["--lines", *lines, *sizes, "--output", str(tmp_path / "bench.json")]) == 0
    supervision = {"supervision", *itertools.chain(*bench_training.SUPERVISION.values())}
    for line in json.loads((tmp_path / "bench.json").read_text()):
        norms = line["gradients"]
        for name in set(norms) - supervision:
            assert 0.1 <= norms[name] / norms["supervision"] <= 1, (line["line"], name)


@pytest.mark.slow
def test_steps_of_training_are_measured_with_their_loss_terms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--crop", "32", "--preset", "quick", "--steps", "1", "--threads", "1"]
    output = ["--output", str(tmp_path / "bench.json")]
    assert bench_training.main(["--lines", "baseline", "adamm", *sizes, *output]) == 0
    printed = capsys.readouterr().out
    assert "adamm, gradients over that of what compares with labels: student_presence" in printed
    lines = json.loads((tmp_path / "bench.json").read_text())
    assert [line["line"] for line in lines] == ["baseline", "adamm"]
    assert all(line["seconds"] > 0 and line["peak_gib"] > 0.1 for line in lines)


@pytest.mark.slow
def test_evaluation_is_measured_with_how_far_both_ways_agree(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--shape", "64", "72", "64", "--width", "8"]
    assert bench_evaluation.main(["--networks", "rfnet", *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    name, *_, ratio, differ = lines[2].split()
    assert name == "rfnet" and float(ratio.removesuffix("x")) > 0
    assert int(differ) < 0.01 * 15 * 64 * 72 * 64, "windows lie in the box of all brains or of the subset's"
    assert [line.split(": ")[0] for line in lines[3:]] == [
        "all scores of a prediction",
        "HD95 of its three regions alone",
        "all scores of a scattered prediction, mean of 15 subsets",
    ]


@pytest.mark.parametrize("mask", ["1111", "0101"])
def test_the_straightforward_rfnet_gives_the_numbers_of_the_network(mask: str) -> None:
    network, (image, _) = seeded_network(), seeded_case(1)
    with torch.no_grad():
        found = straightforward.rfnet_logits(network, image, flags(mask))
        torch.testing.assert_close(found, network(image, flags(mask)).logits)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["window", "attention", "subsets", "step"])
def test_networks_and_straightforward_ones_give_the_same_numbers(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--window", "16", "--crop", "16", "--width", "4"]
    assert bench_networks.main(["--lines", line, *sizes]) == 0
    *_, measured = capsys.readouterr().out.partition("difference\n")
    for row in measured.splitlines():
        if "half precision" not in row:
            assert float(row.split()[-1]) < 1e-4, row


@pytest.mark.slow
def test_both_layouts_give_the_same_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_networks.main(["--lines", "layout", "--repeats", "1"]) == 0
    *_, measured = capsys.readouterr().out.partition("difference\n")
    assert len(measured.splitlines()) >= len(bench_networks.SMALL_NETWORKS)
    for row in measured.splitlines():
        assert float(row.split()[-1]) < (2e-3 if "float32" in row else 0.05), row


@pytest.mark.slow
def test_two_processes_make_the_losses_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_processes.main(["--crop", "32", "--steps", "2"]) == 0
    *_, measured = capsys.readouterr().out.splitlines()
    assert float(measured.split()[-1]) < 1e-3
    assert float(measured.split("x;")[0].split()[-1]) > 0


@pytest.mark.slow
def test_transplants_over_boxes_equal_those_over_whole_volumes(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_synthesis.main(["--every", "40"]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"image within (\S+), 0 labels differ", printed)
    assert found and float(found[1]) < 1e-4
    assert "grown sample: " in printed


@pytest.mark.slow
def test_a_case_side_by_side_and_one_volume_after_the_other_has_the_same_label_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shell_case(tmp_path / "BraTS2021_1")
    output = tmp_path / "bench.json"
    assert bench_raw.main(["--case", str(tmp_path / "BraTS2021_1"), "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert found["differ"]["side-by-side"] == 0
    assert all(step["peak"] > 10 for step in found["in-turn"]["steps"].values())
    assert "CPU s" in capsys.readouterr().out.splitlines()[-1]
