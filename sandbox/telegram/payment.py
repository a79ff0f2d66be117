"""What happens when a person presses Pay: the pre-checkout question, ten seconds, then the money and its message."""

from __future__ import annotations

import secrets

from sandbox.telegram.call import Call
from sandbox.telegram.methods_payments import PRE_CHECKOUT_SECONDS, STARS, described
from sandbox.telegram.state import Chat, Invoice, Json, Payment, Query
from sandbox.telegram.updates import first_of


async def pay(call: Call, chat: Chat, invoice: Invoice, *, once: bool) -> Json:
    """`{"ok": true, "message": …}` or `{"ok": false, "error": …}`; an invoice sent to a chat is paid once."""
    query = await _asked(call, chat, invoice)
    if query.answer is None:
        return {"ok": False, "error": "BOT_PRECHECKOUT_TIMEOUT"}
    if not query.answer["ok"]:
        return {"ok": False, "error": query.answer["error"]}
    if invoice.paid:
        return {"ok": False, "error": "the invoice is paid already"}
    invoice.paid = once
    prefix = "stx" if invoice.currency == STARS else "chg"
    payment = Payment(
        f"{prefix}_{secrets.token_urlsafe(24)}",
        chat.person.id,
        invoice.total,
        invoice.payload,
        call.now,
        currency=invoice.currency,
    )
    call.bot.payments[payment.id] = payment
    content = described(payment)
    if invoice.subscription_period:
        content["is_recurring"] = content["is_first_recurring"] = True
        content["subscription_expiration_date"] = int(call.now) + invoice.subscription_period
    message = call.telegram.receive(call.bot, chat, {"successful_payment": content})
    return {"ok": True, "message": message.for_person()}


async def _asked(call: Call, chat: Chat, invoice: Invoice) -> Query:
    """Ask the bot and wait for its answer, 10 s at most (docs/reference/telegram.md, section 7)."""
    clock, events = call.telegram.world.clock, call.telegram.events
    query = Query(call.bot.next_query_id(), chat.person.id, clock.now())
    call.bot.queries[query.id] = query
    payload = {
        "id": query.id,
        "from": chat.person.as_user(),
        "currency": invoice.currency,
        "total_amount": invoice.total,
        "invoice_payload": invoice.payload,
    }
    call.bot.updates.push("pre_checkout_query", payload, chat.person.id)
    until = query.asked + PRE_CHECKOUT_SECONDS
    while query.answer is None and not events.closed and (left := until - clock.now()) > 0:
        await first_of([clock.sleep(left), events.changed(call.bot.id, chat.person.id, PRE_CHECKOUT_SECONDS)])
    query.answered = True
    return query
