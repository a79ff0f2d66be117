"""What the bot says about jobs and money that move by themselves: pure renderers, handed to the services."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from database.models import Draft, Job, JobType, OutboxItem, Payment
from database.spending import EXPECTED
from handlers.views import keyboards
from handlers.views.audit_report import audit_letter
from handlers.views.draft_card import voice_quote
from handlers.views.localizer import Localizer
from services.common.i18n import MissingText, Safe, Texts
from services.common.log import event
from services.errors import BadOrder
from services.jobs import stage
from services.messaging.telegram import Screen, cut
from services.storefront import Storefront

CAPTION_PROMPT: Final = 600  # of the 1024 units a caption may have (docs/reference/telegram.md, section 2)
LIVE_PROMPT: Final = 200
TITLE: Final = 40
USUAL_PICTURE_MS: Final = 40_000  # what `live-working` promises
USUAL_SUBMIT_MS: Final = 10_000  # handing an order over takes a moment; longer means that no answer has come

_log = logging.getLogger(__name__)

_FAILURES: Final = {
    "failure-prompt": ("prompt_blocked", "image_blocked"),
    "failure-copy": ("recitation",),
    "failure-language": ("language",),
    "failure-text-only": ("text_only",),
    "failure-complex": ("too_complex",),
    "failure-photo": ("bad_photo",),
    "failure-photo-gone": ("photo_gone",),
    "failure-busy": (
        "quota_minute",
        "spend_limit",
        "rate_limited",
        "concurrency",
        "overloaded",
        "internal",
        "maintenance",
        "network",
        "circuit_open",
    ),
    "failure-no-result": (
        "no_picture",
        "generation_failed",
        "bad_answer",
        "result_gone",
        "bad_result",
        "duplicate_task",
    ),
    "failure-timeout": ("timeout", "hold_timeout", "unknown_outcome"),
    "failure-ours": (
        "bad_request",
        "key_invalid",
        "forbidden",
        "location",
        "billing",
        "funds",
        "quota_day",
        "model_gone",
        "account_at_risk",
        "wrong_endpoint",
        "too_large",
        "storage",
        "interrupted",
    ),
    "failure-admin": ("refunded_by_admin",),
}
_FAILURE_OF: Final = {code: text for text, codes in _FAILURES.items() for code in codes}

_CANCEL_REASONS: Final = {
    "expired_on_confirmation": "cancel-reason-expired",
    "expired_on_capture": "cancel-reason-expired",
    "insufficient_funds": "cancel-reason-funds",
    "fraud_suspected": "cancel-reason-fraud",
    "3d_secure_failed": "cancel-reason-card",
    "call_issuer": "cancel-reason-card",
    "card_expired": "cancel-reason-card",
    "country_forbidden": "cancel-reason-card",
    "general_decline": "cancel-reason-card",
    "identification_required": "cancel-reason-card",
    "invalid_card_number": "cancel-reason-card",
    "invalid_csc": "cancel-reason-card",
    "issuer_unavailable": "cancel-reason-card",
    "payment_method_limit_exceeded": "cancel-reason-card",
    "payment_method_restricted": "cancel-reason-card",
}


def title_of(localizer: Localizer, job: Job | Draft) -> str:
    """An order in a few words, plain text."""
    return cut(" ".join(job.prompt.split()), TITLE) or localizer.plain(f"kind-{job.type}")


def draft_of(job: Job, draft_id: str = "", *, inputs: tuple[str, ...] | None = None) -> Draft:
    """The order that a job came from, to be quoted or made again."""
    photos = tuple(job.params.get("inputs") or ()) if inputs is None else inputs
    return Draft(
        id=draft_id,
        user_id=job.user_id,
        chat_id=job.chat_id or job.user_id,
        message_id=None,
        type=job.type,
        model=job.model,
        prompt=job.prompt,
        params={name: value for name, value in job.params.items() if name not in ("inputs", EXPECTED)},
        inputs=photos,
        parent_job_id=job.id,
        revision=0,
        created_at=job.created_at,
        updated_at=job.created_at,
    )


class ChatMessages:
    """The words of the services. `language` is the person's; everything else is what happened."""

    def __init__(self, texts: Texts, storefront: Storefront) -> None:
        self._texts = texts
        self._storefront = storefront

    def _localizer(self, language: str) -> Localizer:
        return Localizer(self._texts, language)

    # --- a job under way ----------------------------------------------------------------------------

    def progress(self, language: str, job: Job, *, ahead: int, now_ms: int) -> Screen:
        """The live message of an open job, with a cancel button while cancelling is possible."""
        localizer, now = self._localizer(language), stage(job)
        taken = now_ms - (job.started_at or job.created_at)
        match now:
            case "queued" if ahead > 0:
                line = localizer.t("live-queued-behind", count=ahead)
            case "working" if taken >= USUAL_PICTURE_MS:
                line = localizer.t("live-working-for", elapsed=_elapsed(localizer, taken))
            case "submitting" if taken >= USUAL_SUBMIT_MS:
                line = localizer.t("live-submitting-for", elapsed=_elapsed(localizer, taken))
            case "rendering" if elapsed := _elapsed(localizer, taken):
                line = localizer.t("live-rendering-for", elapsed=elapsed)
            case "queued" | "working" | "submitting" | "rendering" | "saving":
                line = localizer.t(f"live-{now}")
            case _:
                line = localizer.t("live-saving")
        lines = [line, *_words(job, LIVE_PROMPT), localizer.t("live-held", price=localizer.rubles(job.cost_estimate))]
        return Screen("\n".join(lines), keyboards.stop(localizer, job.id) if now == "queued" else None)

    # --- its end ------------------------------------------------------------------------------------

    def done(self, language: str, job: Job, balance: int) -> Screen:
        """The live message's last word: what was taken and what is left; the result stands below it."""
        localizer = self._localizer(language)
        return Screen(localizer.t("final-done", price=localizer.rubles(_cost(job)), balance=localizer.rubles(balance)))

    def result(self, language: str, job: Job) -> Screen:
        """Caption and buttons of a result."""
        localizer = self._localizer(language)
        title = localizer.t("result", kind=localizer.plain(f"kind-{job.type}"), price=localizer.rubles(_cost(job)))
        buttons = keyboards.after(
            localizer, job.id, price=self._price(job), image=job.type.is_image, videos=self._storefront.videos
        )
        return Screen("\n".join([title, *_words(job, CAPTION_PROMPT)]), buttons)

    def original(self, language: str) -> str:
        """What the file under a preview is."""
        return self._localizer(language).t("result-original")

    def failed(self, language: str, job: Job) -> Screen:
        """Why there is no result, and that the money is back."""
        localizer = self._localizer(language)
        why = localizer.t(_FAILURE_OF.get(job.error_code or "", "failure-ours"))
        lines = [
            localizer.t("final-failed", why=Safe(why)),
            *_words(job, LIVE_PROMPT),
            localizer.t("final-returned", price=localizer.rubles(job.cost_estimate)),
        ]
        return Screen("\n".join(lines), keyboards.try_again(localizer, job.id))

    def cancelled(self, language: str, job: Job) -> Screen:
        localizer = self._localizer(language)
        lines = [
            localizer.t("final-cancelled"),
            *_words(job, LIVE_PROMPT),
            localizer.t("final-returned", price=localizer.rubles(job.cost_estimate)),
        ]
        return Screen("\n".join(lines), keyboards.again(localizer, job.id, self._price(job)))

    def too_large(self, language: str, job: Job) -> Screen:
        return Screen(self._localizer(language).t("result-too-large"))

    def expired(self, language: str, job: Job) -> Screen:
        localizer = self._localizer(language)
        return Screen(localizer.t("result-expired"), keyboards.try_again(localizer, job.id))

    # --- money --------------------------------------------------------------------------------------

    def credited(self, language: str, payment: Payment, balance: int, draft: Draft | None) -> Screen:
        """The money is there; an order that waited for it is one tap away, if it was begun for or made affordable."""
        localizer = self._localizer(language)
        text = localizer.t("credited", amount=localizer.rubles(payment.amount), balance=localizer.rubles(balance))
        if draft is None:
            return Screen(text)
        try:
            price = self._storefront.quote(draft).price
        except BadOrder:
            return Screen(text)
        if draft.id != payment.draft_id:
            if not (_ready(draft) and balance - payment.amount < price <= balance):
                return Screen(text)
            text += "\n" + localizer.t("credited-waits", title=title_of(localizer, draft))
        return Screen(text, keyboards.resume(localizer, draft.id, price))

    def payment_canceled(self, language: str, payment: Payment) -> Screen:
        localizer = self._localizer(language)
        why = localizer.t(_CANCEL_REASONS.get(payment.cancel_reason or "", "cancel-reason-other"))
        text = localizer.t("payment-canceled", amount=localizer.rubles(payment.amount), why=Safe(why))
        offers, draft = self._storefront.catalogue.top_ups, payment.draft_id or ""
        if not offers.card:
            return Screen(text, keyboards.top_up_in_stars(localizer, offers.star_packs, draft=draft))
        return Screen(text, keyboards.top_up(localizer, offers.packs, draft=draft, star_packs=offers.star_packs))

    def note(self, language: str, item: OutboxItem, balance: int, job: Job | None) -> Screen | None:
        """Messages of their own; None for a kind that nobody here knows."""
        localizer, told = self._localizer(language), item.payload
        match item.kind:
            case "granted":
                text = localizer.t(
                    "granted", amount=localizer.rubles(told["amount"]), balance=localizer.rubles(balance)
                )
            case "took_back" if told.get("owed"):
                text = localizer.t(
                    "took-back-owed", amount=localizer.rubles(told["amount"]), owed=localizer.rubles(told["owed"])
                )
            case "took_back":
                text = localizer.t("took-back", amount=localizer.rubles(told["amount"]))
            case "corrected":
                key = "corrected-up" if told["amount"] > 0 else "corrected-down"
                text = localizer.t(key, amount=localizer.rubles(abs(told["amount"])), balance=localizer.rubles(balance))
            case "compensated":
                title = title_of(localizer, job) if job else "–"
                key = "compensated-undelivered" if told.get("cause") == "undelivered" else "compensated-admin"
                text = localizer.t(key, amount=localizer.rubles(told["amount"]), title=title)
            case "audit":
                text = audit_letter(localizer, told)
            case "alert":
                text = self._alert(language, str(told.get("text", "")), dict(told.get("args") or {}))
            case _:
                event(_log, "letter.unknown_kind", level=logging.ERROR, kind=item.kind)
                return None
        return Screen(text)

    def _alert(self, language: str, key: str, args: dict[str, object]) -> str:
        """An alert always arrives: one without words of its own is shown as it is."""
        ready = {name: value if isinstance(value, int) else str(value) for name, value in args.items()}
        with suppress(MissingText):
            if (text := self._localizer(language).t(key, **ready)) != key:
                return text
        facts = ", ".join(f"{name}={value}" for name, value in ready.items())
        return self._localizer(language).t("alert-other", text=f"{key} {facts}"[:1000])

    def _price(self, job: Job) -> int | None:
        """What the same order costs today; None when it is no longer sold."""
        try:
            return self._storefront.quote(draft_of(job)).price
        except BadOrder:
            return None


def _words(job: Job, limit: int) -> list[str]:
    return [voice_quote(cut(job.prompt, limit))] if job.prompt else []


def _ready(draft: Draft) -> bool:
    """Whether nothing but money was missing: a photo alone can be animated, all else needs words."""
    return bool(draft.prompt or (draft.type is JobType.ANIMATE and draft.inputs))


def _cost(job: Job) -> int:
    return job.cost_estimate if job.cost_actual is None else job.cost_actual


def _elapsed(localizer: Localizer, milliseconds: int) -> str:
    """How long it has taken, in steps that grow, so that the message does not change every second; at first nothing."""
    seconds = max(0, milliseconds // 1000)
    seconds -= seconds % (10 if seconds < 120 else 30)
    if seconds == 0:
        return ""
    if seconds < 60:
        return localizer.plain("elapsed-seconds", seconds=seconds)
    return localizer.plain("elapsed-minutes", minutes=seconds // 60, seconds=seconds % 60)
