"""The local Redis: one per folder, private, durable, found again, and gone with its last user."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from app.local_redis import LocalRedisError, ensure_local_redis

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="local-") as name:
        yield Path(name) / "redis"


def answers(url: str) -> bool:
    try:
        with Redis.from_url(url, socket_timeout=2) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def process_id(url: str) -> int:
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_it_is_private_and_forgets_nothing(folder: Path) -> None:
    """The server listens on a socket only this account can use, on no port, and never evicts."""
    server = ensure_local_redis(folder)
    try:
        path = Path(server.url.removeprefix("unix://"))
        assert path.parent == folder
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with Redis.from_url(server.url) as client:
            settings = client.config_get("port", "maxmemory-policy", "appendonly", "appendfsync", "save")
        assert settings == {
            "port": "0",
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        assert os.getsid(process_id(server.url)) != os.getsid(0), "Ctrl-C in the terminal must not reach it"
    finally:
        server.stop()
    assert not answers(server.url)
    server.stop()


FIRST_USER = """
import sys
from pathlib import Path
from app.local_redis import ensure_local_redis
server = ensure_local_redis(Path(sys.argv[1]))
print(server.url, flush=True)
sys.stdin.readline()
server.stop()
print("done", flush=True)
sys.stdin.readline()
"""


def test_two_users_share_one_server(folder: Path) -> None:
    """A second user finds the first's server. It stops when both are done, in any order."""
    command = [sys.executable, "-c", FIRST_USER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        url = first.stdout.readline().strip()
        second = ensure_local_redis(folder)
        assert second.url == url
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == "done\n"
        assert answers(url), "the second user is there still"
        start = time.monotonic()
        second.stop()
        assert time.monotonic() - start < 3
        assert not answers(url)


def test_a_server_outlives_a_killed_user_and_is_adopted(folder: Path) -> None:
    """When its starter is killed the server lives on; the next user takes it over with its data, and can stop it."""
    code = (
        "import sys, os, signal; from pathlib import Path; from app.local_redis import ensure_local_redis\n"
        "print(ensure_local_redis(Path(sys.argv[1])).url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL
    url = died.stdout.strip()
    pid = process_id(url)
    server = ensure_local_redis(folder)
    assert process_id(server.url) == pid
    server.stop()
    assert not answers(url)


def test_data_survives_a_killed_server(folder: Path) -> None:
    """After SIGKILL of the server the stale socket is replaced and what was written is there again."""
    server = ensure_local_redis(folder)
    with Redis.from_url(server.url) as client:
        client.set("key", "value")
        client.bgrewriteaof()
    os.kill(process_id(server.url), signal.SIGKILL)
    again = ensure_local_redis(folder)
    try:
        with Redis.from_url(again.url) as client:
            assert client.get("key") == b"value"
    finally:
        again.stop()
        server.stop()


def test_a_long_path_is_no_obstacle() -> None:
    """Where a socket's name would be too long for the system the server listens in a private short folder."""
    with tempfile.TemporaryDirectory() as name:
        deep = Path(name) / ("deep" * 20) / ("deeper" * 10)
        server = ensure_local_redis(deep)
        try:
            assert answers(server.url)
            path = Path(server.url.removeprefix("unix://"))
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            with Redis.from_url(server.url) as client:
                assert client.config_get("dir")["dir"] == str(deep)
        finally:
            server.stop()


def test_why_it_did_not_start_is_told(folder: Path) -> None:
    """A server that cannot start is an error that quotes its log, not a wait without end."""
    folder.mkdir(parents=True)
    (folder / "appendonlydir").write_text("a file where its folder should be")
    with pytest.raises(LocalRedisError, match="did not start"):
        ensure_local_redis(folder)
