# What administrators read.

admin-panel =
    🛠 <b>Administration</b>

    /stats — the shop at a glance
    /user <code>id</code> or <code>@name</code> — a person
    /grant <code>id rubles [note]</code> — give money
    /ban <code>id</code> · /unban <code>id</code>
    /job <code>id</code> — the story of an order
    /refund <code>id [note]</code> — money back for an order
    /refund_payment <code>id [rubles]</code> — return a payment to where it came from
    /reconcile <code>[days]</code> — compare payments with YooKassa and Telegram Stars
    /fix — differences that wait for a decision
    /margin <code>[days]</code> — the margin by model and day
    /export <code>ledger from to</code> — the books as CSV (also payments, refunds, receipts, margin)
    /maintenance <code>on</code> or <code>off</code> — pause new orders
admin-stats =
    📊 <b>The shop</b>

    People: { $users } (+{ $users_today } in 24 h)
    On balances: { $balances }
    Held: { $held }
    Debts: { $debts }

    <b>Last 24 hours</b>
    Top-ups: { $topups }
    Earned: { $charged }
    Paid to providers: { $cost }
    Orders: { $jobs }
    Made at your own cost: { $lost }

    Being made: { $open }
    Not delivered: { $undelivered }
    Payments in doubt: { $quarantined }
    Pause: { $maintenance }
admin-jobs-none = none
admin-jobs-pending = waiting
admin-jobs-processing = being made
admin-jobs-completed = done
admin-jobs-failed = failed
admin-jobs-cancelled = cancelled
admin-on = on
admin-off = off
admin-user =
    👤 <b>{ $name }</b> { $username }
    <code>{ $id }</code>, language { $language }, since { $since }

    Balance: { $balance }
    Held: { $held }
    Debt: { $debt }
    Paid in all: { $paid }
    Orders: { $jobs }, being made { $open }
    { $marks }
    { $payments }
admin-user-banned = 🚫 no access
admin-user-unreachable = 🔕 blocked the bot
admin-user-fine = ✅ all is well
admin-granted = { $amount } given → <code>{ $id }</code>. The balance is { $balance } now
admin-granted-stranger = ⚠️ This person has not written to the bot yet: check the number.
admin-banned = <code>{ $id }</code> has no access any more.
admin-ban-admin = This is an administrator: only <code>ADMIN_IDS</code> in the settings takes that access away.
admin-unbanned = <code>{ $id }</code> has access again.
admin-not-found = Not found.
admin-job =
    🧾 <code>{ $id }</code>
    { $kind } · { $model } · { $status }
    Person: <code>{ $user }</code>
    Price: { $price }, charged: { $charged }
    Error: { $error }
    Delivered: { $delivered }
    Parameters: <code>{ $params }</code>
    <blockquote expandable>{ $prompt }</blockquote>
admin-job-events = <b>Events</b>
job-event-confirmed = order taken, money held
job-event-claimed = work begun
job-event-submitted = handed to the studio
job-event-rendered = clip filmed, fetching it
job-event-stored = result stored, money charged
job-event-crashed = a fault of ours, to be tried again
job-event-cut-off = work interrupted, to be continued
job-event-not-found = the service does not know the order yet, asking again
job-event-lost = no answer came back, finding out: { $code }
job-event-search = could not find out whether the order arrived: { $code }
job-event-fetch = could not fetch the clip, asking for a fresh address: { $code }
job-event-compensated = money given back: { $code }
job-event-cancelled = cancelled by the person
job-event-refunded = stopped by an administrator, money given back
job-event-timeout = time ran out, money given back
job-event-failed = it did not work: { $code }
job-event-again = the service failed, to be tried again: { $code }
admin-job-calls = <b>Calls</b>
admin-job-call = { $model }: { $outcome } { $code } { $cost }
admin-refunded = { $amount } given back for <code>{ $id }</code>.
admin-refunded-before = The money for <code>{ $id }</code> was given back on { $when } already: { $amount }. Nothing was given a second time.
admin-refund-impossible = There is nothing to give back for this order.
admin-maintenance-on = New orders are paused. Those under way will be finished.
admin-maintenance-off = We take orders again.
admin-usage-user = Like this: /user 12345 or /user @name
admin-usage-grant = Like this: /grant 12345 100 for the help (rubles from 0.01 to 1,000,000)
admin-usage-ban = Like this: /ban 12345
admin-usage-unban = Like this: /unban 12345
admin-usage-job = Like this: /job id
admin-usage-refund = Like this: /refund id note
admin-usage-maintenance = Like this: /maintenance on or /maintenance off

command-admin = Administration
command-stats = The shop at a glance
command-user = A person by id or @name
command-grant = Give rubles
command-ban = Close access
command-unban = Open access
command-job = The story of an order
command-refund = Money back for an order
command-maintenance = Pause new orders

# --- alerts: the shop calls for a person ----------------------------------------------------------------
alert-quarantine = ⚠️ Payment <code>{ $payment_id }</code> does not match YooKassa’s data and was not credited: { $reason }
alert-yookassa = ⚠️ YooKassa refuses our requests ({ $code }): { $detail }
alert-spend = ⚠️ The daily limit of provider costs (${ $limit }) is used up: new orders are refused until midnight UTC. To change it: PROVIDER_SPEND_PER_DAY in .env, then restart.
alert-refund = ⚠️ Refund <code>{ $refund }</code> of payment <code>{ $payment }</code> could not be booked: look at YooKassa’s cabinet.
alert-refund-seen = ℹ️ YooKassa returned { $sum } of payment <code>{ $payment }</code>: taken from the balance of <code>{ $user }</code>.
alert-hint-lost = ⚠️ YooKassa’s message <code>{ $hint }</code> could not be acted upon for days ({ $error }): look at the cabinet.
alert-provider = ⚠️ The provider { $provider } does not work ({ $code }): { $detail }
alert-storage = ⚠️ Results cannot be stored: look at the disk.
alert-unmade = ⚠️ An order for the model <code>{ $model }</code> cannot be made ({ $code }): it is not in the catalogue, or its provider has no key. The person has the money back.
alert-interrupted = ⚠️ The order <code>{ $job_id }</code> failed because of a fault in the program; the person has the money back. The log of the worker says what happened.
alert-disk = ⚠️ The disk that holds the database has { $percent } % left ({ $free } MB). Once it is full, the shop can take neither orders nor payments. Make room: RUNBOOK.md, “The disk is full”, says what may be deleted.
alert-wal = ⚠️ The database’s log <code>{ $file }</code> has grown to { $size } MB: somebody has kept the database open for long. The data is safe; do not delete the file. RUNBOOK.md, “The write-ahead log grows”, says what to do.
alert-backup-failed = ⚠️ No backup was made: { $detail }. Earlier copies are safe. RUNBOOK.md, “Backup and restore”, says what to do.
alert-backup-damaged = ⚠️ The backup is damaged: <code>{ $name }</code> was set aside in <code>{ $folder }</code>, earlier ones are safe. Look at the disk and run <code>python main.py audit</code>. { $detail }
alert-backup-faulty = ⚠️ The books of the backup do not balance: <code>{ $name }</code> was set aside in <code>{ $folder }</code>, earlier ones are safe. Run <code>python main.py audit</code>. { $detail }
alert-other = ⚠️ The shop needs a person: { $text }
