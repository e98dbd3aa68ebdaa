"""The tests of He et al. 2015 on ImageNet, which look at several views of each image."""

from __future__ import annotations

from collections.abc import Iterator

from study.measure.probes.subject import Subject, Value
from study.training.feeds import views


def ten_crop(subject: Subject) -> Iterator[Value]:
    """`loss` (nats), `error` and `top5_error` (percent) on the whole test set, over ten crops of each image.

    `layer` is `test`. See `study.training.feeds.views.ten_crop`. Source: He et al. 2015, section 3.4. Cost: ten forward passes
    of the test set.
    """
    yield from _values(subject, views.ten_crop(subject.network, subject.images))


def multi_scale(subject: Subject) -> Iterator[Value]:
    """As `ten_crop`, over whole images at five scales. Cost: 18 forward passes of the test set, by the number of pixels."""
    yield from _values(subject, views.multi_scale(subject.network, subject.images))


def _values(subject: Subject, measures: views.Measures) -> Iterator[Value]:
    for name, value in measures:
        yield Value(name, "test", 0, value, subject.images.count("test"))
