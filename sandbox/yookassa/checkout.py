"""The page on which a payer pays, `/yookassa/checkout/<payment id>`: plain forms, no scripts, every word escaped.

What the page shows follows from the payment alone, so it may be reloaded at any step. Leaving the page changes
nothing: a pending payment cannot be canceled, its link works until it expires
(docs/reference/yookassa.md, section 0).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from aiohttp import web

from sandbox.yookassa import cards
from sandbox.yookassa.objects import Payment
from sandbox.yookassa.shop import Shop, WrongState

PATH = "/yookassa/checkout/{id}"
MAX_FORM = 16 * 1024
TEMPLATE = Template(Path(__file__).with_name("checkout.html").read_text(encoding="utf-8"))
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
}
Form = dict[str, str]


class FormError(Exception):
    """The payer filled in something impossible; the text is for the payer."""


class Checkout:
    """Shows the page and does what the payer presses: `pay`, `confirm` (3-D Secure), `back`, `leave`."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def mount(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.show)
        app.router.add_post(PATH, self.submit)

    async def show(self, request: web.Request) -> web.Response:
        self.shop.world.record("yookassa", "checkout", id=request.match_info["id"])
        payment = self.shop.payment(request.match_info["id"])
        if payment is None:
            return _unknown()
        return _page(*self._view(payment, {"card": request.query.get("card", cards.DEFAULT_CARD)}))

    async def submit(self, request: web.Request) -> web.Response:
        self.shop.world.record("yookassa", "checkout:submit", id=request.match_info["id"])
        payment = self.shop.payment(request.match_info["id"])
        if payment is None:
            return _unknown()
        form: Form = {}
        try:
            form = await _form(request)
            leave = self._act(payment, form)
        except FormError as error:
            return _page(*self._view(payment, form, str(error)), status=400)
        except WrongState:
            return _page(*self._view(payment, form), status=409)
        # A redirect after every step, so that reloading the page sends no form again.
        raise web.HTTPSeeOther((leave and _return_url(payment)) or request.path)

    def _act(self, payment: Payment, form: Form) -> bool:
        """Do what was pressed; returns whether the payer goes back to the shop."""
        action = form.get("action", "pay")
        if action == "leave":
            return True
        if action == "back":
            payment.challenge = None
        elif action == "confirm":
            self._confirm(payment, form)
        elif action == "pay":
            self._pay(payment, form)
        else:
            raise FormError("Такой кнопки нет.")
        return False

    def _pay(self, payment: Payment, form: Form) -> None:
        method = form.get("method", "bank_card")
        if method == "yoo_money":
            self.shop.pay(payment, None)
            return
        if method != "bank_card":
            raise FormError("Этот способ в тестовом магазине не работает.")
        card = cards.find(form.get("card", cards.DEFAULT_CARD))
        if card is None:
            raise FormError("В тестовом магазине работают только тестовые карты — выберите одну из списка.")
        _check_expiry(form.get("expiry", "12/30"), self.shop.world.clock.now())
        if not re.fullmatch(r"[0-9]{3,4}", form.get("cvc", "123")):
            raise FormError("Код CVC — это три цифры.")
        if card.three_ds:
            payment.challenge = card.number
        else:
            self._finish(payment, card)

    def _confirm(self, payment: Payment, form: Form) -> None:
        card = cards.find(payment.challenge or "")
        if card is None:
            raise FormError("Сначала выберите карту.")
        if not form.get("code", "").strip():
            raise FormError("Введите код из сообщения банка — в тестовом магазине подойдёт любой.")
        payment.challenge = None
        self._finish(payment, card)

    def _finish(self, payment: Payment, card: cards.Card) -> None:
        """The bank's answer. Whether a refusal ends the payment is open (docs/reference/yookassa.md, section 3)."""
        if card.reason is None:
            self.shop.pay(payment, card)
        elif self.shop.settings.decline_ends_payment:
            self.shop.decline(payment, card.reason, card.party, card)
        else:
            payment.refused = card.reason

    # --- the content ------------------------------------------------------------------------------------------------

    def _view(self, payment: Payment, form: Form, alert: str = "") -> tuple[str, str]:
        """Title and content for the current state of the payment."""
        if payment.status != "pending":
            return _result(payment, self.shop.settings.shop_name)
        head = _head(self.shop.settings.shop_name, payment, self.shop.world.clock.now())
        if payment.challenge:
            return "Подтверждение оплаты", head + _challenge_form(payment.challenge, alert)
        if not alert and payment.refused:
            alert = f"Оплата не прошла: {cards.DECLINES.get(payment.refused, 'банк отказал')}. Попробуйте другую карту."
        return "Оплата заказа", head + _card_form(payment, form, alert)


def rubles(amount: Decimal) -> str:
    """`1 490,00 ₽` with non-breaking spaces."""
    return f"{amount:,.2f}".replace(",", "\u00a0").replace(".", ",") + "\u00a0₽"


def _head(shop_name: str, payment: Payment, now: float) -> str:
    minutes = max(1, round((payment.deadline - now) / 60))
    description = f'<p class="note">{escape(payment.description)}</p>' if payment.description else ""
    return (
        f'<section><h1>{escape(shop_name)}</h1><p class="sum">{rubles(payment.amount)}</p>{description}'
        f'<p class="note">Ссылка действует ещё {minutes} мин.</p></section>'
    )


