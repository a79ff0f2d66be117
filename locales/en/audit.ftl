# The daily audit of the books: what administrators read.

audit-sound =
    ✅ <b>The books balance</b> ({ $when })

    Entries: { $entries }
    On balances: { $balances }, held: { $held }
    The check took { $seconds } s

    Seal of { $sealed } (seals: { $seals }, last entry { $upto }, not sealed yet: { $unsealed }):
    <code>{ $head }</code>
    Keep this message: the seal shows that nobody has rewritten the past.
audit-broken =
    🚨 <b>The books do not balance</b> ({ $when })

    { $broken }

    What to do: /maintenance on, then “The books do not balance” in RUNBOOK.md. Details: <code>python main.py audit</code>

    Entries: { $entries }
    On balances: { $balances }, held: { $held }
    The check took { $seconds } s

    Seal of { $sealed } (seals: { $seals }, last entry { $upto }, not sealed yet: { $unsealed }):
    <code>{ $head }</code>
audit-broken-line = • <b>{ $rule }</b>: { $what } (<code>{ $rows }</code>)
audit-rule-i1 = a balance is below zero, or money lies beside a debt
audit-rule-i2 = the money of an order does not fit its price or its end
audit-rule-i3 = a payment was not credited exactly once, or a return is missing
audit-rule-i4 = the past of the ledger was changed, or its guards were taken away
audit-rule-i5 = balances are not the sum of the entries
audit-rule-i6 = nobody looks after an open order or held money
audit-rule-i7 = a provider was called more often than allowed
audit-rule-i8 = a finished order was neither delivered nor paid back
audit-rule-i9 = rows for people or logs hold a secret, a stack trace or a stranger’s order
audit-rule-file = the database file is damaged
