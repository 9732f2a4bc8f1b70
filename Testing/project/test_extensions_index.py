"""What Slicer's Extensions Index checks, and what its reviewers look for, before it lists an extension."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess

import jsonschema
import pytest

import slicer_standin
from checkout import ROOT

README = (ROOT / "README.md").read_text("utf-8")
INSTALLING = (ROOT / "Resources" / "Docs" / "install.md").read_text("utf-8")
ICON_SIZE = (128, 128)

# The facts of slicer-extension-catalog-entry-schema-v1.0.1.json, which the entry names.
TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        "$schema": TEXT,
        "category": TEXT,
        "scm_url": TEXT,
        "scm_revision": TEXT,
        "scm_type": {"enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": TEXT},
        "build_subdirectory": TEXT,
        "enabled": {"type": "boolean"},
        "tier": {"type": "integer", "enum": [1, 3, 5]},
    },
}


def metadata(key: str) -> str:
    """EXTENSION_<key> of the root CMakeLists.txt, found on one line as the Index's check does."""
    text = (ROOT / "CMakeLists.txt").read_text("utf-8")
    found = re.search(rf'^set\(EXTENSION_{key} "([^"\n]+)"\)$', text, re.MULTILINE)
    assert found, f"CMakeLists.txt has no one-line EXTENSION_{key}"
    return found[1]


def description() -> dict[str, object]:
    """The entry meant for the Extensions Index."""
    return json.loads((ROOT / "MissingModality.json").read_text("utf-8"))


def test_entry_passes_the_schema_that_it_names() -> None:
    jsonschema.validate(description(), SCHEMA)
    assert description()["$schema"] == (
        "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/"
        "slicer-extension-catalog-entry-schema-v1.0.1.json#"
    )
    assert b"\r" not in (ROOT / "MissingModality.json").read_bytes()


def test_names_follow_the_rules_of_the_index() -> None:
    entry = description()
    assert re.fullmatch(r"(https|git)://github\.com/\w+/Slicer\w+", str(entry["scm_url"]))
    assert entry["category"] == "Segmentation", "one of the categories that the index accepts"
    assert not next(ROOT.glob("*.json")).stem.startswith("Slicer")


def test_index_entry_agrees_with_cmake() -> None:
    text = (ROOT / "CMakeLists.txt").read_text("utf-8")
    entry = description()
    assert re.search(r"project\s*\(\s*([^\s)]+)", text)[1] == "MissingModality"
    assert metadata("DEPENDS").split() == entry["build_dependencies"]
    assert metadata("CATEGORY") == entry["category"]
    assert metadata("BUILD_SUBDIRECTORY") == entry["build_subdirectory"]
    assert metadata("HOMEPAGE") == entry["scm_url"]


@pytest.mark.parametrize("key", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_for_the_index_are_raw_urls_of_files_here(key: str) -> None:
    entry = description()
    branch = (
        str(entry["scm_url"]).replace("github.com", "raw.githubusercontent.com")
        + f"/{entry['scm_revision']}/"
    )
    for url in metadata(key).split():
        assert url.startswith(branch)
        header = (ROOT / url.removeprefix(branch)).read_bytes()[:24]
        assert header.startswith(b"\x89PNG"), f"{url} is no PNG"
        if key == "ICONURL":
            assert struct.unpack(">II", header[16:24]) == ICON_SIZE


def test_description_names_organ_modality_and_its_limits() -> None:
    words = metadata("DESCRIPTION").lower()
    assert all(word in words for word in ("brain tumor", "mri", "flair", "t1ce", "research use only"))


def test_license_is_the_plain_apache_text() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS" in text


def test_repository_stays_small_enough_for_the_index() -> None:
    git = shutil.which("git")
    if not (git and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout")
    listing = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 100e6


def module_titles() -> list[str]:
    """The names under which Slicer shows the modules."""
    files = [ROOT / name / f"{name}.py" for name in ("MissingModalitySeg", "MissingModalityTrain")]
    return [re.search(r'parent\.title = _\("([^"]+)"\)', file.read_text("utf-8"))[1] for file in files]


def section(title: str, page: str = README) -> str:
    """What stands below a heading of a page, up to the next heading."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section '{title}'"
    return found[1]


def test_readme_begins_with_name_summary_limits_and_a_picture() -> None:
    name, summary, picture, *_ = README.split("\n\n")
    assert name == "# MissingModality"
    assert "brain tumor" in summary.lower() and "3D Slicer" in summary
    assert "not a medical device" in summary
    assert re.fullmatch(r"!\[[^\]]+\]\(Resources/Screenshots/[^)]+\)", picture)


def test_readme_tells_what_each_module_does() -> None:
    for title in module_titles():
        assert re.search(rf"^- \*\*{re.escape(title)}\*\* [^\n]*: \w", README, re.MULTILINE), title


def test_readme_says_how_to_install_and_on_what() -> None:
    text = section("Install")
    assert all(
        word in text for word in ("Extensions Manager", "Slicer 5.10", "PyTorch", "GB", "GPU", "network")
    )


def test_readme_has_a_numbered_tutorial_on_sample_data_that_is_registered() -> None:
    sample = slicer_standin.load_module("MissingModalitySegLib.sampledata").SAMPLE_NAME
    steps = re.findall(r"^\d\. .+$", section("First steps"), re.MULTILINE)
    assert len(steps) >= 3 and sample in steps[0] and any("**Apply**" in step for step in steps)


def test_readme_has_a_script_and_a_use_without_panel() -> None:
    assert "getModuleLogic" in README and "missing-modality segment" in README


def test_readme_names_license_citation_privacy_and_contributing() -> None:
    text = section("Citation and license")
    assert "](CITATION.cff)" in text and "[Apache License 2.0](LICENSE)" in text
    assert "Cite" in text and "@software" in text
    papers = (ROOT / "CITATION.cff").read_text("utf-8")
    for name in ("RFNet", "Asymmetry", "MST-KDNet", "AdaMM", "SegResNet", "deepbet", "BraTS 2021"):
        assert name in papers, f"CITATION.cff lacks the paper of {name}"
    assert "](CONTRIBUTING.md)" in section("Help") and "leaves your computer" in section("Help")
    assert "](Resources/Models/glioma-any-subset.md)" in README, "the card of the model that comes along"


def test_troubleshooting_knows_what_the_program_says() -> None:
    """Messages are quoted with dots for what differs; each part has to be in the program as it is quoted."""
    quoted = re.findall(r"^- \*(.+?)\*:", section("When it fails in Slicer", INSTALLING), re.MULTILINE)
    files = (
        "MissingModalityTrain/MissingModalityPanelLib/dependencies.py",
        "MissingModalitySeg/MissingModalitySeg.py",
    )
    source = "".join((ROOT / file).read_text("utf-8") for file in files)
    told = re.sub(r'"\s*\n\s*"', "", source)
    assert len(quoted) >= 4
    for message in quoted:
        for part in filter(None, map(str.strip, message.split("..."))):
            assert part in told, f"no message says '{part}'"
