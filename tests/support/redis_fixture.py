"""A real Redis for tests: the server that comes with the requirements, or the one `TEST_REDIS_SERVER` names.

It listens on a Unix socket in a folder of its own, keeps an append-only file, and can be killed and started again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from app.local_redis import server_binary, server_command


class RedisServer:
    """A server process under the test's control. `url` stays the same over restarts."""

    def __init__(self) -> None:
        # A short path of its own: pytest's own folders can be longer than a socket's name may be.
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(os.environ.get("TEST_REDIS_SERVER") or server_binary())
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            server_command(binary, self.folder, self.socket), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "redis.log").read_text()[-2000:])
            time.sleep(0.01)

    def kill(self) -> None:
        """End the server as a power cut would: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    """The session's server; tests ask for `redis_server`, which is empty and running."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """A running server without a key in it."""
    redis_process.flush()
    return redis_process


@pytest.fixture
def mortal_redis() -> Iterator[RedisServer]:
    """A running server of this test alone, to kill and to start again."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()
