"""A disk that can lose power: what SQLite wrote, in order, and what would be left of it after a cut at any moment.

The product's own database connection runs unchanged on the SQLite library it always uses. That library asks its "VFS"
to open, write, truncate, sync and delete files. Here a second VFS is registered as the default one, which records each
of these and passes it on. A cut keeps what was synced and a random part, torn at sectors, of what was not.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pysqlite3 import _sqlite3 as library_module

SECTOR = 512
OK = 0
_p, _int, _i64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, version 3: what an open file can do."""

    _fields_ = [
        ("version", _int), ("close", _p), ("read", _p), ("write", _p), ("truncate", _p), ("sync", _p),
        *((name, _p) for name in (
            "file_size", "lock", "unlock", "check_reserved", "control", "sector_size", "characteristics",
            "shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch",
        )),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = [
        ("version", _int), ("file_bytes", _int), ("max_path", _int), ("next", _p), ("name", ctypes.c_char_p),
        ("app_data", _p), ("open", _p), ("delete", _p),
        *((name, _p) for name in (
            "access", "full_path", "dl_open", "dl_error", "dl_sym", "dl_close", "randomness", "sleep", "time",
            "last_error", "time_64", "set_call", "get_call", "next_call",
        )),
    ]  # fmt: skip


# Names are passed on as the pointers they came as: SQLite keeps them, and reads on behind their end.
_OPEN = ctypes.CFUNCTYPE(_int, _p, _p, _p, _int, _p)
_DELETE = ctypes.CFUNCTYPE(_int, _p, _p, _int)
_WRITE = ctypes.CFUNCTYPE(_int, _p, _p, _int, _i64)
_TRUNCATE = ctypes.CFUNCTYPE(_int, _p, _i64)
_SYNC = ctypes.CFUNCTYPE(_int, _p, _int)


@dataclass(frozen=True)
class Event:
    """Something that happened to a file, or (`ack`) the moment at which a transaction was acknowledged."""

    kind: Literal["write", "truncate", "sync", "delete", "ack"]
    file: str = ""
    offset: int = 0  # where it was written, to what it was cut, or 1 for a delete that is on the disk at once
    data: bytes = b""


@dataclass
class Recorder:
    """Everything SQLite does to the files of one folder, in order."""

    folder: Path
    events: list[Event] = field(default_factory=list)

    def acknowledged(self) -> None:
        self.events.append(Event("ack"))

    def note(self, event: Event) -> None:
        if Path(event.file).parent == self.folder:
            self.events.append(event)


@contextlib.contextmanager
def recording(folder: Path) -> Iterator[Recorder]:
    """Record what every connection that is opened inside the block does to files of `folder`."""
    library = ctypes.CDLL(library_module.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    recorder = Recorder(folder)
    usual = library.sqlite3_vfs_find(None).contents
    kept: list[Any] = []  # what C holds pointers to must stay where it is
    names: dict[int, str] = {}
    methods: dict[int, Any] = {}
    usual_open, usual_delete = _OPEN(usual.open), _DELETE(usual.delete)

    def on_open(vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        status: int = usual_open(vfs, name, file, flags, out)
        if status == OK and name:
            opened = ctypes.cast(file, ctypes.POINTER(_File)).contents
            original = ctypes.addressof(opened.methods.contents)
            if original not in methods:
                methods[original] = _noting(opened.methods.contents, names, recorder, kept)
            names[file] = ctypes.string_at(name).decode()
            opened.methods = ctypes.pointer(methods[original])
        return status

    def on_delete(vfs: int, name: int, at_once: int) -> int:
        recorder.note(Event("delete", ctypes.string_at(name).decode(), at_once))
        status: int = usual_delete(vfs, name, at_once)
        return status

    noting = _Vfs.from_buffer_copy(usual)
    kept += [_OPEN(on_open), _DELETE(on_delete)]
    noting.name, noting.next = b"noting", None
    noting.open, noting.delete = (ctypes.cast(one, _p) for one in kept)
    library.sqlite3_vfs_register(ctypes.byref(noting), 1)
    try:
        yield recorder
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(noting))


def _noting(usual: _Methods, names: dict[int, str], recorder: Recorder, kept: list[Any]) -> _Methods:
    """The methods of a file; those that change it are recorded first."""
    write, truncate = _WRITE(usual.write), _TRUNCATE(usual.truncate)

    def on_write(file: int, data: int, size: int, offset: int) -> int:
        recorder.note(Event("write", names[file], offset, ctypes.string_at(data, size)))
        status: int = write(file, data, size, offset)
        return status

    def on_truncate(file: int, size: int) -> int:
        recorder.note(Event("truncate", names[file], size))
        status: int = truncate(file, size)
        return status

    def on_sync(file: int, flags: int) -> int:
        recorder.note(Event("sync", names[file]))  # and not done: what it would mean is what the model below says
        return OK

    made = _Methods.from_buffer_copy(usual)
    mine = [_WRITE(on_write), _TRUNCATE(on_truncate), _SYNC(on_sync)]
    kept += mine
    made.write, made.truncate, made.sync = (ctypes.cast(one, _p) for one in mine)
    return made


class Disk:
    """What is certainly on the disk after the first events of a list, and what may be."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._done = 0
        self._files: dict[str, bytearray] = {}
        self._pending: dict[str, list[Event]] = {}
        self._unlinked: dict[str, bytearray] = {}
        self.acknowledged = 0

    def advance(self, to: int) -> None:
        """Let everything up to event number `to` happen."""
        for event in self._events[self._done : to]:
            self._happen(event)
        self._done = max(self._done, to)

    def _happen(self, event: Event) -> None:
        match event.kind:
            case "ack":
                self.acknowledged += 1
            case "write" | "truncate":
                self._unlinked.pop(event.file, None)
                self._pending.setdefault(event.file, []).append(event)
            case "sync":
                content = self._files.setdefault(event.file, bytearray())
                for waiting in self._pending.pop(event.file, ()):
                    _apply(content, waiting)
                self._unlinked.clear()  # a journaling file system writes earlier unlinks out with it
            case "delete":
                content = self._files.pop(event.file, bytearray())
                self._pending.pop(event.file, None)
                if event.offset:
                    self._unlinked.clear()
                elif content:
                    self._unlinked[event.file] = content

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """The power goes: what is left of each file, by the file's name."""
        left: dict[str, bytes | bytearray] = dict(self._files)
        for file, content in self._unlinked.items():
            if chance.random() < 0.5:
                left.setdefault(file, content)
        for file, waiting in self._pending.items():
            torn = bytearray(left.get(file, b""))
            for event in _survivors(waiting, chance):
                _apply(torn, event)
            left[file] = torn
        return {Path(file).name: bytes(content) for file, content in left.items()}


def _survivors(waiting: Sequence[Event], chance: random.Random) -> Iterator[Event]:
    """What the disk got to: nothing, a part in any order, or nearly all; whole sectors only."""
    share = chance.choice((0.0, 0.3, 0.6, 0.9, 1.0))
    for event in waiting:
        if event.kind == "truncate":
            if chance.random() < share:
                yield event
            continue
        first = -event.offset % SECTOR
        starts = [0, *range(first or SECTOR, len(event.data), SECTOR)]
        for start, end in zip(starts, [*starts[1:], len(event.data)], strict=True):
            if chance.random() < share:
                yield Event("write", event.file, event.offset + start, event.data[start:end])


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data
