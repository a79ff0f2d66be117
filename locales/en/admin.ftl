# What admins read.

admin-panel =
    🛠 <b>Admin commands</b>

    /stats — shop overview
    /user <code>id</code> or <code>@name</code> — user details
    /grant <code>id rubles [note]</code> — add money to a balance
    /ban <code>id</code> · /unban <code>id</code>
    /job <code>id</code> — order details
    /refund <code>id [note]</code> — refund an order to the balance
    /refund_payment <code>id [rubles]</code> — refund a payment to where it came from
    /reconcile <code>[days]</code> — compare payments with YooKassa and Telegram Stars
    /fix — differences waiting for a decision
    /margin <code>[days]</code> — margin by model and day
    /export <code>ledger from to</code> — transactions as CSV (also payments, refunds, receipts, margin)
    /maintenance <code>on</code> or <code>off</code> — pause or resume new orders
admin-stats =
    📊 <b>Shop overview</b>

    Users: { $users } (+{ $users_today } in 24 h)
    On balances: { $balances }
    On hold: { $held }
    Debts: { $debts }

    <b>Last 24 hours</b>
    Top-ups: { $topups }
    Revenue: { $charged }
    Provider costs: { $cost }
    Orders: { $jobs }
    Made but not charged: { $lost }

    In progress: { $open }
    Not delivered: { $undelivered }
    Payments to review: { $quarantined }
    New orders paused: { $maintenance }
admin-jobs-none = none
admin-jobs-pending = queued
admin-jobs-processing = in progress
admin-jobs-completed = done
admin-jobs-failed = failed
admin-jobs-cancelled = cancelled
admin-on = yes
admin-off = no
admin-user =
    👤 <b>{ $name }</b> { $username }
    <code>{ $id }</code>, language { $language }, since { $since }

    Balance: { $balance }
    On hold: { $held }
    Debt: { $debt }
    Paid in total: { $paid }
    Orders: { $jobs }, in progress: { $open }
    { $marks }
    { $payments }
admin-user-banned = 🚫 banned
admin-user-unreachable = 🔕 blocked the bot
admin-user-fine = ✅ active
admin-granted = { $amount } added to <code>{ $id }</code>. The balance is now { $balance }
admin-granted-stranger = ⚠️ This user has never written to the bot. Check the id.
admin-banned = <code>{ $id }</code> is banned.
admin-ban-admin = This user is an admin. To remove an admin, edit <code>ADMIN_IDS</code> in the settings.
admin-unbanned = <code>{ $id }</code> is no longer banned.
admin-not-found = Not found.
admin-job =
    🧾 <code>{ $id }</code>
    { $kind } · { $model } · { $status }
    User: <code>{ $user }</code>
    Price: { $price }, charged: { $charged }
    Error: { $error }
    Delivered: { $delivered }
    Parameters: <code>{ $params }</code>
    <blockquote expandable>{ $prompt }</blockquote>
admin-job-events = <b>Events</b>
job-event-confirmed = order confirmed, money on hold
job-event-claimed = work started
job-event-submitted = sent to the provider
job-event-rendered = clip ready, downloading it
job-event-stored = result saved, money charged
job-event-crashed = internal error, will retry
job-event-cut-off = work interrupted, will continue
job-event-not-found = provider has no such order yet, will check again
job-event-lost = no answer received, checking: { $code }
job-event-search = could not check if the order arrived: { $code }
job-event-fetch = clip not downloaded, getting a new link: { $code }
job-event-compensated = refunded: { $code }
job-event-cancelled = cancelled by the user
job-event-refunded = stopped by an admin, refunded
job-event-timeout = out of time, refunded
job-event-failed = failed: { $code }
job-event-again = provider error, will retry: { $code }
admin-job-calls = <b>Calls</b>
admin-job-call = { $model }: { $outcome } { $code } { $cost }
admin-refunded = { $amount } refunded for order <code>{ $id }</code>.
admin-refunded-before = Order <code>{ $id }</code> was already refunded on { $when }: { $amount }. Nothing was added this time.
admin-refund-impossible = There is nothing to refund for this order.
admin-maintenance-on = New orders are paused. Orders in progress will be finished.
admin-maintenance-off = New orders are accepted again.
admin-usage-user = Usage: /user 12345 or /user @name
admin-usage-grant = Usage: /grant 12345 100 thanks for the help (rubles from 0.01 to 1,000,000)
admin-usage-ban = Usage: /ban 12345
admin-usage-unban = Usage: /unban 12345
admin-usage-job = Usage: /job id
admin-usage-refund = Usage: /refund id note
admin-usage-maintenance = Usage: /maintenance on or /maintenance off

command-admin = Admin commands
command-stats = Shop overview
command-user = User details by id or @name
command-grant = Add money to a balance
command-ban = Ban a user
command-unban = Unban a user
command-job = Order details
command-refund = Refund an order
command-maintenance = Pause or resume new orders

# --- alerts: something needs an admin -------------------------------------------------------------------
alert-quarantine = ⚠️ Payment <code>{ $payment_id }</code> does not match YooKassa’s data and was not credited: { $reason }. Check it in the YooKassa dashboard, then decide with /reconcile and /fix.
alert-yookassa = ⚠️ YooKassa rejects requests ({ $code }): { $detail }
alert-spend = ⚠️ The daily limit for provider costs (${ $limit }) is reached: new orders are refused until midnight UTC. To change it, set PROVIDER_SPEND_PER_DAY in .env and restart.
alert-refund = ⚠️ Refund <code>{ $refund }</code> of payment <code>{ $payment }</code> could not be recorded. Check it in the YooKassa dashboard.
alert-refund-seen = ℹ️ YooKassa refunded { $sum } of payment <code>{ $payment }</code>. The amount was deducted from the balance of <code>{ $user }</code>.
alert-hint-lost = ⚠️ YooKassa’s notification <code>{ $hint }</code> could not be processed for several days ({ $error }). Check it in the YooKassa dashboard.
alert-provider = ⚠️ Provider { $provider } is not working ({ $code }): { $detail }
alert-storage = ⚠️ Results cannot be saved. Check the disk.
alert-unmade = ⚠️ An order for the model <code>{ $model }</code> could not be made ({ $code }): the model is not in the catalogue, or its provider has no key. The user got the money back.
alert-interrupted = ⚠️ Order <code>{ $job_id }</code> failed because of a bug. The user got the money back. See the worker’s log for details.
alert-disk = ⚠️ The disk that holds the database has { $percent } % left ({ $free } MB). Once it is full, the shop can take neither orders nor payments. Make room: RUNBOOK.md, “The disk is full”, says what may be deleted.
alert-wal = ⚠️ The database’s log <code>{ $file }</code> has grown to { $size } MB: somebody has kept the database open for long. The data is safe; do not delete the file. RUNBOOK.md, “The write-ahead log grows”, says what to do.
alert-backup-failed = ⚠️ No backup was made: { $detail }. Earlier copies are safe. RUNBOOK.md, “Backup and restore”, says what to do.
alert-backup-damaged = ⚠️ The backup is damaged: <code>{ $name }</code> was moved to <code>{ $folder }</code>. Earlier backups are safe. Check the disk and run <code>python main.py audit</code>. { $detail }
alert-backup-faulty = ⚠️ The books in the backup do not balance: <code>{ $name }</code> was moved to <code>{ $folder }</code>. Earlier backups are safe. Run <code>python main.py audit</code>. { $detail }
alert-other = ⚠️ Needs attention: { $text }
