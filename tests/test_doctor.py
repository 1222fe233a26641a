"""The doctor: it measures what is here, tries every kind of fingerprint, and says plainly when one comes out wrong."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from tests.commanding import at_work
from vetset import kernels
from vetset.errors import Stop
from vetset.kernels import native
from vetset.wiring import doctor


@pytest.fixture(scope="module")
def found() -> doctor.Examination:
    return doctor.examined(time.process_time)


def test_everything_is_tried_and_sound_here(found: doctor.Examination) -> None:
    assert found.sound
    assert set(found.self_test) == {
        "md5", "sha1", "sha256", "pdq", "near search", "pdq through the sandbox", "jpeg, png, gif and webp",
    }  # fmt: skip
    assert {"vetset", "python", "pyarrow", "pillow", "simplejpeg"} <= set(found.versions)
    assert "missing" not in found.versions.values()


def test_the_factors_are_measured_where_there_is_something_to_measure(found: doctor.Examination) -> None:
    if native.LIB is None:
        assert found.factors == {}
    else:
        assert len(found.factors) == 6
        assert all(factor > 0 for factor in found.factors.values())
    assert native.LIB is None or found.native


def test_a_wrong_fingerprint_is_told_and_changes_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "pdq", lambda _: (np.zeros((8, 32), np.uint8), 100))
    examined = doctor.examined(time.process_time)
    assert not examined.sound
    assert not examined.self_test["pdq"]
    assert any("do not rely on this installation" in line for line in examined.lines())


def test_without_native_kernels_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LIB", None)
    examined = doctor.examined(time.process_time)
    assert examined.sound
    assert not examined.native
    assert any("Install a C compiler" in line for line in examined.lines())


def test_without_a_sandbox_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise Stop("no child")

    monkeypatch.setattr(doctor, "Sandbox", none)
    examined = doctor.examined(time.process_time)
    assert not examined.sound
    assert any("cannot be started here" in line for line in examined.lines())


def test_the_command_answers_in_json_too() -> None:
    with at_work() as someone:
        ran = someone.vetset("doctor", "--json")
    assert ran.status == 0
    tree = json.loads(ran.out.splitlines()[-1])
    assert tree["sound"] is True
    assert tree["self_test"]["pdq"] is True
