"""Tests of several views, as probes."""

from __future__ import annotations

import pytest

from study.measure.probes import measure
from study.training.feeds import views
from tests.measure.probes.test_paths import subject


@pytest.mark.parametrize("name, test", [("ten_crop", views.ten_crop), ("multi_scale", views.multi_scale)])
def test_a_probe_gives_the_measures_of_its_test(name, test):
    tested = subject()
    (measured,) = measure([name], tested)
    found = {value.measure: value.value for value in measured.values}
    assert found == dict(test(tested.network, tested.images))
    assert set(found) == {"loss", "error", "top5_error"} and found["top5_error"] < found["error"]
    assert {(value.layer, value.place) for value in measured.values} == {("test", 0)}
