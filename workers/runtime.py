"""What a step needs: settings, database, providers, assets. Opened for a step, or shared by the process that runs many.

A forked worker runs each step in an event loop of its own, so everything is opened inside it and closed with it. The
bot, which runs steps itself when Redis is away, installs one runtime for its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass

from database import jobs as job_rows
from database import payments as payment_rows
from database.models import Database, Job
from services.base_provider import Blame, ProviderError
from services.catalogue import SHIPPED, Catalogue, load_catalogue
from services.common.log import event, setup_logging
from services.media.store import AssetStore, open_assets
from services.providers import Providers, open_providers
from services.settings import Settings, load_settings

RENEW_SECONDS = 10.0  # a third of the lease

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another worker has the job, or it was closed; whatever this one does from here on must change nothing."""


@dataclass
class Runtime:
    """Open connections and what is sold, for one event loop."""

    settings: Settings
    db: Database
    providers: Providers
    assets: AssetStore
    catalogue: Catalogue

    @classmethod
    def open(cls, settings: Settings, db: Database | None = None) -> Runtime:
        catalogue = load_catalogue(settings.catalogue_path or SHIPPED)
        return cls(
            settings=settings,
            db=db or Database(settings.database_url),
            providers=_providers(settings, catalogue),
            assets=open_assets(settings.assets_url),
            catalogue=catalogue,
        )

    @property
    def keep_ms(self) -> int:
        """How long a result is kept, in milliseconds."""
        return self.settings.assets_ttl_days * 24 * 3600 * 1000

    async def alert_operator(self, error: ProviderError, provider: str, model: str, *, now_ms: int) -> None:
        """Tell the owner what is theirs to mend, at most once an hour for each provider and kind of trouble."""
        if error.blame is not Blame.OPERATOR:
            return
        key = f"provider:{provider}:{model}:{error.code}:{now_ms // 3_600_000}"
        await self.db.write(
            payment_rows.alert,
            sorted(self.settings.admin_ids),
            key,
            "alert-provider",
            provider=provider,
            model=model,
            code=error.code.value,
            detail=error.detail[:300],
        )

    async def close(self) -> None:
        await self.providers.close()
        await self.db.close()


def _providers(settings: Settings, catalogue: Catalogue) -> Providers:
    gemini, kling = settings.gemini_api_key, settings.kling_api_key
    return open_providers(
        gemini_api_key=gemini.get_secret_value() if gemini else "",
        gemini_base_url=settings.gemini_base_url,
        gemini_auth_style=settings.gemini_auth_style,
        gemini_proxy=settings.gemini_proxy,
        kling_api_key=kling.get_secret_value() if kling else "",
        kling_base_url=settings.kling_base_url,
        kling_proxy=settings.kling_proxy,
        kling_batch=catalogue.limits.look_batch,
    )


_installed: ContextVar[tuple[asyncio.AbstractEventLoop, Runtime] | None] = ContextVar("runtime", default=None)


def install(runtime: Runtime) -> None:
    """Let every step started from here on, by this task or those it starts, use `runtime`; its owner closes it."""
    _installed.set((asyncio.get_running_loop(), runtime))


@contextlib.asynccontextmanager
async def runtime() -> AsyncIterator[Runtime]:
    """The installed runtime, else one of our own from the settings, closed at the end."""
    shared = _installed.get()
    if shared is not None and shared[0] is asyncio.get_running_loop():  # not one from before a fork
        yield shared[1]
        return
    settings = load_settings()
    setup_logging(settings.log_level, settings.log_format, settings.secret_values())
    own = Runtime.open(settings)
    try:
        yield own
    finally:
        await own.close()


@contextlib.asynccontextmanager
async def lease(db: Database, job: Job) -> AsyncIterator[None]:
    """Renew the job's lease while the body runs; once it is lost the body is cancelled and LeaseLost comes out."""
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
            except Exception as error:  # a busy disk is no lost lease: the attempt's number still protects the row
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
