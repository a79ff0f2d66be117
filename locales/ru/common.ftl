# Words and sentences that every part of the bot may need.

# --- errors ---------------------------------------------------------------------------------------
error-unexpected = Что-то пошло не так, и мы уже разбираемся. Деньги в безопасности: спишем их только за готовый результат.
error-try-again = Не получилось. Попробуйте ещё раз через минуту.
error-stale-button = Эта кнопка уже не действует. Начните заново: /start
error-not-understood = Не понял вас. Напишите, что нарисовать, или нажмите /start
error-maintenance = Идут работы. Скоро вернёмся, а пока новые заказы не принимаем. Начатые будут готовы.
error-enough-for-today = На сегодня у нас всё занято: новые заказы примем завтра. Деньги на месте, начатые заказы будут готовы.
error-rate-limited = Слишком часто. Подождите { $seconds ->
    [one] { $seconds } секунду
    [few] { $seconds } секунды
    [many] { $seconds } секунд
   *[other] { $seconds } секунды
 } и продолжайте.
error-too-many-jobs = Уже делаем { $count ->
    [one] { $count } заказ
    [few] { $count } заказа
    [many] { $count } заказов
   *[other] { $count } заказа
 } для вас. Как только один будет готов, можно начать новый.

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
    [one] { $count } видео
   *[other] { $count } видео
}
