"""The lab of `tests/lab`, to send packets in."""

from tests.lab.conftest import lab

__all__ = ["lab"]
