"""The daily verdict on the books, as administrators read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handlers.views.localizer import Localizer
from services.common.i18n import Safe
from services.messaging.telegram import cut

ROWS: Final = 160  # units for the rows of one rule


def audit_letter(localizer: Localizer, told: Mapping[str, Any]) -> str:
    """All well, or what is broken, and in both cases the head that must be kept."""
    broken = [
        localizer.t(
            "audit-broken-line",
            rule=str(rule),
            what=Safe(localizer.t(f"audit-rule-{rule.lower()}")),
            rows=cut(", ".join(map(str, rows)), ROWS) or "–",
        )
        for rule, rows in dict(told.get("broken") or {}).items()
    ]
    head = str(told.get("head") or "–")
    sealed_at = int(told.get("sealed_at") or 0)
    return localizer.t(
        "audit-sound" if told.get("sound") else "audit-broken",
        when=localizer.when(int(told["at"])),
        broken=Safe("\n".join(broken)),
        entries=int(told["entries"]),
        balances=localizer.rubles(int(told["balances"])),
        held=localizer.rubles(int(told["held"])),
        seconds=str(told.get("seconds", 0)),
        head=head,
        seals=int(told["seals"]),
        upto=int(told["upto"]),
        sealed=localizer.when(sealed_at) if sealed_at else "–",
        unsealed=int(told["unsealed"]),
    )
