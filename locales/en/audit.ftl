# The daily audit of the books: what admins read.

audit-sound =
    ✅ <b>The books balance</b> ({ $when })

    Entries: { $entries }
    On balances: { $balances }, on hold: { $held }
    The check took { $seconds } s

    Seal of { $sealed } (seals: { $seals }, last entry: { $upto }, not sealed yet: { $unsealed }):
    <code>{ $head }</code>
    Do not delete this message: the seal proves that past entries were not changed.
audit-broken =
    🚨 <b>The books do not balance</b> ({ $when })

    { $broken }

    What to do: /maintenance on, then “The books do not balance” in RUNBOOK.md. Details: <code>python main.py audit</code>

    Entries: { $entries }
    On balances: { $balances }, on hold: { $held }
    The check took { $seconds } s

    Seal of { $sealed } (seals: { $seals }, last entry: { $upto }, not sealed yet: { $unsealed }):
    <code>{ $head }</code>
audit-broken-line = • <b>{ $rule }</b>: { $what } (<code>{ $rows }</code>)
audit-rule-i1 = a balance is below zero, or a user has both money and a debt
audit-rule-i2 = the money of an order does not match its price or its result
audit-rule-i3 = a payment was not credited exactly once, or a refund is missing
audit-rule-i4 = past ledger entries were changed, or their protection was removed
audit-rule-i5 = balances do not match the total of their entries
audit-rule-i6 = an open order or money on hold is not being processed
audit-rule-i7 = a provider was called more often than allowed
audit-rule-i8 = a finished order was neither delivered nor refunded
audit-rule-i9 = messages or logs contain a secret, a stack trace or another user’s order
audit-rule-file = the database file is damaged
