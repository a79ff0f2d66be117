"""Texts that are not from our locales, as Telegram HTML."""

from __future__ import annotations

import html

from services.messaging.telegram import cut


def escaped(text: str) -> str:
    """Plain text as HTML."""
    return html.escape(text, quote=False)


def prompt_quote(prompt: str, limit: int) -> str:
    """The person's prompt as a quote of at most `limit` UTF-16 units (HTML)."""
    return f"<blockquote expandable>{escaped(cut(prompt, limit))}</blockquote>"
