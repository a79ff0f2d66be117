# Orders: the draft's card, the live message, the result, the history.

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
card-money-after = 💰 Balance { $balance }, { $after } afterwards
card-money-short = 💰 Balance { $balance } — { $missing } short
card-no-prompt = What shall I do with the photo? Say what to change, or press “Animate”.
card-edit-result = ✏️ What shall I change in this picture? Say it in words.
card-no-prompt-edit = Say what to do with the photo.
card-no-prompt-animate = Say what should happen in the clip, or simply press “Create”.
card-too-many-photos = I took the first { $limit ->
    [one] { $limit } photo
   *[other] { $limit } photos
 }: this model takes no more.
card-clip-one-photo = A clip takes one photo: we use the first.
card-price-changed = The price has changed: please look and confirm again.
card-option-model = Choose the model:
card-option-ratio = Choose the format:
card-option-size = Choose the size:
card-option-dur = Choose the length:
card-option-res = Choose the sharpness:
card-option-audio = With sound?

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
label-ratio-photo = 📐 As in the photo
label-size = 🔍 { $size }
label-duration = ⏱ { $seconds } s
label-resolution = 📺 { $resolution }
label-sound-on = 🔊 With sound
label-sound-off = 🔇 Without sound
choice-price = { $title } · { $price }

ask-prompt = ✏️ Write the new text.
ask-photo = 📎 Send the photo.
photo-expected = I am waiting for a photo. If you changed your mind, press “Cancel”.
photo-full = This model takes no more photos.

prompt-too-long = Too long: { $limit ->
    [one] { $limit } character is
   *[other] { $limit } characters are
 } allowed, and this has { $over } too many. Please shorten it and send it again.
prompt-missing = First say what to make.
photo-missing = First send a photo.
photo-gone = The photo is no longer kept. Please send it again.
photo-unfit = This photo does not fit: it is too small or too narrow.
too-many-photos = This model does not take so many photos. Send fewer.
unknown-model = This model is gone. Choose another one.
provider-off = This is switched off for now. It will be back soon.
order-stale = This order is out of date. Tell me again what to make.
order-running = This order is already being made.
order-done = This order is done already. It is in /history
order-dropped = The order is cancelled. Nothing was charged.

photo-too_large = The file is too large: at most { $megabytes } MB. Make it smaller and send it again.
photo-too_many_pixels = The picture has too many pixels. Make it smaller and send it again.
photo-too_small = The photo is too small. Send a larger one.
photo-too_narrow = The photo is too narrow. Crop it and send it again.
photo-not_an_image = This is not a picture. Send a JPEG, PNG or WEBP.
photo-heic_unsupported = I cannot read HEIC yet. Send it as a photo, not as a file.
photo-broken = The file is damaged. Please send it again.
photo-unavailable = I could not fetch the photo. Please send it again in a minute.
photo-for-clip-small = The photo is too small for a clip: the short side needs at least { $pixels } pixels. Send a larger one.
photo-for-clip-narrow = The photo is too narrow for a clip. Crop it and send it again.

# --- while it is made -----------------------------------------------------------------------------------
live-queued = 🕓 <b>In the queue</b>
live-queued-behind = 🕓 <b>In the queue</b>, { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } before yours
live-working = 🎨 <b>Drawing…</b> It usually takes 10–40 seconds.
live-working-for = 🎨 <b>Drawing…</b> { $elapsed } so far: longer than usual, still at it.
live-submitting = 📤 <b>Handing it to the studio…</b>
live-submitting-for = 📤 <b>Handing it to the studio…</b> { $elapsed } so far: waiting for an answer; if none comes, I’ll try again.
live-rendering = 🎬 <b>Filming…</b> It usually takes 1–4 minutes.
live-rendering-for = 🎬 <b>Filming…</b> { $elapsed } so far, usually 1–4 minutes.
live-saving = 💾 <b>Done, saving…</b>
live-held = 💰 { $price } held — charged only for a finished result.
elapsed-seconds = { $seconds } s
elapsed-minutes = { $minutes } min { $seconds } s
button-stop = ✖️ Cancel the order

# --- the end ----------------------------------------------------------------------------------------------
final-done = ✅ <b>Done</b> · { $price } charged, your balance is { $balance }
final-failed = ⚠️ <b>It did not work.</b> { $why }
final-returned = 💰 { $price } is back on your balance.
final-cancelled = ✖️ <b>The order is cancelled.</b>
result = { $kind } · { $price }
result-original = 📎 The original, uncompressed
result-too-large = The result is ready, but its file is larger than Telegram takes. We know and will find a way to hand it over. It is kept in /history
result-expired = This result is no longer kept.
button-again = 🔁 Repeat · { $price }
button-try-again = 🔁 Try again
button-edit-result = ✏️ Edit
button-animate-result = 🎬 Animate
stop-too-late = It is being made already and cannot be cancelled. If it fails, the money comes back.
stop-done = The order is cancelled, { $price } is back on your balance.

failure-prompt = The model’s rules do not allow this. Change the text or the photo and try again.
failure-copy = It came out too close to someone’s work or brand. Describe it in your own words.
failure-language = The model does not read this language. Write in English or Russian.
failure-text-only = The model answered in words instead of a picture. Say more exactly what to draw.
failure-complex = This is too complex for one go. Make the description simpler.
failure-photo = The model could not read the photo. Send another one.
failure-photo-gone = The photo is no longer kept. Please send it again.
failure-busy = The service is overloaded or does not answer right now. Please try a little later.
failure-no-result = The model did not manage this order. Try again, or change the description.
failure-ours = The fault is ours, and we already know. Please try later.
failure-timeout = There was no answer for too long. Please try again.
failure-admin = The order was stopped by an administrator.

# --- history -----------------------------------------------------------------------------------------------
history-title = 🗂 <b>History</b>
history-empty = Nothing here yet. Tell me what to draw, and we begin.
history-line-completed = ✅
history-line-failed = ⚠️
history-line-cancelled = ✖️
history-line-pending = 🕓
history-line-processing = ⏳
button-newer = ‹ Newer
button-older = Older ›
job-open = This order is still being made.
