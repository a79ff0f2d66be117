"""`python main.py check-config`: call every outside system once and print what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from database import admin
from database.models import Database, DatabaseError
from services.base_provider import BaseAIProvider, ErrorCode, ProviderError
from services.catalogue import SHIPPED, Catalogue, CatalogueError, load_catalogue
from services.media.store import AssetError, open_assets
from services.payments.yookassa.client import ErrorKind, YooKassaError, YooKassaGateway, expects_test_payments
from services.providers import open_providers
from services.providers.nano_banana import NanoBanana
from services.queue import Queue, RedisAway
from services.settings import Settings

_PROVIDER_HINTS = {
    ErrorCode.KEY_INVALID: "the key is refused; make a new one and set it again",
    ErrorCode.LOCATION: "this server's country is not served; set the provider's proxy or a gateway's address",
    ErrorCode.BILLING: "the project has no billing; switch it on at the provider",
    ErrorCode.FUNDS: "the prepaid money is used up; top up at the provider",
    ErrorCode.NETWORK: "no connection; check the address, the proxy and the firewall",
    ErrorCode.TIMEOUT: "no answer in time; check the address, the proxy and the firewall",
    ErrorCode.WRONG_ENDPOINT: "something else answers at this address; check the base URL",
}
_SHOP_HINTS = {
    ErrorKind.CREDENTIALS: "YooKassa refuses the pair; check YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY",
    ErrorKind.UNKNOWN_OUTCOME: "YooKassa does not answer; check YOOKASSA_API_URL and the firewall",
}


@dataclass(frozen=True)
class Line:
    """The result of one check: it is fine, or what to do about it."""

    subject: str
    fine: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.fine else 'FAIL'}  {self.subject}: {self.text}"


class Wrong(Exception):
    """What a check found, as a sentence for the admin."""


Probe = Callable[[], Awaitable[str]]


async def check_config(settings: Settings, telegram: Probe) -> list[Line]:
    """Run all checks; `telegram` asks Telegram who the bot is (raises Wrong). Never raises itself."""
    probes: dict[str, Probe] = {
        "Telegram": telegram,
        "Database": lambda: _database(settings),
        "Catalogue": lambda: _catalogue(settings),
        "Assets": lambda: _assets(settings),
    }
    if settings.redis_url:
        probes["Redis"] = lambda: _redis(settings)
    if settings.yookassa_enabled:
        probes["YooKassa"] = lambda: _yookassa(settings)
    if settings.gemini_enabled:
        probes["Gemini"] = lambda: _gemini(settings)
    if settings.kling_enabled:
        probes["Kling"] = lambda: _kling(settings)
    return [await _line(subject, probe) for subject, probe in probes.items()]


async def _line(subject: str, probe: Probe) -> Line:
    try:
        return Line(subject, True, await probe())
    except Wrong as wrong:
        return Line(subject, False, str(wrong))
    except Exception as error:
        return Line(subject, False, f"the check itself broke ({type(error).__name__})")


async def _database(settings: Settings) -> str:
    db = Database(settings.database_url)
    try:
        await db.init_db()
        people, open_jobs = await db.read(admin.head_count)
    except DatabaseError as error:
        raise Wrong(f"{error}") from error
    finally:
        await db.close()
    return f"opened, {people} users, {open_jobs} open jobs"


async def _catalogue(settings: Settings) -> str:
    catalogue = _load(settings)
    return f"{len(catalogue.images())} models draw, {len(catalogue.videos())} film"


def _load(settings: Settings) -> Catalogue:
    try:
        return load_catalogue(settings.catalogue_path or SHIPPED)
    except CatalogueError as error:
        raise Wrong(str(error)) from error


async def _assets(settings: Settings) -> str:
    try:
        store = open_assets(settings.assets_url)
        probe = await store.put(b"check", suffix=".bin")
        await store.delete(probe.key)
    except (AssetError, OSError, ValueError) as error:
        raise Wrong(f"can't write to {settings.assets_url}: {error}") from error
    return "written and deleted a file"


async def _redis(settings: Settings) -> str:
    queue = Queue(settings.redis_url)
    try:
        await queue.reach()
        return f"answers, {await queue.depth()} steps wait"
    except RedisAway as error:
        hint = "check REDIS_URL and that the server runs. Until then jobs run inside the bot"
        raise Wrong(f"{error}; {hint}") from error
    finally:
        await queue.close(0)


async def _yookassa(settings: Settings) -> str:
    key = settings.yookassa_secret_key
    gateway = YooKassaGateway(
        settings.yookassa_shop_id or "", key.get_secret_value() if key else "", settings.yookassa_api_url
    )
    try:
        shop = await gateway.me()
    except YooKassaError as error:
        raise Wrong(_SHOP_HINTS.get(error.kind, str(error))) from error
    finally:
        await gateway.close()
    if not shop.enabled:
        raise Wrong("the shop is switched off at YooKassa")
    if expects_test_payments(settings) not in (None, shop.test):  # every payment would be quarantined
        kind, key_kind = ("test", "live") if shop.test else ("live", "test")
        raise Wrong(f"a {kind} shop answers to a {key_kind} key; check YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY")
    if shop.fiscalization and settings.yookassa_receipts == "off":
        raise Wrong("the shop must send receipts (54-FZ); set YOOKASSA_RECEIPTS=on")
    return f"shop {shop.account_id}, {'TEST shop: nobody pays real money' if shop.test else 'live shop'}"


async def _gemini(settings: Settings) -> str:
    key = settings.gemini_api_key
    providers = open_providers(
        gemini_api_key=key.get_secret_value() if key else "",
        gemini_base_url=settings.gemini_base_url,
        gemini_auth_style=settings.gemini_auth_style,
        gemini_proxy=settings.gemini_proxy,
    )
    provider = providers.images[NanoBanana.name]
    try:
        await _reach(provider)
        known = await provider.models() if isinstance(provider, NanoBanana) else frozenset()
    finally:
        await providers.close()
    missing = sorted({model.provider_model for model in _load(settings).images()} - known)
    if known and missing:
        raise Wrong(f"this key does not see {', '.join(missing)}; hide them in the catalogue")
    return "the key works and sees every model on sale"


async def _kling(settings: Settings) -> str:
    key = settings.kling_api_key
    providers = open_providers(
        kling_api_key=key.get_secret_value() if key else "",
        kling_base_url=settings.kling_base_url,
        kling_proxy=settings.kling_proxy,
    )
    try:
        for provider in providers.videos.values():
            await _reach(provider)
    finally:
        await providers.close()
    return "the key works"


async def _reach(provider: BaseAIProvider) -> None:
    try:
        await provider.check()
    except ProviderError as error:
        raise Wrong(_PROVIDER_HINTS.get(error.code, str(error))) from error
