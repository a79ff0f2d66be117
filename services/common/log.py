"""Logging: events with names and fields, one record per line, and never a secret in it.

A secret is removed twice. The filter cleans the record itself, so that any later handler gets a clean one. The
formatter cleans the finished text, so that a secret in a traceback or a field is removed as well.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote

from database.errors import Refusal

HIDDEN = "***"
_SHORTEST_SECRET = 4  # hiding shorter texts would make the log unreadable and protect nothing

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # The token is in the path of every Telegram address (docs/reference/telegram.md, section 1).
    (re.compile(r"(?i)\b(bot\d{1,20})(?::|%3A)[^\s/\"'\\<>]+"), rf"\1:{HIDDEN}"),
    # Headers, however they were printed: `name: value`, `'name': 'value'`, `(b'name', b'value')`.
    (
        re.compile(
            r"(?i)((?:proxy-)?authorization|x-goog-api-key|x-telegram-bot-api-secret-token)"
            r"(\\?[\"']?\s*[:=,]\s*(?:b?\\?[\"'])?)(?:(?:basic|bearer)\s+)?[^\s\"'\\,;)}\]]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(basic|bearer)(\s+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)([?&](?:key|api_key|token|access_token|secret)=)[^&\s\"'\\]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s/:@\"']*:)[^\s/@\"']+@"), rf"\1{HIDDEN}@"),
)

# Libraries that write a line for every request or row. They may write warnings, and more only at level DEBUG.
_NOISY = (
    "aiogram.event",
    "aiohttp.access",
    "alembic",
    "asyncio",
    "httpcore2",
    "httpx2",
    "limits",
    "rq.job",
    "rq.queue",
    "rq.worker",
    "urllib3",
)
# These print the values of every statement or the bytes of every image: users' data, which is never wanted.
_NEVER_VERBOSE = ("aiosqlite", "PIL", "sqlalchemy.engine")

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields", "context"}

Redact = Callable[[str], str]


@contextlib.contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add `fields` (job_id, user_id, update_id and so on) to every record made inside, in this task only."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def event(logger: logging.Logger, name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log that something happened: a constant `name` such as "job.claimed", and its details as fields.

    Inside an `except` block at level ERROR or above the traceback is added, unless the error is a refusal of the
    database, which needs none.
    """
    error = sys.exc_info()[1]
    trace = level >= logging.ERROR and error is not None and not isinstance(error, Refusal)
    logger.log(level, name, extra={"fields": fields}, exc_info=trace, stacklevel=2)


def redactor(secrets: Iterable[str]) -> Redact:
    """A function that hides `secrets` in a text, in every form that a log may hold, and what looks like a secret."""
    spellings: set[str] = set()
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            spellings |= {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    # The longest first: a token must be replaced as a whole before its second half is.
    ordered = sorted(spellings, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def redact(text: str) -> str:
        if known is not None:
            text = known.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    return redact


class RedactingFilter(logging.Filter):
    """Put clean text into the record's message and fields before any formatter sees them."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # a library's wrong format string must neither lose the line nor print its arguments
            message = f"{record.msg} (its arguments do not fit)"
        record.msg, record.args = self._redact(message), None
        fields = {**_context.get(), **_extra(record), **getattr(record, "fields", {})}
        record.fields = {name: self._clean(value) for name, value in fields.items()}
        return True

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._redact(value if isinstance(value, str) else repr(value))


def _no_bytes_of_strangers(record: logging.LogRecord) -> bool:
    """A request that is not HTTP is the sender's fault: one line at level INFO, no traceback, none of its bytes."""
    from aiohttp.http_exceptions import HttpProcessingError  # only aiohttp's server logs here, so it is imported
    from aiohttp.web import RequestPayloadError

    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError | RequestPayloadError):
        return True
    record.msg, record.args, record.exc_info, record.exc_text = "http.malformed", None, None, None
    record.fields = {"error": type(error).__name__}
    record.levelno = min(record.levelno, logging.INFO)
    record.levelname = logging.getLevelName(record.levelno)
    return logging.getLogger(record.name).isEnabledFor(record.levelno)


class TextFormatter(logging.Formatter):
    """`2026-02-12T10:00:00.000Z INFO services.jobs job.claimed job_id=… attempt=1`, then a traceback, indented."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_shown(value)}" for name, value in getattr(record, "fields", {}).items())
        line = f"{_time(record)} {record.levelname} {record.name} {_one_line(record.getMessage())}{fields}"
        for details in (_traceback(self, record), record.stack_info):
            if details:
                line += "\n" + "\n".join(f"    {part}" for part in details.splitlines())
        return self._redact(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, the fields, and the traceback under "exception"."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = dict(getattr(record, "fields", {}))
        entry.update(time=_time(record), level=record.levelname, logger=record.name, event=record.getMessage())
        for name, details in (("exception", _traceback(self, record)), ("stack", record.stack_info)):
            if details:
                # Cleaned before it is encoded: afterwards a secret with a quotation mark in it looks different.
                entry[name] = self._redact(details)
        return self._redact(json.dumps(entry, ensure_ascii=False, default=repr))


class _SafeHandler(logging.StreamHandler[Any]):
    """A handler whose failure does not print the record's raw arguments to stderr, as logging's own does.

    The failure does not reach the code that logs either. Most often stderr is the stream that fails (the disk is full,
    it is closed, its reader has ended), and the program must go on without a log.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        kind = sys.exc_info()[0]
        with contextlib.suppress(Exception):
            sys.stderr.write(f"a log record of {record.name} could not be written ({kind.__name__ if kind else '?'})\n")


def setup_logging(
    level: str = "INFO", fmt: Literal["text", "json"] = "text", secrets: Iterable[str] = (), stream: Any = None
) -> None:
    """Send all records to `stream` (stderr when None) through the redacting filter and formatter.

    Replaces the root logger's handlers, logs warnings, and logs uncaught exceptions of threads and of the process,
    because Python's own report of them could show a secret. May be called again.
    """
    redact = redactor(secrets)
    handler = _SafeHandler(stream if stream is not None else sys.stderr)
    handler.addFilter(RedactingFilter(redact))
    handler.setFormatter(JsonFormatter(redact) if fmt == "json" else TextFormatter(redact))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    verbose = root.level <= logging.DEBUG
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.NOTSET if verbose else logging.WARNING)
    for name in _NEVER_VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_no_bytes_of_strangers)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger(__name__).critical("process.uncaught", exc_info=(kind, error or kind(), traceback))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    """What a caller passed as `extra`: all attributes that logging itself does not set."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    """Escape line breaks and the like, so that a user's text can't look like a record of its own."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _shown(value: object) -> str:
    text = str(value)
    bare = bool(text) and text.isprintable() and not set(text) & set(' "=')
    return text if bare else _one_line(json.dumps(text, ensure_ascii=False))


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[0] is not None:
        return formatter.formatException(record.exc_info)
    return record.exc_text
