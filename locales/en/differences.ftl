# The provider's books and ours compared: what administrators read.

corrected-up = 💰 We corrected the books: { $amount } added. The balance is { $balance }
corrected-down = We corrected the books: { $amount } taken. The balance is { $balance }
command-reconcile = Compare payments with YooKassa
command-fix = Decide about differences in payments
reconcile-usage = Like this: /reconcile or /reconcile 30 (days back, up to { $days })
reconcile-unreachable = The payment service did not answer to the end. Try later: nothing has changed.
reconcile-done = 🔎 Compared: { $payments } payments, { $refunds } refunds. Settled by itself: { $settled }. Could not be compared: { $failed }. Waiting for a decision: { $open } (/fix)
fix-usage = Like this: /fix lists, /fix 12 apply books, /fix 12 dismiss closes without an entry
fix-none = ✅ No difference waits for a decision.
fix-list = ⚖️ Waiting for a decision: { $count }
fix-line = <b>No { $id }</b> of { $when }: { $what }. Payment <code>{ $payment }</code>, the payment service has { $theirs }, person <code>{ $user }</code>
fix-proposal = Proposal: { $what }
fix-propose-nothing = no entry, look at the cabinet
fix-propose-credit = credit { $amount } to <code>{ $user }</code>
fix-propose-settle = credit { $amount } as any other payment → <code>{ $user }</code>
fix-propose-take = take { $amount } from <code>{ $user }</code>
fix-applied = ✅ No { $id }: done, { $what }.
fix-dismissed = No { $id } closed without an entry (the proposal was: { $what }).
fix-impossible = No { $id }: decided already, nothing to book, or its money has moved since it was found. To close it: /fix { $id } dismiss
alert-difference = ⚖️ Difference No { $id } with the payment service ({ $kind }): see /fix
difference-unknown-payment = the payment service has a payment that we do not know
difference-second-payment = one order was paid twice
difference-sum-differs = the sums differ
difference-not-credited = paid and not credited
difference-credited-unknown = credited here, unknown to the payment service
difference-credited-unpaid = credited here, not paid at the payment service
difference-quarantined = set aside: it does not fit the order
difference-refund-of-unknown = a return of a payment that we do not know
difference-refund-not-taken = returned there and not taken back here
difference-refund-sum-differs = the sum of a return differs
difference-refund-unknown = taken back here, and the payment service knows no return

command-export = Export the books as CSV
export-usage = Like this: /export ledger 2026-11-01 2026-11-30 (or payments, refunds, receipts, margin; days in Moscow, both included)
export-done = 📄 Rows: { $count }
export-too-big = The file is too big for the chat. Take a shorter period, or export on the server: python main.py export
