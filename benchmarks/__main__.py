"""`python -m benchmarks` (or `make bench`): every ratio, in less than a minute, on a folder that is removed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks import audit, money
from benchmarks.machine import describe

BENCHMARKS = (money.holds, money.balances, audit.audits)


async def main() -> None:
    started = time.perf_counter()
    print(describe())
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=".") as folder:
        for benchmark in BENCHMARKS:
            for line in await benchmark(Path(folder)):
                print(line, flush=True)
    print(f"took {time.perf_counter() - started:.0f} s; a ratio of 1 means as fast as what it is compared with")


if __name__ == "__main__":
    asyncio.run(main())