def _card_form(payment: Payment, form: Form, alert: str) -> str:
    number = re.sub(r"(.{4})(?=.)", r"\1 ", form.get("card", cards.DEFAULT_CARD).replace(" ", "")[:32])
    wallet = form.get("method") == "yoo_money"
    choices = "".join(
        f'<li><a href="?card={card.number}"><span class="number">{_grouped(card.number)}</span><br>'
        f"<small>{escape(card.system)} · {escape(card.outcome)}</small></a></li>"
        for card in cards.CARDS.values()
    )
    return f"""<section>{_alert(alert)}<form method="post" autocomplete="off">
<fieldset>
{_method("bank_card", "Банковская карта", chosen=not wallet)}
{_method("yoo_money", "Кошелёк ЮMoney", chosen=wallet)}
<label class="method off"><input type="radio" disabled> СБП — в тестовом магазине недоступна</label>
</fieldset>
<label>Номер карты
<input type="text" class="number" name="card" inputmode="numeric" maxlength="23" value="{escape(number)}"></label>
<div class="pair">
{_field("Срок действия", "expiry", form.get("expiry", "12/30"), 7)}
{_field("CVC", "cvc", form.get("cvc", "123"), 4)}
</div>
<button name="action" value="pay">Оплатить {rubles(payment.amount)}</button>
<button class="quiet" name="action" value="leave" formnovalidate>Отменить и вернуться в магазин</button>
</form></section>
<section><details><summary>Другие тестовые карты</summary><ul>{choices}</ul></details></section>"""


def _challenge_form(number: str, alert: str) -> str:
    return f"""<section>{_alert(alert)}<h1>Подтвердите оплату</h1>
<p class="note">Банк отправил код для карты *{escape(number[-4:])}. В тестовом магазине подойдёт любой.</p><br>
<form method="post" autocomplete="off">
<label>Код из СМС
<input type="text" name="code" inputmode="numeric" maxlength="16" autofocus></label>
<button name="action" value="confirm">Подтвердить</button>
<button class="quiet" name="action" value="back" formnovalidate>Выбрать другую карту</button>
</form></section>"""


def _result(payment: Payment, shop_name: str) -> tuple[str, str]:
    """The last page: paid, expired or canceled, and the way back."""
    reason = (payment.cancellation or {}).get("reason", "")
    if payment.paid:
        title, mark, tone = "Оплата прошла", "✓", "good"
        text = "Деньги получены. Можно возвращаться в магазин."
        if payment.status == "waiting_for_capture":
            text = "Деньги заморожены на карте до подтверждения магазином."
    elif reason.startswith("expired"):
        title, mark, tone = "Время на оплату вышло", "⌛", "bad"
        text = "Деньги не списаны. Вернитесь в магазин и создайте новый заказ."
    else:
        title, mark, tone = "Платёж отменён", "✕", "bad"
        why = cards.DECLINES.get(reason)
        text = f"Причина: {why}. Деньги не списаны." if why else "Деньги не списаны."
    back = _return_url(payment)
    button = f'<a class="button" href="{escape(back)}" rel="noreferrer">Вернуться в магазин</a>' if back else ""
    return title, (
        f'<section class="centre"><p class="mark {tone}">{mark}</p><h1>{title}</h1>'
        f'<p class="sum">{rubles(payment.amount)}</p><p class="note">{escape(shop_name)}</p>'
        f"<p>{escape(text)}</p>{button}</section>"
    )


def _method(code: str, title: str, *, chosen: bool) -> str:
    checked = " checked" if chosen else ""
    return f'<label class="method"><input type="radio" name="method" value="{code}"{checked}> {title}</label>'


def _field(title: str, name: str, value: str, length: int) -> str:
    return (
        f'<label>{title}<input type="text" name="{name}" inputmode="numeric"'
        f' maxlength="{length}" value="{escape(value[:length])}"></label>'
    )


def _alert(text: str) -> str:
    return f'<p class="alert" role="alert">{escape(text)}</p>' if text else ""


def _grouped(number: str) -> str:
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def _return_url(payment: Payment) -> str:
    """The address to which the payer returns; only the confirmation by redirect has one."""
    return str(payment.confirmation.get("return_url", ""))


def _page(title: str, content: str, status: int = 200) -> web.Response:
    text = TEMPLATE.substitute(title=escape(title), content=content)
    body = text.encode("utf-8", "replace")
    return web.Response(status=status, body=body, content_type="text/html", charset="utf-8", headers=HEADERS)


def _unknown() -> web.Response:
    content = '<section class="centre"><h1>Платёж не найден</h1><p class="note">Проверьте ссылку.</p></section>'
    return _page("Платёж не найден", content, status=404)


async def _form(request: web.Request) -> Form:
    """The fields of the form; a body that is not a form, or too long, is the sender's error."""
    raw = bytearray()
    async for chunk in request.content.iter_chunked(MAX_FORM):
        raw += chunk
        if len(raw) > MAX_FORM:
            raise FormError("Форма слишком большая.")
    try:
        fields = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=32)
    except ValueError:
        raise FormError("Форма не читается.") from None
    return {name: values[-1] for name, values in fields.items()}


def _check_expiry(text: str, now: float) -> None:
    """Any month from the current one on is valid (docs/reference/yookassa.md, section 10)."""
    found = re.fullmatch(r"\s*(0?[1-9]|1[0-2])\s*/\s*(?:20)?([0-9]{2})\s*", text)
    if found is None:
        raise FormError("Срок действия — это месяц и год: 12/30.")
    today = datetime.fromtimestamp(now, UTC)
    if (2000 + int(found[2]), int(found[1])) < (today.year, today.month):
        raise FormError("Срок действия карты вышел.")
