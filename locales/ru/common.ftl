# Texts that every part of the bot may need.

# --- errors ---------------------------------------------------------------------------------------
error-unexpected = Что-то пошло не так. Ошибка записана в журнал. Деньги в безопасности: они спишутся только за готовый результат.
error-try-again = Не получилось. Попробуйте ещё раз через минуту.
error-stale-button = Эта кнопка уже не действует. Начните заново: /start
error-not-understood = Не понимаю. Напишите, что нарисовать, или нажмите /start
error-maintenance = Идут технические работы. Новые заказы пока не принимаются, начатые будут готовы. Загляните позже.
error-enough-for-today = Лимит на сегодня исчерпан: новые заказы можно сделать завтра. Деньги на месте, начатые заказы будут готовы.
error-rate-limited = Слишком часто. Подождите { $seconds ->
    [one] { $seconds } секунду
    [few] { $seconds } секунды
    [many] { $seconds } секунд
   *[other] { $seconds } секунды
 } и продолжайте.
error-too-many-jobs = У вас уже { $count ->
    [one] { $count } заказ
    [few] { $count } заказа
    [many] { $count } заказов
   *[other] { $count } заказа
 } в работе. Как только один будет готов, можно начать новый.

# --- amounts of things ----------------------------------------------------------------------------
count-seconds = { $count ->
    [one] { $count } секунда
    [few] { $count } секунды
    [many] { $count } секунд
   *[other] { $count } секунды
}
count-minutes = { $count ->
    [one] { $count } минута
    [few] { $count } минуты
    [many] { $count } минут
   *[other] { $count } минуты
}
count-days = { $count ->
    [one] { $count } день
    [few] { $count } дня
    [many] { $count } дней
   *[other] { $count } дня
}
count-pictures = { $count ->
    [one] { $count } картинка
    [few] { $count } картинки
    [many] { $count } картинок
   *[other] { $count } картинки
}
count-clips = { $count ->
    [one] { $count } клип
    [few] { $count } клипа
    [many] { $count } клипов
   *[other] { $count } клипа
}
