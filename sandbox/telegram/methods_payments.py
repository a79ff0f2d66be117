"""Selling for Stars, and through payment providers: invoices, the pre-checkout answer, refunds, the account."""

from __future__ import annotations

import re
import secrets
from typing import Any

from sandbox.telegram.builder import units
from sandbox.telegram.call import Call, method
from sandbox.telegram.errors import QUERY_TOO_OLD, bad_request
from sandbox.telegram.methods_messages import deliver
from sandbox.telegram.state import Invoice, Json, Payment

PRE_CHECKOUT_SECONDS = 10.0
MONTH = 2_592_000
STARS = "XTR"


def invoice_of(call: Call) -> Invoice:
    """The call's invoice, checked (docs/reference/telegram.md, sections 2 and 7). Raises ApiError 400."""
    params = call.params
    title, description, payload = params.text("title"), params.text("description"), params.text("payload")
    currency = params.text("currency")
    if not 1 <= units(title) <= 32:
        raise bad_request("INVOICE_TITLE_INVALID" if title else "title must be non-empty")
    if not 1 <= units(description) <= 255:
        raise bad_request("INVOICE_DESCRIPTION_INVALID" if description else "description must be non-empty")
    if not 1 <= len(payload.encode("utf-8", "replace")) <= 128:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise bad_request("CURRENCY_INVALID")
    if currency != STARS and not params.text("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    total = _total(params.object("prices"), currency)
    period = params.integer("subscription_period")
    if period and (period != MONTH or currency != STARS or total > 10_000):
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    return Invoice(title, description, payload, currency, total, period)


def _total(prices: Any, currency: str) -> int:
    if not isinstance(prices, list) or not prices:
        raise bad_request("can't parse prices: expected a non-empty Array of LabeledPrice")
    for price in prices:
        if not isinstance(price, dict) or not price.get("label") or type(price.get("amount")) is not int:
            raise bad_request("can't parse prices: expected an Array of LabeledPrice")
    total: int = sum(price["amount"] for price in prices)
    if currency == STARS and (len(prices) != 1 or not 1 <= total <= 100_000):
        raise bad_request("STARS_INVOICE_INVALID" if len(prices) != 1 else "CURRENCY_TOTAL_AMOUNT_INVALID")
    if total < 1:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    return total


@method("sendInvoice")
async def send_invoice(call: Call) -> Any:
    chat = call.chat()
    invoice = invoice_of(call)
    public = {
        "title": invoice.title,
        "description": invoice.description,
        "start_parameter": call.params.text("start_parameter"),
        "currency": invoice.currency,
        "total_amount": invoice.total,
    }
    message = deliver(call, chat, {"invoice": public}, invoice=True)
    call.bot.invoices[chat.person.id, message.id] = invoice
    return message.data


@method("createInvoiceLink")
async def create_invoice_link(call: Call) -> Any:
    link = f"https://t.me/${secrets.token_urlsafe(12)}"
    call.bot.invoices[link] = invoice_of(call)
    return link


@method("answerPreCheckoutQuery")
async def answer_pre_checkout_query(call: Call) -> Any:
    query = call.bot.queries.get(call.params.text("pre_checkout_query_id"))
    if query is None or query.answered or call.now - query.asked > PRE_CHECKOUT_SECONDS:
        raise bad_request(QUERY_TOO_OLD)
    ok = call.params.flag("ok")
    reason = call.params.text("error_message")
    if not ok and not reason:
        raise bad_request("error message must be non-empty")
    query.answered = True
    query.answer = {"ok": ok, "error": reason or None}
    call.telegram.events.pulse(call.bot.id, query.user_id)
    return True


@method("refundStarPayment")
async def refund_star_payment(call: Call) -> Any:
    user_id = call.params.integer("user_id")
    if user_id not in call.telegram.people:
        raise bad_request("USER_ID_INVALID")
    payment = call.bot.payments.get(call.params.text("telegram_payment_charge_id"))
    if payment is None or payment.user_id != user_id or payment.currency != STARS:
        raise bad_request("CHARGE_ID_INVALID")
    if payment.refunded_at is not None:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    payment.refunded_at = call.now
    chat = call.telegram.chat(call.bot, user_id)
    message = call.telegram.post(call.bot, chat, {"refunded_payment": described(payment)}, editable=False)
    call.bot.updates.push("message", message.data, user_id)
    return True


def described(payment: Payment) -> Json:
    return {
        "currency": payment.currency,
        "total_amount": payment.amount,
        "invoice_payload": payment.payload,
        "telegram_payment_charge_id": payment.id,
        "provider_payment_charge_id": "" if payment.currency == STARS else f"prov_{payment.id[4:20]}",
    }


@method("getStarTransactions")
async def get_star_transactions(call: Call) -> Any:
    offset = max(0, call.params.integer("offset"))
    limit = call.params.integer("limit", 100)
    if not 1 <= limit <= 100:
        raise bad_request("limit must be between 1 and 100")
    rows: list[tuple[float, Json]] = []
    for payment in call.bot.payments.values():
        if payment.currency != STARS:
            continue
        person = call.telegram.people[payment.user_id]
        partner = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": person.as_user(),
            "invoice_payload": payment.payload,
        }
        row = {"id": payment.id, "amount": payment.amount, "date": int(payment.at)}
        rows.append((payment.at, {**row, "source": partner}))
        if payment.refunded_at is not None:
            refund = {**row, "date": int(payment.refunded_at), "receiver": partner}
            rows.append((payment.refunded_at, refund))
    rows.sort(key=lambda row: row[0])
    return {"transactions": [row for _, row in rows[offset : offset + limit]]}


@method("getMyStarBalance")
async def get_my_star_balance(call: Call) -> Any:
    kept = (one for one in call.bot.payments.values() if one.currency == STARS and one.refunded_at is None)
    return {"amount": sum(one.amount for one in kept)}
