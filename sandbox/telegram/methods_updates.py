"""getMe, getUpdates and the webhook's settings."""

from __future__ import annotations

import re
from typing import Any

from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import WEBHOOK_ACTIVE, ApiError, bad_request, too_many_requests
from sandbox.telegram.markup import is_web_address
from sandbox.telegram.webhook import Webhook


@method("getMe")
async def get_me(call: Call) -> Any:
    return {
        **call.bot.as_user(),
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
        "has_topics_enabled": False,
    }


@method("getUpdates")
async def get_updates(call: Call) -> Any:
    if call.bot.webhook is not None:
        raise ApiError(409, WEBHOOK_ACTIVE)
    call.bot.updates.remember_allowed(call.params.object("allowed_updates"))
    offset = call.params.integer("offset")
    return await call.bot.updates.poll(offset, call.params.integer("limit", 100), call.params.integer("timeout"))


@method("setWebhook")
async def set_webhook(call: Call) -> Any:
    bot, params = call.bot, call.params
    url = params.text("url").strip()
    if not url:
        return await delete_webhook(call)
    if not is_web_address(url):
        raise bad_request("bad webhook: invalid webhook URL specified")
    secret = params.text("secret_token")
    if len(secret) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret):
        raise bad_request("secret token contains unallowed characters")
    if call.now < bot.next_webhook_change:
        raise too_many_requests(1)
    bot.next_webhook_change = call.now + 1
    connections = params.integer("max_connections", 40)
    connections = connections if 1 <= connections <= 100 else 40
    bot.updates.remember_allowed(params.object("allowed_updates"))
    if params.flag("drop_pending_updates"):
        bot.updates.clear()
    bot.updates.end_poll("Conflict: terminated by setWebhook request")
    if bot.webhook is not None:
        await bot.webhook.stop()
    bot.webhook = Webhook(call.telegram, bot, url, secret, connections)
    bot.webhook.start()
    return True


@method("deleteWebhook")
async def delete_webhook(call: Call) -> Any:
    if call.params.flag("drop_pending_updates"):
        call.bot.updates.clear()
    if call.bot.webhook is not None:
        await call.bot.webhook.stop()
    return True


@method("getWebhookInfo")
async def get_webhook_info(call: Call) -> Any:
    webhook = call.bot.webhook
    info: dict[str, Any] = {
        "url": webhook.url if webhook else "",
        "has_custom_certificate": False,
        "pending_update_count": len(call.bot.updates),
    }
    if webhook is not None:
        info |= webhook.info()
    if call.bot.updates.allowed is not None:
        info["allowed_updates"] = call.bot.updates.allowed
    return info
