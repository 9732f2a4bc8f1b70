"""Lists of cases in text files find the cases of a folder, or say what they name in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import Case, CaseListing, ImageFile
from MissingModalityLib.datasets.case_list import listed_cases, read_case_list


def case(name: str, label: bool = True) -> Case:
    folder = Path("data", name)
    images = {Modality.T2: ImageFile(folder / "t2.nii.gz")}
    former = (f"former-{name}",)
    return Case(name, folder, "brats", images, folder / "seg.nii.gz" if label else None, "brats2017", former)


LISTING = CaseListing(
    (case("Brats18_2013_0_1"), case("Brats18_CBICA_ABE_1"), case("HG_own"), case("unlabeled", False)),
    (),
    Path("data"),
)


def names(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return [case.name for case in listed_cases(path, LISTING)]


@pytest.mark.parametrize("prefix", ["", "HG_", "LG_", "HGG_", "LGG_", "hgg_"])
def test_names_are_found_with_the_grade_in_front_and_without(tmp_path: Path, prefix: str) -> None:
    assert names(tmp_path / "list.txt", f"{prefix}Brats18_CBICA_ABE_1\n") == ["Brats18_CBICA_ABE_1"]


def test_a_case_that_is_called_so_keeps_its_prefix(tmp_path: Path) -> None:
    assert names(tmp_path / "list.txt", "HG_own\nLG_Brats18_2013_0_1") == ["Brats18_2013_0_1", "HG_own"]


def test_blank_lines_comments_repeats_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    text = "\ufeffHG_own\r\n\r\n# the rest\r\n  former-Brats18_2013_0_1 \r\nHG_own\r\n"
    assert names(tmp_path / "list.txt", text) == ["Brats18_2013_0_1", "HG_own"]
    assert read_case_list(tmp_path / "list.txt") == ("HG_own", "former-Brats18_2013_0_1")


def test_unknown_names_are_refused_with_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(
        OptionError, match=r"list\.txt names 'Brats18_CBICA_ABF_1', .*mean Brats18_CBICA_ABE_1"
    ):
        names(path, "HG_own\nBrats18_CBICA_ABF_1\n")
    with pytest.raises(OptionError, match="'4', '5' and 2 more, which is no case"):
        names(path, "\n".join("1234567"))


def test_cases_without_a_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'unlabeled', which has no label"):
        names(tmp_path / "list.txt", "unlabeled\nHG_own\n")


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("\n# nothing\n")
    for name, reason in {
        "absent": "No such file",
        ".": "folder",
        "binary": "decode",
        "empty": "no case",
    }.items():
        with pytest.raises(OptionError, match=reason):
            read_case_list(tmp_path / name)
