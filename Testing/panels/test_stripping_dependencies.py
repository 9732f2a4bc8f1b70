"""Installing the networks that strip skulls: without what their package asks for, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import slicer
import slicer.util

import slicer_standin
from desktop_standin import Desktop, desktop_without_pytorch
from MissingModalityLib.clinical.brain_networks import REQUIREMENT

dependencies = slicer_standin.load_module("MissingModalityPanelLib.dependencies")


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    with desktop_without_pytorch(tmp_path, monkeypatch) as desktop:
        yield desktop


def test_networks_for_stripping_come_without_what_their_package_asks_for(desktop: Desktop) -> None:
    dependencies.ensureStripping("Segmentation")
    question, *rest = desktop.happened
    assert question.startswith("Segmentation: The volumes show the skull.") and "deepbet==1.0.2" in question
    assert rest == ["pip install --no-deps deepbet==1.0.2"]
    dependencies.ensureStripping("Segmentation")
    assert len(desktop.happened) == 2, "asks again for what is there"


def test_another_version_of_the_networks_is_replaced(desktop: Desktop) -> None:
    desktop.add("deepbet", "1.1.0")
    assert not dependencies.isStrippingInstalled()
    dependencies.ensureStripping("Segmentation")
    assert dependencies.isStrippingInstalled()


def stripping_refusal() -> str:
    with pytest.raises(RuntimeError) as caught:
        dependencies.ensureStripping("Segmentation")
    return str(caught.value)


def test_declined_networks_for_stripping_are_named(desktop: Desktop) -> None:
    desktop.agrees = False
    assert stripping_refusal() == "deepbet==1.0.2: needed, and not installed. Try again to be asked again."
    assert not any(desktop.site.iterdir())


def test_networks_that_cannot_be_fetched_are_named_with_the_way_to_bring_them(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = "slicer.util.pip_install(['--no-deps', *glob.glob('FOLDER/deepbet*.whl')])"
    monkeypatch.setattr(slicer.util, "pip_install", lambda arguments: None)
    assert stripping_refusal().endswith(alone)
    monkeypatch.setattr(slicer.util, "pip_install", desktop.pip_install)
    desktop.online = False
    message = stripping_refusal()
    assert message.startswith("deepbet==1.0.2: needed, and could not be installed") and message.endswith(
        alone
    )


def test_no_networks_are_installed_while_slicer_is_tested(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    assert "being tested" in stripping_refusal()
    assert desktop.happened == []


def test_the_networks_asked_for_are_those_that_the_library_opens() -> None:
    assert dependencies.STRIPPING_REQUIREMENT == REQUIREMENT
