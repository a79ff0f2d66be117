"""`python main.py ...` as a process of its own: its exit status and what it printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.database_fixture import ROOT

PASSED_ON = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(settings)


async def command(folder: Path, settings: Mapping[str, str], *arguments: str, seconds: float = 60) -> Done:
    """Run `python main.py ...` in an empty folder, so that no `.env` of this machine is read."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "main.py"),
        *arguments,
        cwd=folder,
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out.decode(), err.decode())
