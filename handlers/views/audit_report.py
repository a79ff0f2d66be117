"""The daily report about the audit of the ledger, for the admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handlers.views.localizer import Localizer
from services.common.i18n import Safe
from services.messaging.telegram import cut

ROWS: Final = 160  # UTF-16 units for the rows that break one rule


def audit_report(localizer: Localizer, told: Mapping[str, Any]) -> str:
    """Whether all rules hold, the rows that break them, and the newest seal, which must be kept (HTML).

    `told` is the payload of the outbox item: `sound`, `broken` (rule → rows), `at` and `sealed_at` (UTC, ms),
    `balances` and `held` (kopecks), `entries`, `seconds`, `head`, `seals`, `upto`, `unsealed`.
    """
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
