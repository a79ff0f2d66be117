"""Use cases and outside systems: what the shop does, without Telegram's faces and without SQL."""
