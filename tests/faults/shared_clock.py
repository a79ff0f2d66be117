"""A clock that a test moves while the process under test runs."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

from database import clock


class SharedClock:
    """The machine's time plus some seconds, which stand in a file that test and process have both mapped."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def ahead(self) -> float:
        """Seconds by which it is ahead of the machine's clock."""
        return float(struct.unpack("d", self._map[:8])[0])

    def forward(self, seconds: float) -> None:
        self._map[:8] = struct.pack("d", self.ahead + seconds)

    def now(self) -> float:
        return time.time() + self.ahead

    def source(self) -> clock.Source:
        """This time as the product's clock."""
        return clock.Source(wall=self.now, steady=lambda: time.monotonic() + self.ahead)
