"""Everything that a step of a job needs. Workers and the bot's scheduler both use it, so it belongs to neither."""

from __future__ import annotations

from dataclasses import dataclass

from database import clock, outbox
from database.models import Database
from services.base_provider import Blame, ProviderError
from services.catalogue import SHIPPED, Catalogue, load_catalogue
from services.media.store import AssetStore, open_assets
from services.providers import Providers, open_providers
from services.settings import Settings


@dataclass
class JobContext:
    """Settings, catalogue and open connections, for use inside one event loop."""

    settings: Settings
    db: Database
    providers: Providers
    assets: AssetStore
    catalogue: Catalogue

    @classmethod
    def open(cls, settings: Settings) -> JobContext:
        """Load the catalogue and open the connections that the settings name."""
        catalogue = load_catalogue(settings.catalogue_path or SHIPPED)
        return cls(
            settings=settings,
            db=Database(settings.database_url),
            providers=_providers(settings, catalogue),
            assets=open_assets(settings.assets_url),
            catalogue=catalogue,
        )

    @property
    def keep_ms(self) -> int:
        """How long a result is kept, in milliseconds."""
        return self.settings.assets_ttl_days * clock.DAY_MS

    async def alert_admins(self, about: str, text: str, /, **facts: str) -> None:
        """Write an alert for every admin, at most one an hour for each `about`. `text` is a text id."""
        key = f"{about}:{clock.now_ms() // clock.HOUR_MS}"
        await self.db.write(outbox.alert_admins, sorted(self.settings.admin_ids), key, text, **facts)

    async def alert_provider_fault(self, error: ProviderError, provider: str, model: str) -> None:
        """Alert the admins of an error that only they can fix, at most once an hour for each model and error code."""
        if error.blame is not Blame.ADMIN:
            return
        about = f"provider:{provider}:{model}:{error.code}"
        facts = {"provider": provider, "model": model, "code": error.code.value, "detail": error.detail[:300]}
        await self.alert_admins(about, "alert-provider", **facts)

    async def close(self) -> None:
        """Close the connections that `open` has opened."""
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
