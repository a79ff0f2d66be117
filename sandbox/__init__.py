"""Simulators of the four outside systems on one loopback port; knows nothing of the product.

`python -m sandbox` starts Telegram's Bot API, YooKassa, Gemini and Kling with the chat page. Each simulator is a
subpackage with one `mount(app, world)`; what they share (clock, faults, call log) is in `world.py`. The field that
names a simulator in a control request, in the call log and in tests is called `face`.
"""
