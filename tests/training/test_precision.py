"""When bf16 loses on a CPU, the user is told."""

from study.training.precision import bf16_gain, slow_bf16


def test_warning_if_bf16_is_slower(monkeypatch):
    assert 0.005 < bf16_gain(0.2) < 200  # of single tries: 21 was seen on a busy machine
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 0.5)
    assert "precision=fp32 would be faster" in (slow_bf16() or "")
    monkeypatch.setattr("study.training.precision.bf16_gain", lambda: 2.0)
    assert slow_bf16() is None
