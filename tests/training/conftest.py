from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():  # type: ignore[no-untyped-def]
    """Sums are taken in another order with more, and other tests may have asked for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
