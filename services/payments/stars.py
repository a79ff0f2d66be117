"""Telegram Stars, the second way to pay: invoices in XTR, credited once per charge, refunded whole or not at all.

A payment in Stars is a row like any other: opened before anybody is asked for money, settled when Telegram says that
it was paid, taken back when it was refunded. Telegram's list of transactions is the books to compare with.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import LabeledPrice, PreCheckoutQuery, StarTransaction, SuccessfulPayment, TransactionPartnerUser

from database import clock
from database import differences as difference_rows
from database import flags as flag_rows
from database import payments as payment_rows
from database import refunds as refund_rows
from database import users as user_rows
from database.differences import Found, Proposal
from database.models import Database, IllegalMove, KeyReused, NotFound, Payment, PaymentStatus, Refund, Tx
from services.common.i18n import Texts
from services.common.log import event
from services.errors import TopUpUnavailable
from services.payments.comparison import Report, credited_since, refunded_since
from services.payments.ids import parse_stars_id
from services.payments.refunds import RefundResult, Rejected, Succeeded, Unknown
from services.pricing import format_rubles

PROVIDER: Final = "stars"
CURRENCY: Final = "XTR"
STALE_SECONDS: Final = float(clock.DAY_SECONDS)  # the pre-checkout of an older invoice is refused
STALE_MARGIN_SECONDS: Final = 600.0  # a payment in the last moment arrives before its row is closed
CHECKOUT_SECONDS: Final = 3  # Telegram waits ten: a connection that hangs leaves time for another try
PAGE: Final = 100
MOST_PAGES: Final = 10_000
SCANNED: Final = "stars_scanned"  # where in Telegram's list the recent transactions begin
RECENT_SECONDS: Final = 48.0 * clock.HOUR_SECONDS

_log = logging.getLogger(__name__)


class Stars:
    """Top-ups in Stars. Without packs in the catalogue none are offered; what was sold before is settled as ever."""

    def __init__(
        self, db: Database, bot: Bot, texts: Texts, packs: Sequence[tuple[int, int]], *, admins: Sequence[int] = ()
    ) -> None:
        """`packs` are pairs of kopecks credited and Stars they cost."""
        self._db = db
        self._bot = bot
        self._texts = texts
        self.packs = tuple(packs)
        self.admins = sorted(admins)

    @property
    def enabled(self) -> bool:
        return bool(self.packs)

    # --- selling --------------------------------------------------------------------------------------

    async def send_invoice(
        self, user_id: int, amount: int, *, chat_id: int, language: str, payment_id: str, draft_id: str | None = None
    ) -> Payment:
        """Open a payment that credits `amount` kopecks and send its invoice; the same id again is the same payment.

        Raises TopUpUnavailable("stars_off") for a sum that is not sold for Stars; KeyReused when the id stands for
        another person or sum; TelegramAPIError when the invoice can't be sent.
        """
        price = dict(self.packs).get(amount)
        if price is None:
            raise TopUpUnavailable("stars_off")
        new = payment_rows.NewPayment(
            id=payment_id,
            user_id=user_id,
            provider=PROVIDER,
            amount=amount,
            idempotency_key=f"stars-{payment_id}",
            request_body=None,
            chat_id=chat_id,
            draft_id=draft_id,
            stars=price,
        )
        payment = await self._db.write(payment_rows.open_payment, new, poll_in_ms=None)
        title = self._texts.plain(language, "stars-title", sum=format_rubles(amount, language))
        await self._bot.send_invoice(
            chat_id,
            title[:32],
            self._texts.plain(language, "stars-description")[:255],
            payment.id,
            CURRENCY,
            [LabeledPrice(label=title[:32], amount=payment.stars or price)],
        )
        return payment

    async def answer_checkout(self, query: PreCheckoutQuery) -> None:
        """Telegram asks before it takes the Stars: yes only when payment, person and price are as they were offered."""
        fault = await self._db.read(_checkout_fault, query)
        language = await self._db.read(_language, query.from_user.id)
        try:
            await self._bot.answer_pre_checkout_query(
                query.id,
                ok=fault is None,
                error_message=fault and self._texts.plain(language, f"stars-{fault}"),
                request_timeout=CHECKOUT_SECONDS,
            )
        except TelegramBadRequest:
            event(_log, "stars.checkout_too_late", level=logging.WARNING)

    # --- what Telegram says -----------------------------------------------------------------------------

    async def paid(self, user_id: int, paid: SuccessfulPayment) -> bool:
        """Telegram has the Stars: credit them once per charge. True if this call did."""
        return await self.book(user_id, paid.invoice_payload, paid.telegram_payment_charge_id, paid.total_amount)

    async def book(self, user_id: int, payment_id: str, charge_id: str, price: int) -> bool:
        """Credit a charge of `price` Stars that was paid for `payment_id`, once. True if this call did.

        A charge that does not fit a row is written down as a difference.
        """
        try:
            payment, credited = await self._db.write(
                payment_rows.paid_in_stars, payment_id, user_id=user_id, charge_id=charge_id, stars=price
            )
        except (NotFound, IllegalMove, KeyReused) as error:
            row = await self._db.read(payment_rows.get, payment_id)
            if await self._note(self._found(row, user_id, payment_id, charge_id, price)):
                event(_log, "stars.not_credited", level=logging.ERROR, error=str(error))
            return False
        if credited:
            event(_log, "payment.credited", payment_id=payment.id, amount=payment.amount, user_id=user_id)
        return credited

    def _found(self, row: Payment | None, user_id: int, payment_id: str, charge_id: str, price: int) -> Found:
        """The difference of a charge that does not fit `row`, or that has none."""
        facts: dict[str, Any] = {"theirs": 0, "stars": price, "status": "paid", "ours": row.amount if row else 0}
        amount = self._sold(user_id, payment_id, price) if row is None else row.amount
        if row is None and amount:
            facts |= {"order_id": payment_id, "whole": True}
        proposal = Proposal(user_id, amount) if amount and (row is None or row.stars == price) else None
        return Found(difference_rows.UNKNOWN, PROVIDER, charge_id, None, user_id, facts, proposal)

    def _sold(self, user_id: int, payment_id: str, price: int) -> int:
        """Kopecks of a lost payment: its id holds person and sum, and the pack must still cost so much; else 0."""
        parts = parse_stars_id(payment_id)
        if parts is None or parts.user_id != user_id:
            return 0
        return parts.amount if dict(self.packs).get(parts.amount) == price else 0

    async def close_stale(self) -> None:
        """Close the invoices whose pre-checkout is refused by now: they end as canceled."""
        before = clock.now_ms() - int((STALE_SECONDS + STALE_MARGIN_SECONDS) * 1000)
        while await self._db.write(payment_rows.close_stale, PROVIDER, before=before):
            pass

    async def refunded(self, charge_id: str) -> bool:
        """Telegram gave the Stars back, whoever asked for it: take the sum back once. True if this call did.

        A refund that can't be taken back is written down as a difference.
        """
        try:
            return await self._db.write(_take_back, charge_id)
        except (NotFound, IllegalMove, KeyReused) as error:
            payment = await self._db.read(payment_rows.by_provider_id, charge_id)
            proposal = Proposal(payment.user_id, -payment.amount) if payment else None
            kind = difference_rows.NOT_TAKEN if payment else difference_rows.REFUND_OF_UNKNOWN
            payer = payment.user_id if payment else None
            payment_id = payment.id if payment else None
            facts = {} if payment else {"payment": charge_id}
            if await self._note(Found(kind, PROVIDER, charge_id, payment_id, payer, facts, proposal)):
                event(_log, "stars.not_taken_back", level=logging.ERROR, error=str(error))
            return False

    async def sold_any(self) -> bool:
        """Whether there is anything to compare: Stars are sold, or once were."""
        return self.enabled or await self._db.read_apart(payment_rows.any_paid, PROVIDER)

    # --- comparison -------------------------------------------------------------------------------------

    async def compare(self, report: Report, since: float) -> None:
        """Telegram's list of Star transactions and our rows, both ways, from `since` (seconds since 1970) on.

        Raises TelegramAPIError when the list can't be read to its end.
        """
        if not await self.sold_any():
            return
        came: set[str] = set()
        went: set[str] = set()
        async for one in self._transactions(since):
            partner = one.source or one.receiver
            if not isinstance(partner, TransactionPartnerUser) or partner.transaction_type != "invoice_payment":
                continue
            if one.source is not None:
                came.add(one.id)
                report.payments += 1
                payment_id = partner.invoice_payload or ""
                report.settled += await self.book(partner.user.id, payment_id, one.id, one.amount)
            else:
                went.add(one.id)
                report.refunds += 1
                report.settled += await self.refunded(one.id)
        credited = [
            payment
            async for payment in credited_since(self._db, PROVIDER, since)
            if payment.provider_payment_id not in came
        ]
        taken = [
            refund
            async for refund in refunded_since(self._db, PROVIDER, since)
            if refund.provider_refund_id not in went
        ]
        await self._note_unlisted(report, credited, taken)

    async def _note_unlisted(self, report: Report, credited: Sequence[Payment], taken: Sequence[Refund]) -> None:
        """Of these, what Telegram's whole list does not hold: it may have happened long before we booked it."""
        came = {payment.provider_payment_id for payment in credited}
        went = {refund.provider_refund_id for refund in taken}
        if came or went:
            async for one in self._transactions(0.0):
                (came if one.source is not None else went).discard(one.id)
        for payment in credited:
            if payment.provider_payment_id in came:
                lost = Proposal(payment.user_id, payment.refunded_amount - payment.amount)
                await self._note_difference(report, "credited-unknown", payment, lost if lost.amount else None)
        for refund in taken:
            known = await self._db.read(payment_rows.get, refund.payment_id)
            if known is not None and refund.provider_refund_id in went:
                await self._note_difference(report, "refund-unknown", known, Proposal(known.user_id, refund.amount))

    async def _transactions(self, since: float) -> AsyncIterator[StarTransaction]:
        """Those from `since` on, oldest first as Telegram lists them; where the recent ones begin is remembered."""
        now = clock.now()
        scanned = f"{SCANNED}:{self._bot.id}"  # each bot has a list of its own
        kept = int(await self._db.read(flag_rows.get, scanned) or 0)
        offset = kept if since >= now - RECENT_SECONDS else 0
        first_recent: int | None = None
        for _ in range(MOST_PAGES):
            page = (await self._bot.get_star_transactions(offset=offset, limit=PAGE)).transactions
            for place, one in enumerate(page, offset):
                if first_recent is None and one.date.timestamp() >= now - RECENT_SECONDS:
                    first_recent = place
                if one.date.timestamp() >= since:
                    yield one
            offset += len(page)
            if len(page) < PAGE:
                await self._db.write(flag_rows.put, scanned, str(offset if first_recent is None else first_recent))
                return

    async def _note_difference(self, report: Report, kind: str, payment: Payment, proposal: Proposal | None) -> None:
        facts: dict[str, Any] = {"theirs": 0, "ours": payment.amount, "status": payment.status.value}
        about = payment.provider_payment_id or payment.id
        found = Found(kind, PROVIDER, about, payment.id, payment.user_id, facts, proposal)
        if (new := await self._note(found)) is not None:
            report.new.append(new)

    async def _note(self, found: Found) -> Any:
        return await self._db.write(difference_rows.note, found, admins=self.admins)


