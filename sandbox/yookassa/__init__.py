"""YooKassa API v3 with its checkout page and notifications (docs/reference/yookassa.md, sections 0-10 and 13).

`/yookassa/v3/…` is the API, `/yookassa/checkout/<payment id>` the page a payer sees, `/_control/yookassa/…` the
control routes: pay, decline, expire, refund from the profile, settings, notifications.
"""

from __future__ import annotations

from aiohttp import web

from sandbox.world import World
from sandbox.yookassa.api import Api
from sandbox.yookassa.checkout import Checkout
from sandbox.yookassa.control import Control
from sandbox.yookassa.notifications import Notifier
from sandbox.yookassa.settings import ShopSettings
from sandbox.yookassa.shop import Shop


def mount(app: web.Application, world: World) -> None:
    """Add the shop to the application; its state is `world.faces["yookassa"]`, a `Shop`."""
    settings = ShopSettings()
    notifier = Notifier(world, settings)
    shop = Shop(world, settings, notifier.emit)
    world.faces["yookassa"] = shop
    world.on_reset(shop.reset)
    world.on_reset(notifier.reset)
    Api(shop, notifier).mount(app)
    Checkout(shop).mount(app)
    Control(shop, notifier).mount(app)
