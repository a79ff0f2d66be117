"""The messages that services send by themselves, about jobs and money. Pure functions: facts in, a screen out."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from database.models import Draft, Job, JobType, OutboxItem, Payment
from handlers.views import keyboards
from handlers.views.audit_report import audit_report
from handlers.views.localizer import Localizer
from handlers.views.markup import prompt_quote
from handlers.views.reasons import CANCEL_REASONS, FAILURE_OF
from services.common.i18n import MissingText, Safe, Texts
from services.common.log import event
from services.errors import BadDraft
from services.jobs import draft_of, stage
from services.messaging.telegram import Screen, cut
from services.storefront import Storefront

# UTF-16 units of a prompt that are shown. A caption may have 1024 (docs/reference/telegram.md, section 2).
CAPTION_PROMPT: Final = 600
LIVE_PROMPT: Final = 200
TITLE: Final = 40
USUAL_IMAGE_MS: Final = 40_000  # the time that the text `live-working` names
USUAL_SUBMIT_MS: Final = 10_000  # a submit takes less; after that its answer may never come

_log = logging.getLogger(__name__)


def title_of(localizer: Localizer, job: Job | Draft) -> str:
    """The first words of the prompt, or the name of the kind where there is no prompt. Plain text."""
    return cut(" ".join(job.prompt.split()), TITLE) or localizer.plain(f"kind-{job.type}")


class ChatMessages:
    """Implements services.messaging.renderer.MessageRenderer with the texts of our locales."""

    def __init__(self, texts: Texts, storefront: Storefront) -> None:
        self._texts = texts
        self._storefront = storefront

    def _localizer(self, language: str) -> Localizer:
        return Localizer(self._texts, language)

    # --- the live message of an open job ------------------------------------------------------------

    def progress(self, language: str, job: Job, *, ahead: int, now_ms: int) -> Screen:
        """The stage of the job and how long it has taken; a cancel button as long as cancelling is possible."""
        localizer, now = self._localizer(language), stage(job)
        taken = now_ms - (job.started_at or job.created_at)
        match now:
            case "queued" if ahead > 0:
                line = localizer.t("live-queued-behind", count=ahead)
            case "working" if taken >= USUAL_IMAGE_MS:
                line = localizer.t("live-working-for", elapsed=_elapsed(localizer, taken))
            case "submitting" if taken >= USUAL_SUBMIT_MS:
                line = localizer.t("live-submitting-for", elapsed=_elapsed(localizer, taken))
            case "rendering" if elapsed := _elapsed(localizer, taken):
                line = localizer.t("live-rendering-for", elapsed=elapsed)
            case "queued" | "working" | "submitting" | "rendering" | "saving":
                line = localizer.t(f"live-{now}")
            case _:
                line = localizer.t("live-saving")
        lines = [line, *_prompt(job, LIVE_PROMPT), localizer.t("live-held", price=localizer.rubles(job.cost_estimate))]
        return Screen("\n".join(lines), keyboards.stop(localizer, job.id) if now == "queued" else None)

    # --- the end of a job ---------------------------------------------------------------------------

    def done(self, language: str, job: Job, balance: int) -> Screen:
        """The last text of the live message: what was charged, and the balance."""
        localizer = self._localizer(language)
        return Screen(localizer.t("final-done", price=localizer.rubles(_cost(job)), balance=localizer.rubles(balance)))

    def result(self, language: str, job: Job) -> Screen:
        """The caption and the buttons of a result."""
        localizer = self._localizer(language)
        title = localizer.t("result", kind=localizer.plain(f"kind-{job.type}"), price=localizer.rubles(_cost(job)))
        buttons = keyboards.after(
            localizer, job.id, price=self._price(job), image=job.type.is_image, videos=self._storefront.videos
        )
        return Screen("\n".join([title, *_prompt(job, CAPTION_PROMPT)]), buttons)

    def original(self, language: str) -> str:
        """The caption of the original file under its preview."""
        return self._localizer(language).t("result-original")

    def failed(self, language: str, job: Job) -> Screen:
        """The last text of a failed job's live message: why there is no result, and that the money is back."""
        localizer = self._localizer(language)
        why = localizer.t(FAILURE_OF.get(job.error_code or "", "failure-ours"))
        lines = [
            localizer.t("final-failed", why=Safe(why)),
            *_prompt(job, LIVE_PROMPT),
            localizer.t("final-returned", price=localizer.rubles(job.cost_estimate)),
        ]
        return Screen("\n".join(lines), keyboards.try_again(localizer, job.id))

    def cancelled(self, language: str, job: Job) -> Screen:
        """The last text of a cancelled job's live message."""
        localizer = self._localizer(language)
        lines = [
            localizer.t("final-cancelled"),
            *_prompt(job, LIVE_PROMPT),
            localizer.t("final-returned", price=localizer.rubles(job.cost_estimate)),
        ]
        return Screen("\n".join(lines), keyboards.again(localizer, job.id, self._price(job)))

    def too_large(self, language: str) -> Screen:
        """Telegram does not accept a file of this size."""
        return Screen(self._localizer(language).t("result-too-large"))

    def expired(self, language: str, job: Job) -> Screen:
        """The result is no longer stored."""
        localizer = self._localizer(language)
        return Screen(localizer.t("result-expired"), keyboards.try_again(localizer, job.id))

    # --- money --------------------------------------------------------------------------------------

    def credited(self, language: str, payment: Payment, balance: int, draft: Draft | None) -> Screen:
        """The payment is credited. A draft that waited for the money gets a button that starts it.

        `draft` waited when the payment was opened for it, or when this payment is what makes it affordable.
        """
        localizer = self._localizer(language)
        text = localizer.t("credited", amount=localizer.rubles(payment.amount), balance=localizer.rubles(balance))
        if draft is None:
            return Screen(text)
        try:
            price = self._storefront.quote(draft).price
        except BadDraft:
            return Screen(text)
        if draft.id != payment.draft_id:
            if not (_is_complete(draft) and balance - payment.amount < price <= balance):
                return Screen(text)
            text += "\n" + localizer.t("credited-waits", title=title_of(localizer, draft))
        return Screen(text, keyboards.resume(localizer, draft.id, price))

    def payment_canceled(self, language: str, payment: Payment) -> Screen:
        """Why the payment was canceled, with the packs to try again."""
        localizer = self._localizer(language)
        why = localizer.t(CANCEL_REASONS.get(payment.cancel_reason or "", "cancel-reason-other"))
        text = localizer.t("payment-canceled", amount=localizer.rubles(payment.amount), why=Safe(why))
        offers, draft = self._storefront.catalogue.top_ups, payment.draft_id or ""
        if not offers.card:
            return Screen(text, keyboards.top_up_in_stars(localizer, offers.star_packs, draft=draft))
        return Screen(text, keyboards.top_up(localizer, offers.packs, draft=draft, star_packs=offers.star_packs))

    def note(self, language: str, item: OutboxItem, balance: int, job: Job | None) -> Screen | None:
        """An outbox item that is a message by itself; None for an unknown kind, such as one of a newer version."""
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
                text = audit_report(localizer, told)
            case "alert":
                text = self._alert(language, str(told.get("text", "")), dict(told.get("args") or {}))
            case _:
                event(_log, "letter.unknown_kind", level=logging.ERROR, kind=item.kind)
                return None
        return Screen(text)

    def _alert(self, language: str, key: str, args: dict[str, object]) -> str:
        """The text of an alert (HTML). An alert whose text id is unknown is shown as id and arguments."""
        ready = {name: value if isinstance(value, int) else str(value) for name, value in args.items()}
        with suppress(MissingText):
            if (text := self._localizer(language).t(key, **ready)) != key:
                return text
        facts = ", ".join(f"{name}={value}" for name, value in ready.items())
        return self._localizer(language).t("alert-other", text=f"{key} {facts}"[:1000])

    def _price(self, job: Job) -> int | None:
        """Kopecks for the same again today; None when it is no longer sold."""
        try:
            return self._storefront.quote(draft_of(job)).price
        except BadDraft:
            return None


def _prompt(job: Job, limit: int) -> list[str]:
    """The prompt as a line of HTML, none without a prompt."""
    return [prompt_quote(job.prompt, limit)] if job.prompt else []


def _is_complete(draft: Draft) -> bool:
    """Whether the draft needs only money: a photo can be animated without a prompt, everything else needs one."""
    return bool(draft.prompt or (draft.type is JobType.ANIMATE and draft.inputs))


def _cost(job: Job) -> int:
    """Kopecks that were charged, or that are reserved."""
    return job.cost_estimate if job.cost_actual is None else job.cost_actual


def _elapsed(localizer: Localizer, milliseconds: int) -> str:
    """The time in steps of 10 s, after two minutes of 30 s, so that the message changes seldom; "" below 10 s."""
    seconds = max(0, milliseconds // 1000)
    seconds -= seconds % (10 if seconds < 120 else 30)
    if seconds == 0:
        return ""
    if seconds < 60:
        return localizer.plain("elapsed-seconds", seconds=seconds)
    return localizer.plain("elapsed-minutes", minutes=seconds // 60, seconds=seconds % 60)
