"""What is installed: the pins, the locks that pip installs from, and what the code imports must agree."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tests.project.test_architecture import ROOT, imports_of, modules_of

RUNNING = ("main", "app", "handlers", "services", "workers", "scheduler", "database", "sandbox")
DEVELOPING = ("tests", "benchmarks")
NOT_IMPORTED = {  # programs, plugins and types: used without an import of ours
    "coverage",
    "mypy",
    "pre-commit",
    "pytest-cov",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "types-requests",
    "uv",
}

entry = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; [^\\\n]+)?(?P<hashes>(?: \\\n +--hash=\S+)*)\n", re.M)


@dataclass(frozen=True)
class Locked:
    """One package of a lock: its version and the hashes of its files."""

    version: str
    hashes: frozenset[str]


def plain(name: str) -> str:
    """The one spelling of a package's name that locks use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(text: str) -> dict[str, str]:
    """The direct pins of an `.in` file."""
    return {plain(name): version for name, version in re.findall(r"^([A-Za-z][\w.-]*)==(\S+)$", text, re.M)}


def lock_of(text: str) -> dict[str, Locked]:
    return {
        found["name"]: Locked(found["version"], frozenset(re.findall(r"--hash=(\S+)", found["hashes"])))
        for found in entry.finditer(text)
    }


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@cache
def imported(tops: tuple[str, ...]) -> frozenset[str]:
    """Libraries that the code under `tops` imports, at whatever time."""
    ours = {*RUNNING, *DEVELOPING}
    names = {found.names[0].partition(".")[0] for module in modules_of(ROOT, tops) for found in imports_of(module)}
    return frozenset(names - ours - sys.stdlib_module_names - {""})


def unpinned(libraries: frozenset[str], pins: dict[str, str]) -> Iterator[str]:
    """Libraries that no pinned package provides."""
    providers = packages_distributions()
    for library in sorted(libraries):
        if not {plain(name) for name in providers.get(library, ())} & set(pins):
            yield library


def disagreements(pins: dict[str, str], lock: dict[str, Locked]) -> Iterator[str]:
    """Pins that the lock lacks or has in another version."""
    for name, version in pins.items():
        if name not in lock or lock[name].version != version:
            yield f"{name}=={version}"


RUN, DEV = "requirements", "requirements-dev"


@pytest.mark.parametrize("name", [RUN, DEV])
def test_every_pin_stands_in_its_lock(name: str) -> None:
    """What an `.in` file asks for is what its lock installs: who changes a pin compiles the locks anew."""
    pins = pins_of(read(f"{name}.in"))
    assert len(pins) >= 10
    assert list(disagreements(pins, lock_of(read(f"{name}.txt")))) == []


def test_the_lock_for_developing_holds_the_one_for_running() -> None:
    """Tests run with the very files a server gets: same versions, same hashes."""
    running, developing = lock_of(read(f"{RUN}.txt")), lock_of(read(f"{DEV}.txt"))
    assert {name: developing.get(name) for name in running} == running
    assert f"-r {RUN}.in" in read(f"{DEV}.in").splitlines()


@pytest.mark.parametrize("name", [RUN, DEV])
def test_a_lock_is_whole(name: str) -> None:
    """Every entry has the hashes of its files, and nothing else is in a lock.

    No line names a place to fetch from: that is the choice of who installs.
    """
    text = read(f"{name}.txt")
    lock = lock_of(text)
    assert len(lock) > 40
    assert entry.sub("", re.sub(r"^ *#.*\n", "", text, flags=re.M)) == ""
    assert [package for package, one in lock.items() if not one.hashes] == []
    assert {one.partition(":")[0] for locked in lock.values() for one in locked.hashes} == {"sha256"}
    assert "://" not in text + read(f"{name}.in")


@pytest.mark.parametrize("name", [RUN, DEV])
def test_an_in_file_holds_exact_pins(name: str) -> None:
    """Each line pins one version exactly, in the order of the alphabet."""
    lines = [line for line in read(f"{name}.in").splitlines() if not line.startswith(("#", "-r "))]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z][\w.-]*==[\w.]+", line)] == []
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())


def test_the_product_imports_only_what_a_server_gets() -> None:
    """Every library the product or the demo imports is pinned in requirements.in by name."""
    libraries = imported(RUNNING)
    assert {"aiogram", "redis", "PIL", "pysqlite3"} <= libraries
    assert list(unpinned(libraries, pins_of(read(f"{RUN}.in")))) == []


def test_the_tests_import_only_what_is_pinned() -> None:
    """Every library that tests and benchmarks import is pinned by name in one of the two."""
    pins = pins_of(read(f"{RUN}.in")) | pins_of(read(f"{DEV}.in"))
    assert list(unpinned(imported(DEVELOPING), pins)) == []


def test_nothing_is_installed_in_vain() -> None:
    """Every direct pin is imported by what it is for, or is a program or plugin that is used without an import."""
    provided: dict[str, set[str]] = {}
    for library, packages in packages_distributions().items():
        for package in packages:
            provided.setdefault(plain(package), set()).add(library)
    for file, tops in ((RUN, RUNNING), (DEV, DEVELOPING)):
        idle = {pin for pin in pins_of(read(f"{file}.in")) if not provided.get(pin, set()) & imported(tops)}
        assert idle - NOT_IMPORTED == set()


def test_what_does_not_agree_is_found() -> None:
    """A pin that was changed alone, a package that is missing and an import of what nobody pins are told by name."""
    lock = lock_of("redis==8.1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via rq\nrq==3.0.0\n")
    assert lock["redis"] == Locked("8.1.0", frozenset({"sha256:aa", "sha256:bb"}))
    assert not lock["rq"].hashes
    assert list(disagreements(pins_of("redis==8.1.1\nfluent.runtime==0.4.0\nrq==3.0.0\n"), lock)) == [
        "redis==8.1.1",
        "fluent-runtime==0.4.0",
    ]
    assert list(unpinned(frozenset({"redis", "PIL", "nonesuch"}), {"redis": "8.1.0"})) == ["PIL", "nonesuch"]