class StarsRefunds:
    """A RefundGateway: the whole charge, once; Telegram says so itself when it was done before.

    Facts: docs/reference/telegram.md, section 7.
    """

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    def body(self, payment: Payment, amount: int, refund_id: str) -> None:
        if amount != payment.amount:
            raise IllegalMove(f"payment {payment.id} in Stars is returned whole or not at all")

    async def ask(self, payment: Payment, refund: Refund) -> RefundResult:
        charge_id = payment.provider_payment_id or ""
        try:
            await self._bot.refund_star_payment(payment.user_id, charge_id)
        except TelegramBadRequest as error:
            if "CHARGE_ALREADY_REFUNDED" in error.message:
                return Succeeded(charge_id)
            return Rejected(error.message[:100])
        except TelegramForbiddenError as error:
            return Rejected(error.message[:100])
        except (TelegramRetryAfter, TelegramNetworkError, TelegramServerError, ClientDecodeError) as error:
            return Unknown(type(error).__name__)
        except TelegramAPIError as error:
            return Unknown(type(error).__name__)
        return Succeeded(charge_id)


def _checkout_fault(tx: Tx, query: PreCheckoutQuery) -> str | None:
    """Why the invoice can't be paid now: the name of a text, None when it can."""
    payment, person = payment_rows.get(tx, query.invoice_payload), user_rows.get(tx, query.from_user.id)
    if payment is None or payment.provider != PROVIDER or payment.user_id != query.from_user.id:
        return "not-yours"
    if person is not None and person.is_banned:
        return "not-yours"
    is_open = payment.status is PaymentStatus.PENDING and payment.provider_payment_id is None
    if not is_open or payment.quarantined_reason is not None or tx.now - payment.created_at > STALE_SECONDS * 1000:
        return "stale"
    if (query.currency, query.total_amount) != (CURRENCY, payment.stars):
        return "stale"
    return None


def _language(tx: Tx, user_id: int) -> str | None:
    person = user_rows.get(tx, user_id)
    return person.language if person else None


def _take_back(tx: Tx, charge_id: str) -> bool:
    payment = payment_rows.by_provider_id(tx, charge_id)
    if payment is None or payment.provider != PROVIDER:
        raise NotFound("no payment of this charge")
    own = [one for one in refund_rows.of_payment(tx, payment.id) if not one.is_final]
    _, new = refund_rows.take_back(
        tx,
        payment.id,
        refund_id=f"tg-{payment.id}",
        provider_refund_id=charge_id,
        amount=payment.amount,
        own_id=own[0].id if own else None,
    )
    return new
