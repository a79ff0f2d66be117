# Orders: the card of a draft, the live message, the result, the history.

# --- kinds --------------------------------------------------------------------------------------------
kind-image = 🎨 Picture
kind-edit = ✏️ Photo edit
kind-video = 🎬 Clip
kind-animate = 🎬 Clip from a photo

# --- the card -----------------------------------------------------------------------------------------
card-photos = 📎 { $count ->
    [one] { $count } photo
   *[other] { $count } photos
 }
card-money = 💰 Balance { $balance }
card-money-after = 💰 Balance { $balance }, { $after } after this order
card-money-short = 💰 Balance { $balance } — you need { $missing } more
card-no-prompt = What should I do with the photo? Describe the change, or tap “Animate”.
card-edit-result = ✏️ What should I change in this picture? Describe it in words.
card-no-prompt-edit = Describe what to do with the photo.
card-no-prompt-animate = Describe what should happen in the clip, or just tap “Create”.
card-too-many-photos = This model takes up to { $limit ->
    [one] { $limit } photo
   *[other] { $limit } photos
 }. The rest were not added.
card-clip-one-photo = A clip uses one photo: the first one.
card-price-changed = The price has changed. Check it and confirm again.
card-option-model = Choose a model:
card-option-ratio = Choose a format:
card-option-size = Choose a size:
card-option-dur = Choose a length:
card-option-res = Choose a quality:
card-option-audio = Add sound?

button-create = Create · { $price }
button-cancel = ✖️ Cancel
button-back = ‹ Back
button-prompt = ✏️ Text
button-photo = 📎 Another photo
button-photo-first = 📎 Photo
button-to-clip = 🎬 Make a clip
button-to-image = 🎨 Make a picture
button-edit-photo = ✏️ Edit
button-animate-photo = 🎬 Animate
label-ratio = 📐 { $ratio }
label-ratio-photo = 📐 Same as the photo
label-size = 🔍 { $size }
label-duration = ⏱ { $seconds } s
label-resolution = 📺 { $resolution }
label-sound-on = 🔊 With sound
label-sound-off = 🔇 No sound
choice-price = { $title } · { $price }

ask-prompt = ✏️ Send the new text.
ask-photo = 📎 Send a photo.
photo-expected = Please send a photo. If you changed your mind, tap “Cancel”.
photo-full = This model doesn’t take more photos.

prompt-too-long = The text is too long: the limit is { $limit ->
    [one] { $limit } character
   *[other] { $limit } characters
 }, yours has { $over } too many. Please shorten it and send it again.
prompt-missing = Describe what to create first.
photo-missing = Send a photo first.
photo-gone = The photo is no longer stored. Please send it again.
photo-unfit = This photo doesn’t fit: it is too small or too narrow.
too-many-photos = This model doesn’t take that many photos. Send fewer.
unknown-model = This model is no longer available. Choose another one.
provider-off = This is unavailable right now. Please try again later.
order-stale = This order is out of date. Please start a new one.
order-running = This order is already in progress.
order-done = This order is already done. Find it in /history
order-dropped = Order cancelled. Nothing was charged.

photo-too_large = The file is too large: the limit is { $megabytes } MB. Make it smaller and send it again.
photo-too_many_pixels = The picture has too many pixels. Make it smaller and send it again.
photo-too_small = The photo is too small. Send a larger one.
photo-too_narrow = The photo is too narrow. Crop it and send it again.
photo-not_an_image = This isn’t a picture. Send a JPEG, PNG or WEBP.
photo-heic_unsupported = HEIC isn’t supported yet. Send it as a photo, not as a file.
photo-broken = The file is damaged. Please send it again.
photo-unavailable = The photo couldn’t be downloaded. Please send it again in a minute.
photo-for-clip-small = The photo is too small for a clip: its short side must be at least { $pixels } pixels. Send a larger one.
photo-for-clip-narrow = The photo is too narrow for a clip. Crop it and send it again.

# --- while an order is in progress ----------------------------------------------------------------------
live-queued = 🕓 <b>In the queue</b>
live-queued-behind = 🕓 <b>In the queue</b>, { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } ahead of yours
live-working = 🎨 <b>Drawing…</b> Usually takes 10–40 seconds.
live-working-for = 🎨 <b>Drawing…</b> { $elapsed } so far. Longer than usual, but still in progress.
live-submitting = 📤 <b>Starting your clip…</b>
live-submitting-for = 📤 <b>Starting your clip…</b> { $elapsed } so far. No answer yet; if none comes, I’ll try again.
live-rendering = 🎬 <b>Making your clip…</b> Usually takes 1–4 minutes.
live-rendering-for = 🎬 <b>Making your clip…</b> { $elapsed } so far, usually 1–4 minutes.
live-saving = 💾 <b>Done, saving…</b>
live-held = 💰 { $price } on hold. You only pay for a finished result.
elapsed-seconds = { $seconds } s
elapsed-minutes = { $minutes } min { $seconds } s
button-stop = ✖️ Cancel order

# --- the end of an order --------------------------------------------------------------------------------
final-done = ✅ <b>Done</b> · { $price } charged, your balance: { $balance }
final-failed = ⚠️ <b>It didn’t work.</b> { $why }
final-returned = 💰 Returned to your balance: { $price }
final-cancelled = ✖️ <b>Order cancelled.</b>
result = { $kind } · { $price }
result-original = 📎 Original, uncompressed
result-too-large = The result is ready, but the file is too large for Telegram. It is stored in /history. If it can’t be delivered, the money returns to your balance.
result-expired = This result is no longer stored.
button-again = 🔁 Repeat · { $price }
button-try-again = 🔁 Try again
button-edit-result = ✏️ Edit
button-animate-result = 🎬 Animate
stop-too-late = The order is already in progress and can’t be cancelled. If it fails, the money returns to your balance.
stop-done = Order cancelled, { $price } is back on your balance.

failure-prompt = The model’s rules don’t allow this. Change the text or the photo and try again.
failure-copy = The result was too close to someone else’s work or brand. Describe it in your own words.
failure-language = The model doesn’t understand this language. Write in English or Russian.
failure-text-only = The model answered with text instead of a picture. Describe more precisely what to draw.
failure-complex = This is too complex for one picture or clip. Make the description simpler.
failure-photo = The model couldn’t read the photo. Send another one.
failure-photo-gone = The photo is no longer stored. Please send it again.
failure-busy = The service is overloaded or not responding. Please try again a little later.
failure-no-result = The model couldn’t complete this order. Try again or change the description.
failure-ours = The error is on the bot’s side. Please try again later.
failure-timeout = There was no answer for too long. Please try again.
failure-admin = An admin stopped this order.

# --- history -----------------------------------------------------------------------------------------------
history-title = 🗂 <b>History</b>
history-empty = Nothing here yet. Describe what to draw to get started.
history-line-completed = ✅
history-line-failed = ⚠️
history-line-cancelled = ✖️
history-line-pending = 🕓
history-line-processing = ⏳
button-newer = ‹ Newer
button-older = Older ›
job-open = This order is still in progress.
