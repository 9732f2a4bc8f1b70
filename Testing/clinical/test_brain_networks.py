"""Of the package that finds brains two files are read, which are the known ones; none of its code runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from MissingModalityLib.clinical import brain_networks
from MissingModalityLib.clinical.brain_networks import load_networks, networks_installed
from MissingModalityLib.core.errors import NetworksMissing


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test knows the networks of another one."""
    load_networks.cache_clear()
    yield
    load_networks.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that alone is searched, with a package that must not be imported."""
    package = tmp_path / "deepbet"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "data" / "models").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "deepbet", raising=False)
    return tmp_path


def installed_files() -> list[Path]:
    if not networks_installed():
        pytest.skip("deepbet is not installed; by: pip install --no-deps deepbet==1.0.2")
    folder = brain_networks._models_folder()
    return [folder / "bbox_model.pt", folder / "model.pt"]


def test_the_networks_are_loaded_without_importing_the_package() -> None:
    installed_files()
    networks = load_networks()
    assert not networks.box.training and not networks.brain.training
    assert load_networks() is networks
    assert "deepbet" not in sys.modules and "customtkinter" not in sys.modules


def test_their_parts_find_the_brain_as_the_whole_networks_do_and_free_the_volume() -> None:
    import torch

    installed_files()
    volume = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    for network in (load_networks().box, load_networks().brain):
        with torch.inference_mode():
            expected, given = network.whole(volume)[:, 1:], volume.clone()
            assert torch.equal(network(given), expected)
        assert not given.untyped_storage().nbytes()


def test_a_changed_file_is_not_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request) -> None:
    files = installed_files()
    site = request.getfixturevalue("site")
    for file in files:
        shutil.copy(file, site / "data" / "models")
    assert networks_installed()
    import torch

    opened = []
    monkeypatch.setattr(torch.jit, "load", lambda *arguments, **options: opened.append(arguments))
    changed = site / "data" / "models" / "bbox_model.pt"
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    with pytest.raises(NetworksMissing, match=r"bbox_model\.pt is absent or not the file of deepbet 1\.0\.2"):
        load_networks()
    assert not opened


def test_a_package_without_its_networks_is_told_as_such(site: Path) -> None:
    assert not networks_installed()
    with pytest.raises(NetworksMissing, match=r"bbox_model\.pt is absent"):
        load_networks()


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "deepbet", raising=False)
    assert not networks_installed()
    with pytest.raises(NetworksMissing, match=r"-m pip install --no-deps deepbet==1\.0\.2"):
        load_networks()
