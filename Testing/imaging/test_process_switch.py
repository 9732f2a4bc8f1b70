"""A setting of the whole process, changed by blocks of several threads, is as it was found afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import pytest

from MissingModalityLib.imaging.process_switch import ProcessSwitch


class Setting:
    value = "found"

    def switch(self) -> ProcessSwitch[str]:
        return ProcessSwitch(lambda: self.value, lambda value: setattr(self, "value", value), "changed")


def test_blocks_of_one_kind_run_side_by_side_and_the_last_one_restores() -> None:
    setting = Setting()
    switch, inside = setting.switch(), Barrier(4)

    def block(_: int) -> str:
        with switch.hold():
            inside.wait(timeout=30)
            return setting.value

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(block, range(4))) == ["changed"] * 4
    assert setting.value == "found"


def test_block_of_the_other_kind_waits_until_the_setting_is_restored() -> None:
    setting = Setting()
    switch, entered, seen = setting.switch(), Event(), []

    def strict() -> None:
        entered.set()
        with switch.hold(changed=False):
            seen.append(setting.value)

    with switch.hold():
        thread = Thread(target=strict)
        thread.start()
        entered.wait(timeout=30)
        thread.join(timeout=0.1)
        assert not seen
    thread.join(timeout=30)
    assert seen == ["found"]


def test_setting_is_restored_after_an_error() -> None:
    setting = Setting()
    with pytest.raises(ZeroDivisionError), setting.switch().hold():
        raise ZeroDivisionError
    assert setting.value == "found"
