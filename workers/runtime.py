"""The context of a step, which is opened for it or shared by many steps of a process; and the lease of a step.

A forked worker runs each step in an event loop of its own, so everything is opened and closed inside it. The bot runs
steps itself when Redis is down; it installs one context for its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar

from database import jobs as job_rows
from database.models import Database, Job
from services.common.log import event, setup_logging
from services.job_context import JobContext
from services.settings import load_settings

RENEW_SECONDS = 10.0  # a third of the lease

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another worker has the job, or it was closed. This worker must not change anything any more."""


_installed: ContextVar[tuple[asyncio.AbstractEventLoop, JobContext] | None] = ContextVar("job_context", default=None)


def install(ctx: JobContext) -> None:
    """Let every step that this task or its children start from now on use `ctx`. The caller closes it."""
    _installed.set((asyncio.get_running_loop(), ctx))


@contextlib.asynccontextmanager
async def job_context() -> AsyncIterator[JobContext]:
    """The installed context, else a new one from the settings, which is closed at the end."""
    shared = _installed.get()
    if shared is not None and shared[0] is asyncio.get_running_loop():  # not a context from before a fork
        yield shared[1]
        return
    settings = load_settings()
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    own = JobContext.open(settings)
    try:
        yield own
    finally:
        await own.close()


@contextlib.asynccontextmanager
async def lease(db: Database, job: Job) -> AsyncIterator[None]:
    """Renew the job's lease while the body runs. When the lease is lost, the body is cancelled and LeaseLost raised."""
    body = asyncio.current_task()
    if body is None:
        raise RuntimeError("a lease is held by a task")
    lost = False

    async def keep() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                held = await db.write(job_rows.renew, job.id, job.attempt)
            except Exception as error:  # the lease is not lost yet, and the attempt's number still protects the row
                event(_log, "lease.renewal_failed", level=logging.WARNING, error=type(error).__name__)
                continue
            if not held:
                lost = True
                body.cancel()
                return

    keeper = asyncio.create_task(keep())
    try:
        yield
    except asyncio.CancelledError:
        if lost and body.uncancel() == 0:
            raise LeaseLost(job.id) from None
        raise
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
