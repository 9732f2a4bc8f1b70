"""A module that is reloaded, as its developers do by a button: by Slicer's own function."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import slicer

import slicer_standin

NAMES = ("MissingModalitySeg", "MissingModalityTrain")


def opened(module: Any, name: str, area: Any) -> Any:
    panel = getattr(module, f"{name}Widget")(area)
    panel.setup()
    panel.enter()
    return panel


@pytest.mark.parametrize("name", NAMES)
def test_a_reloaded_panel_keeps_the_choices_and_the_old_one_hears_of_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = slicer_standin.load_module(name)
    monkeypatch.setitem(sys.modules, name, module)  # brought back at the end
    slicer_standin.new_scene()
    area = slicer_standin.module_area()
    panels = [opened(module, name, area)]
    field, widget = ("regions", "regionsCheckBox") if name == NAMES[0] else ("clip", "clipCheckBox")
    setattr(panels[0].state, field, True)

    def reload() -> None:
        panels.append(opened(sys.modules[name], name, area))
        setattr(slicer.modules, f"{name}Widget", panels[-1])

    area.reload = reload
    monkeypatch.setattr(getattr(slicer.modules, name.lower()), "widgetRepresentation", lambda: area, False)
    setattr(slicer.modules, f"{name}Widget", panels[0])
    slicer.util.reloadScriptedModule(name)
    old, new = panels
    assert type(new) is not type(old) and getattr(new.ui, widget).checked
    assert old.state is None and old.Observations == []
    setattr(new.state, field, False)
    assert not getattr(new.ui, widget).checked and getattr(old.ui, widget).checked
    new.cleanup()
