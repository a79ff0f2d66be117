"""Receipts of the law 54-FZ: the shop's terms, and the address they go to (docs/reference/yookassa.md, section 6)."""

from __future__ import annotations

import re

from services.payments.yookassa.client import Receipt
from services.settings import Settings

_EMAIL = re.compile(
    r"(?=.{6,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)


class BadEmail(ValueError):
    """What was typed is no address that mail could reach; the error never repeats it."""

    def __init__(self) -> None:
        super().__init__("no e-mail address")


def parse_email(text: str) -> str:
    """The address as it will be used, its domain in lower case. Raises BadEmail."""
    typed = text.strip().removeprefix("mailto:")
    if not _EMAIL.fullmatch(typed):
        raise BadEmail
    name, _, domain = typed.rpartition("@")
    return f"{name}@{domain.lower()}"


def terms_of(settings: Settings) -> Receipt | None:
    """The shop's terms without an address; None when it sends no receipts."""
    if settings.yookassa_receipts == "off":
        return None
    return Receipt(
        email="",
        vat_code=settings.yookassa_vat_code,
        payment_subject=settings.yookassa_payment_subject,
        payment_mode=settings.yookassa_payment_mode,
        tax_system_code=settings.yookassa_tax_system_code,
    )
