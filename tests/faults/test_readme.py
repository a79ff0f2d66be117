"""README.md of this folder names what is here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.faults import kill, points, scenarios

FOLDER = Path(__file__).parent
TEXT = (FOLDER / "README.md").read_text("utf-8")
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"python -m (tests\.faults\.[\w.]+)", TEXT)


@pytest.mark.parametrize("name", sorted({one for one in SPANS if re.fullmatch(r"[\w/]+(?:\.py|\.json|/)", one)}))
def test_files_exist(name: str) -> None:
    """Each file and folder it names is there, in this folder or in a package of it."""
    assert (FOLDER / name).exists() or list(FOLDER.glob(f"*/{name}"))


def test_commands_exist() -> None:
    """What it tells the reader to run can be run."""
    assert len(COMMANDS) > 8
    for module in COMMANDS:
        path = FOLDER.parents[1] / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_kills_it_shows_can_be_repeated() -> None:
    """Its examples name scenarios and points of the code."""
    lines = re.findall(r"^python -m tests\.faults\.kill (--scenario.*)$", TEXT, re.MULTILINE)
    assert lines
    for line in lines:
        options = kill.parser().parse_args(shlex.split(line, comments=True))
        assert options.scenario in scenarios.BY_NAME
        assert options.at is None or options.at.partition(" ")[2] in points.find()
