"""From words to a picture: the card, its options, the confirmation and what the person sees until it is done."""

from __future__ import annotations

from tests.bot_fixture import ANYA, House, labels_of, words_of


async def test_three_taps_to_a_picture(house: House) -> None:
    """From the first message to a picture: /start, a sample, Create."""
    anya = house.person()
    await house.give(ANYA, 100)
    await anya.say("/start")
    await anya.sees("Напишите, что нарисовать")
    await anya.press("Лиса на Луне")
    card = await anya.sees("Рыжая лиса")
    assert "Создать · 12 ₽" in labels_of(card)[0].replace("\u00a0", " ")
    await anya.press("Создать")
    await anya.sees("Готово · списано 12\u00a0₽")
    photos = await anya.gets("photo")
    assert "Рыжая лиса" in words_of(photos[0])
    await anya.gets("document")
    assert await house.db.get_balance(ANYA) == 8_800
