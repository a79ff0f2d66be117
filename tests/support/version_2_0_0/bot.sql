BEGIN TRANSACTION;
CREATE TABLE admin_log (
	id INTEGER NOT NULL, 
	admin_id INTEGER NOT NULL, 
	action TEXT NOT NULL, 
	target TEXT NOT NULL, 
	details TEXT DEFAULT '{}' NOT NULL, 
	created_at INTEGER NOT NULL, 
	CONSTRAINT pk_admin_log PRIMARY KEY (id)
)
 STRICT

;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE assets (
	id TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	job_id TEXT, 
	role TEXT NOT NULL, 
	store_key TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	size INTEGER NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	duration_ms INTEGER, 
	file_id TEXT, 
	preview_file_id TEXT, 
	created_at INTEGER NOT NULL, 
	expires_at INTEGER NOT NULL, 
	deleted_at INTEGER, 
	CONSTRAINT pk_assets PRIMARY KEY (id), 
	CONSTRAINT ck_assets_role_known CHECK (role IN ('input', 'result')), 
	CONSTRAINT ck_assets_not_empty CHECK (size > 0 AND width > 0 AND height > 0), 
	CONSTRAINT fk_assets_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "assets" VALUES('08769c6e1a0fc332',1001,'tmwrbuayw3ax6cm2','result','96/e6/96e6b6bc5f927b9f505f685b54cad5dafec8c552ea5f214aa8069b7c5c0389fb-20b0e1a5c1a19185.jpg','96e6b6bc5f927b9f505f685b54cad5dafec8c552ea5f214aa8069b7c5c0389fb','image/jpeg',25056,410,410,NULL,'BQACAgIAAxgK5LF8yGbNzsk2ZKiBrgyJ61IXIecikIrvGqvhp8XTFLXuAy_jihL7eJK8xs','AgACAgIAAxkq8QPsSFhtvYqqU-9B-ozc9CGB1-OSCHbRZQBVindee6tkKiJ2Ln5D03XNcm',1796020619412,1798612619412,NULL);
INSERT INTO "assets" VALUES('0bzkobsaymonkfdr',1002,NULL,'input','cd/9a/cd9a5c212b57c69a517cb7aafc4e0cb3670d66843115e8658d95a0ed762d4c1f-5e2d18ee838f6bce.jpg','cd9a5c212b57c69a517cb7aafc4e0cb3670d66843115e8658d95a0ed762d4c1f','image/jpeg',2230,320,320,NULL,NULL,NULL,1796020621602,1796279821602,NULL);
CREATE TABLE balances (
	user_id INTEGER NOT NULL, 
	balance INTEGER NOT NULL, 
	entries INTEGER NOT NULL, 
	last_id INTEGER NOT NULL, 
	CONSTRAINT pk_balances PRIMARY KEY (user_id), 
	CONSTRAINT ck_balances_never_negative CHECK (balance >= 0), 
	CONSTRAINT fk_balances_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "balances" VALUES(1001,36600,4,6);
INSERT INTO "balances" VALUES(1002,37800,3,7);
CREATE TABLE conversations (
	"key" TEXT NOT NULL, 
	state TEXT, 
	data TEXT DEFAULT '{}' NOT NULL, 
	updated_at INTEGER NOT NULL, 
	CONSTRAINT pk_conversations PRIMARY KEY ("key")
)
 STRICT

;
INSERT INTO "conversations" VALUES('900:1001:1001:default',NULL,'{"draft": "0f1owuv8ih0b11n8"}',1796020623626);
INSERT INTO "conversations" VALUES('900:1002:1002:default','Waiting:prompt','{"draft": "gmvlw95mrgdpnvg3"}',1796020624692);
CREATE TABLE debts (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	amount INTEGER NOT NULL, 
	cause TEXT NOT NULL, 
	settled INTEGER DEFAULT '0' NOT NULL, 
	created_at INTEGER NOT NULL, 
	CONSTRAINT pk_debts PRIMARY KEY (id), 
	CONSTRAINT ck_debts_settled_in_range CHECK (amount > 0 AND settled BETWEEN 0 AND amount), 
	CONSTRAINT fk_debts_user_id FOREIGN KEY(user_id) REFERENCES users (id), 
	CONSTRAINT uq_debts_cause UNIQUE (cause)
)
 STRICT

;
CREATE TABLE differences (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	payment_id TEXT, 
	user_id INTEGER, 
	details TEXT DEFAULT '{}' NOT NULL, 
	proposal TEXT DEFAULT '{}' NOT NULL, 
	state TEXT DEFAULT 'open' NOT NULL, 
	created_at INTEGER NOT NULL, 
	decided_at INTEGER, 
	decided_by INTEGER, 
	CONSTRAINT pk_differences PRIMARY KEY (id), 
	CONSTRAINT ck_differences_state_known CHECK (state IN ('applied', 'dismissed', 'open')), 
	CONSTRAINT uq_differences_key UNIQUE ("key")
)
 STRICT

;
CREATE TABLE drafts (
	id TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	chat_id INTEGER NOT NULL, 
	message_id INTEGER, 
	type TEXT NOT NULL, 
	model TEXT NOT NULL, 
	prompt TEXT DEFAULT '' NOT NULL, 
	params TEXT DEFAULT '{}' NOT NULL, 
	inputs TEXT DEFAULT '[]' NOT NULL, 
	parent_job_id TEXT, 
	revision INTEGER DEFAULT '0' NOT NULL, 
	created_at INTEGER NOT NULL, 
	updated_at INTEGER NOT NULL, 
	CONSTRAINT pk_drafts PRIMARY KEY (id), 
	CONSTRAINT ck_drafts_type_known CHECK (type IN ('animate', 'edit', 'image', 'video')), 
	CONSTRAINT fk_drafts_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "drafts" VALUES('tmwrbuayw3ax6cm2',1001,1001,12,'image','nb21','рыжая лиса в лесу','{"ratio": "1:1", "size": "1K"}','[]',NULL,1,1796020617375,1796020617393);
INSERT INTO "drafts" VALUES('0s4zbj77w6jijhoh',1001,1001,16,'image','nb21','маяк на скале','{"ratio": "1:1", "size": "1K"}','[]',NULL,1,1796020621446,1796020621462);
INSERT INTO "drafts" VALUES('5qa0wg1pp0ussq33',1002,1002,18,'edit','nb21','сделай ночь','{"ratio": null, "size": "1K"}','["0bzkobsaymonkfdr"]',NULL,2,1796020621616,1796020621664);
INSERT INTO "drafts" VALUES('oi3efzj630eq91f4',1001,1001,22,'video','k30t','волна накатывает на берег','{"duration": 5, "resolution": "720p", "ratio": "9:16", "audio": false}','[]',NULL,1,1796020621814,1796020621838);
INSERT INTO "drafts" VALUES('wd8ezptpfjgowm65',1002,1002,26,'video','k30t','поезд едет через лес','{"duration": 5, "resolution": "720p", "ratio": "9:16", "audio": false}','[]',NULL,1,1796020621974,1796020621998);
INSERT INTO "drafts" VALUES('0f1owuv8ih0b11n8',1001,1001,30,'image','nb21','кит в облаках','{"ratio": "1:1", "size": "1K"}','[]',NULL,1,1796020623602,1796020624559);
INSERT INTO "drafts" VALUES('gmvlw95mrgdpnvg3',1002,1002,32,'image','nb21','замок из песка','{"ratio": "1:1", "size": "1K"}','[]',NULL,1,1796020624605,1796020624668);
CREATE TABLE flags (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	changed_at INTEGER NOT NULL, 
	CONSTRAINT pk_flags PRIMARY KEY (name)
)
 STRICT

;
INSERT INTO "flags" VALUES('commands','7177fa647ced4f5b10f8d78dbdde1c7ed28939e2d91fc0d459de2314d9cf02c8',1796020616135);
INSERT INTO "flags" VALUES('yookassa_compared_ms','1796020616266',1796020616447);
INSERT INTO "flags" VALUES('audit_due_ms','1796104800000',1796020616342);
INSERT INTO "flags" VALUES('backup_due_ms','1796020916360',1796020616360);
INSERT INTO "flags" VALUES('provider_spend','20787:37589',1796020619357);
CREATE TABLE inbox (
	id INTEGER NOT NULL, 
	source TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	body TEXT NOT NULL, 
	received_at INTEGER NOT NULL, 
	due_at INTEGER, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	error TEXT, 
	CONSTRAINT pk_inbox PRIMARY KEY (id), 
	CONSTRAINT uq_inbox_source_key UNIQUE (source, "key")
)
 STRICT

;
INSERT INTO "inbox" VALUES(1,'telegram','172136254','{"update_id":172136254,"message":{"message_id":1,"date":1796023756,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"/start","entities":[{"type":"bot_command","offset":0,"length":6}]}}',1796020616375,NULL,0,NULL);
INSERT INTO "inbox" VALUES(2,'telegram','172136255','{"update_id":172136255,"message":{"message_id":3,"date":1796023851,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"/topup","entities":[{"type":"bot_command","offset":0,"length":6}]}}',1796020616604,NULL,0,NULL);
INSERT INTO "inbox" VALUES(3,'telegram','172136256','{"update_id":172136256,"callback_query":{"id":"46759319687447761","from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"chat_instance":"-7927819","message":{"message_id":5,"date":1796023864,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"➕ Пополнить баланс\n\nНа балансе 0 ₽. Платёж проходит через ЮKassa, никаких подписок и автосписаний.","entities":[{"type":"bold","offset":2,"length":16}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"100 ₽","callback_data":"t:10000:"},{"text":"300 ₽","callback_data":"t:30000:"},{"text":"500 ₽","callback_data":"t:50000:"}],[{"text":"1 000 ₽","callback_data":"t:100000:"},{"text":"3 000 ₽","callback_data":"t:300000:"}],[{"text":"✏️ Другая сумма","callback_data":"t:-1:"}]]}},"data":"t:50000:"}}',1796020616673,NULL,0,NULL);
INSERT INTO "inbox" VALUES(4,'yookassa','payment.succeeded:329fe2cc-000f-5000-8000-7ed41e2feb89','{"event": "payment.succeeded", "object": {"id": "329fe2cc-000f-5000-8000-7ed41e2feb89"}}',1796020616861,NULL,0,NULL);
INSERT INTO "inbox" VALUES(5,'telegram','172136257','{"update_id":172136257,"message":{"message_id":6,"date":1796023942,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"text":"/start","entities":[{"type":"bot_command","offset":0,"length":6}]}}',1796020617050,NULL,0,NULL);
INSERT INTO "inbox" VALUES(6,'telegram','172136258','{"update_id":172136258,"message":{"message_id":8,"date":1796023959,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"text":"/topup","entities":[{"type":"bot_command","offset":0,"length":6}]}}',1796020617134,NULL,0,NULL);
INSERT INTO "inbox" VALUES(7,'telegram','172136259','{"update_id":172136259,"callback_query":{"id":"46759319687447762","from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"chat_instance":"-7935738","message":{"message_id":10,"date":1796023963,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"➕ Пополнить баланс\n\nНа балансе 0 ₽. Платёж проходит через ЮKassa, никаких подписок и автосписаний.","entities":[{"type":"bold","offset":2,"length":16}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"100 ₽","callback_data":"t:10000:"},{"text":"300 ₽","callback_data":"t:30000:"},{"text":"500 ₽","callback_data":"t:50000:"}],[{"text":"1 000 ₽","callback_data":"t:100000:"},{"text":"3 000 ₽","callback_data":"t:300000:"}],[{"text":"✏️ Другая сумма","callback_data":"t:-1:"}]]}},"data":"t:50000:"}}',1796020617155,NULL,0,NULL);
INSERT INTO "inbox" VALUES(8,'yookassa','payment.succeeded:329fe324-000f-5000-8000-612ea6cecc1b','{"event": "payment.succeeded", "object": {"id": "329fe324-000f-5000-8000-612ea6cecc1b"}}',1796020617238,NULL,0,NULL);
INSERT INTO "inbox" VALUES(9,'telegram','172136260','{"update_id":172136260,"message":{"message_id":11,"date":1796023991,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"рыжая лиса в лесу"}}',1796020617289,NULL,0,NULL);
INSERT INTO "inbox" VALUES(10,'telegram','172136261','{"update_id":172136261,"callback_query":{"id":"46759319687447763","from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"chat_instance":"-7927819","message":{"message_id":12,"date":1796024011,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"🎨 Картинка\nрыжая лиса в лесу\nNano Banana 2.1 · 📐 1:1 · 🔍 1K\n\n💰 На балансе 500 ₽, останется 488 ₽","entities":[{"type":"bold","offset":0,"length":11},{"type":"expandable_blockquote","offset":12,"length":17}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 12 ₽","style":"success","callback_data":"go:tmwrbuayw3ax6cm2:1200"}],[{"text":"🤖 Nano Banana 2.1","callback_data":"o:tmwrbuayw3ax6cm2:model"}],[{"text":"📐 1:1","callback_data":"o:tmwrbuayw3ax6cm2:ratio"},{"text":"🔍 1K","callback_data":"o:tmwrbuayw3ax6cm2:size"}],[{"text":"✏️ Текст","callback_data":"c:tmwrbuayw3ax6cm2:prompt"},{"text":"📎 Фото","callback_data":"c:tmwrbuayw3ax6cm2:photo"}],[{"text":"🎬 Сделать клип","callback_data":"c:tmwrbuayw3ax6cm2:clip"}],[{"text":"✖️ Отмена","callback_data":"c:tmwrbuayw3ax6cm2:drop"}]]}},"data":"go:tmwrbuayw3ax6cm2:1200"}}',1796020617402,NULL,0,NULL);
INSERT INTO "inbox" VALUES(11,'telegram','172136262','{"update_id":172136262,"message":{"message_id":15,"date":1796024816,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"маяк на скале"}}',1796020621417,NULL,0,NULL);
INSERT INTO "inbox" VALUES(12,'telegram','172136263','{"update_id":172136263,"callback_query":{"id":"46759319687447764","from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"chat_instance":"-7927819","message":{"message_id":16,"date":1796024825,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"🎨 Картинка\nмаяк на скале\nNano Banana 2.1 · 📐 1:1 · 🔍 1K\n\n💰 На балансе 488 ₽, останется 476 ₽","entities":[{"type":"bold","offset":0,"length":11},{"type":"expandable_blockquote","offset":12,"length":13}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 12 ₽","style":"success","callback_data":"go:0s4zbj77w6jijhoh:1200"}],[{"text":"🤖 Nano Banana 2.1","callback_data":"o:0s4zbj77w6jijhoh:model"}],[{"text":"📐 1:1","callback_data":"o:0s4zbj77w6jijhoh:ratio"},{"text":"🔍 1K","callback_data":"o:0s4zbj77w6jijhoh:size"}],[{"text":"✏️ Текст","callback_data":"c:0s4zbj77w6jijhoh:prompt"},{"text":"📎 Фото","callback_data":"c:0s4zbj77w6jijhoh:photo"}],[{"text":"🎬 Сделать клип","callback_data":"c:0s4zbj77w6jijhoh:clip"}],[{"text":"✖️ Отмена","callback_data":"c:0s4zbj77w6jijhoh:drop"}]]}},"data":"go:0s4zbj77w6jijhoh:1200"}}',1796020621464,NULL,0,NULL);
INSERT INTO "inbox" VALUES(13,'telegram','172136264','{"update_id":172136264,"message":{"message_id":17,"date":1796024845,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"photo":[{"file_id":"AgACAgIAAxlYL6pgNZfoZzr3UbaWwE2gXuGQljj3tT1MinIUX0NRJ8_ntId3pXRCBqCIa1","file_unique_id":"AQAD80883ec206f5","width":90,"height":90,"file_size":774},{"file_id":"AgACAgIAAxkFY7-bSLLi-rKlfFlu567OouR9TvNUP-o6WPxGYnttJkSDfhMGyjB8UYFzOy","file_unique_id":"AQAD1cec39949410","width":320,"height":320,"file_size":2230}],"caption":"сделай ночь"}}',1796020621561,NULL,0,NULL);
INSERT INTO "inbox" VALUES(14,'telegram','172136265','{"update_id":172136265,"callback_query":{"id":"46759319687447765","from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"chat_instance":"-7935738","message":{"message_id":18,"date":1796024865,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"✏️ Правка фото\nсделай ночь\nNano Banana 2.1 · 📐 Как на фото · 🔍 1K · 📎 1 фото\n\n💰 На балансе 500 ₽, останется 488 ₽","entities":[{"type":"bold","offset":0,"length":14},{"type":"expandable_blockquote","offset":15,"length":11}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 12 ₽","style":"success","callback_data":"go:5qa0wg1pp0ussq33:1200"}],[{"text":"🤖 Nano Banana 2.1","callback_data":"o:5qa0wg1pp0ussq33:model"}],[{"text":"📐 Как на фото","callback_data":"o:5qa0wg1pp0ussq33:ratio"},{"text":"🔍 1K","callback_data":"o:5qa0wg1pp0ussq33:size"}],[{"text":"✏️ Текст","callback_data":"c:5qa0wg1pp0ussq33:prompt"},{"text":"📎 Ещё фото","callback_data":"c:5qa0wg1pp0ussq33:photo"}],[{"text":"🎬 Сделать клип","callback_data":"c:5qa0wg1pp0ussq33:clip"}],[{"text":"✖️ Отмена","callback_data":"c:5qa0wg1pp0ussq33:drop"}]]}},"data":"go:5qa0wg1pp0ussq33:1200"}}',1796020621674,NULL,0,NULL);
INSERT INTO "inbox" VALUES(15,'telegram','172136266','{"update_id":172136266,"message":{"message_id":19,"date":1796024876,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"🎬 Клип"}}',1796020621728,NULL,0,NULL);
INSERT INTO "inbox" VALUES(16,'telegram','172136267','{"update_id":172136267,"message":{"message_id":21,"date":1796024891,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"волна накатывает на берег"}}',1796020621790,NULL,0,NULL);
INSERT INTO "inbox" VALUES(17,'telegram','172136268','{"update_id":172136268,"callback_query":{"id":"46759319687447766","from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"chat_instance":"-7927819","message":{"message_id":22,"date":1796024900,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"🎬 Клип\nволна накатывает на берег\nKling 3.0 Turbo · ⏱ 5 с · 📺 720p · 📐 9:16\n\n💰 На балансе 476 ₽, останется 366 ₽","entities":[{"type":"bold","offset":0,"length":7},{"type":"expandable_blockquote","offset":8,"length":25}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 110 ₽","style":"success","callback_data":"go:oi3efzj630eq91f4:11000"}],[{"text":"🤖 Kling 3.0 Turbo","callback_data":"o:oi3efzj630eq91f4:model"}],[{"text":"⏱ 5 с","callback_data":"o:oi3efzj630eq91f4:dur"},{"text":"📺 720p","callback_data":"o:oi3efzj630eq91f4:res"},{"text":"📐 9:16","callback_data":"o:oi3efzj630eq91f4:ratio"}],[{"text":"✏️ Текст","callback_data":"c:oi3efzj630eq91f4:prompt"},{"text":"📎 Фото","callback_data":"c:oi3efzj630eq91f4:photo"}],[{"text":"🎨 Сделать картинку","callback_data":"c:oi3efzj630eq91f4:picture"}],[{"text":"✖️ Отмена","callback_data":"c:oi3efzj630eq91f4:drop"}]]}},"data":"go:oi3efzj630eq91f4:11000"}}',1796020621844,NULL,0,NULL);
INSERT INTO "inbox" VALUES(18,'telegram','172136269','{"update_id":172136269,"message":{"message_id":23,"date":1796024912,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"text":"🎬 Клип"}}',1796020621899,NULL,0,NULL);
INSERT INTO "inbox" VALUES(19,'telegram','172136270','{"update_id":172136270,"message":{"message_id":25,"date":1796024922,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"text":"поезд едет через лес"}}',1796020621951,NULL,0,NULL);
INSERT INTO "inbox" VALUES(20,'telegram','172136271','{"update_id":172136271,"callback_query":{"id":"46759319687447767","from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"chat_instance":"-7935738","message":{"message_id":26,"date":1796024932,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"🎬 Клип\nпоезд едет через лес\nKling 3.0 Turbo · ⏱ 5 с · 📺 720p · 📐 9:16\n\n💰 На балансе 488 ₽, останется 378 ₽","entities":[{"type":"bold","offset":0,"length":7},{"type":"expandable_blockquote","offset":8,"length":20}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 110 ₽","style":"success","callback_data":"go:wd8ezptpfjgowm65:11000"}],[{"text":"🤖 Kling 3.0 Turbo","callback_data":"o:wd8ezptpfjgowm65:model"}],[{"text":"⏱ 5 с","callback_data":"o:wd8ezptpfjgowm65:dur"},{"text":"📺 720p","callback_data":"o:wd8ezptpfjgowm65:res"},{"text":"📐 9:16","callback_data":"o:wd8ezptpfjgowm65:ratio"}],[{"text":"✏️ Текст","callback_data":"c:wd8ezptpfjgowm65:prompt"},{"text":"📎 Фото","callback_data":"c:wd8ezptpfjgowm65:photo"}],[{"text":"🎨 Сделать картинку","callback_data":"c:wd8ezptpfjgowm65:picture"}],[{"text":"✖️ Отмена","callback_data":"c:wd8ezptpfjgowm65:drop"}]]}},"data":"go:wd8ezptpfjgowm65:11000"}}',1796020622009,NULL,0,NULL);
INSERT INTO "inbox" VALUES(21,'telegram','172136272','{"update_id":172136272,"message":{"message_id":27,"date":1796024946,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"/topup","entities":[{"type":"bot_command","offset":0,"length":6}]}}',1796020622073,NULL,0,NULL);
INSERT INTO "inbox" VALUES(22,'telegram','172136273','{"update_id":172136273,"callback_query":{"id":"46759319687447768","from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"chat_instance":"-7927819","message":{"message_id":28,"date":1796025045,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"➕ Пополнить баланс\n\nНа балансе 366 ₽. Платёж проходит через ЮKassa, никаких подписок и автосписаний.","entities":[{"type":"bold","offset":2,"length":16}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"100 ₽","callback_data":"t:10000:"},{"text":"300 ₽","callback_data":"t:30000:"},{"text":"500 ₽","callback_data":"t:50000:"}],[{"text":"1 000 ₽","callback_data":"t:100000:"},{"text":"3 000 ₽","callback_data":"t:300000:"}],[{"text":"✏️ Другая сумма","callback_data":"t:-1:"}]]}},"data":"t:30000:"}}',1796020622565,NULL,0,NULL);
INSERT INTO "inbox" VALUES(23,'telegram','172136274','{"update_id":172136274,"message":{"message_id":29,"date":1796025247,"chat":{"id":1001,"type":"private","username":"anya","first_name":"Аня"},"from_user":{"id":1001,"is_bot":false,"first_name":"Аня","username":"anya","language_code":"ru"},"text":"кит в облаках"}}',1796020623573,NULL,0,NULL);
INSERT INTO "inbox" VALUES(24,'telegram','172136275','{"update_id":172136275,"message":{"message_id":31,"date":1796025446,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"text":"замок из песка"}}',1796020624573,NULL,0,NULL);
INSERT INTO "inbox" VALUES(25,'telegram','172136276','{"update_id":172136276,"callback_query":{"id":"46759319687447769","from_user":{"id":1002,"is_bot":false,"first_name":"Bob","username":"bob","language_code":"ru"},"chat_instance":"-7935738","message":{"message_id":32,"date":1796025465,"chat":{"id":1002,"type":"private","username":"bob","first_name":"Bob"},"from_user":{"id":900,"is_bot":true,"first_name":"Sandbox Bot","username":"sandbox_900_bot"},"text":"🎨 Картинка\nзамок из песка\nNano Banana 2.1 · 📐 1:1 · 🔍 1K\n\n💰 На балансе 378 ₽, останется 366 ₽","entities":[{"type":"bold","offset":0,"length":11},{"type":"expandable_blockquote","offset":12,"length":14}],"link_preview_options":{"is_disabled":true},"reply_markup":{"inline_keyboard":[[{"text":"Создать · 12 ₽","style":"success","callback_data":"go:gmvlw95mrgdpnvg3:1200"}],[{"text":"🤖 Nano Banana 2.1","callback_data":"o:gmvlw95mrgdpnvg3:model"}],[{"text":"📐 1:1","callback_data":"o:gmvlw95mrgdpnvg3:ratio"},{"text":"🔍 1K","callback_data":"o:gmvlw95mrgdpnvg3:size"}],[{"text":"✏️ Текст","callback_data":"c:gmvlw95mrgdpnvg3:prompt"},{"text":"📎 Фото","callback_data":"c:gmvlw95mrgdpnvg3:photo"}],[{"text":"🎬 Сделать клип","callback_data":"c:gmvlw95mrgdpnvg3:clip"}],[{"text":"✖️ Отмена","callback_data":"c:gmvlw95mrgdpnvg3:drop"}]]}},"data":"c:gmvlw95mrgdpnvg3:prompt"}}',1796020624682,NULL,0,NULL);
CREATE TABLE job_events (
	id INTEGER NOT NULL, 
	job_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	step TEXT, 
	attempt INTEGER NOT NULL, 
	cause TEXT NOT NULL, 
	at INTEGER NOT NULL, 
	CONSTRAINT pk_job_events PRIMARY KEY (id)
)
 STRICT

;
INSERT INTO "job_events" VALUES(1,'tmwrbuayw3ax6cm2','pending','image',0,'confirmed',1796020617423);
INSERT INTO "job_events" VALUES(2,'tmwrbuayw3ax6cm2','processing','image',1,'claimed',1796020618898);
INSERT INTO "job_events" VALUES(3,'tmwrbuayw3ax6cm2','completed',NULL,1,'stored and charged',1796020619412);
INSERT INTO "job_events" VALUES(4,'0s4zbj77w6jijhoh','pending','image',0,'confirmed',1796020621483);
INSERT INTO "job_events" VALUES(5,'5qa0wg1pp0ussq33','pending','image',0,'confirmed',1796020621686);
INSERT INTO "job_events" VALUES(6,'oi3efzj630eq91f4','pending','submit',0,'confirmed',1796020621858);
INSERT INTO "job_events" VALUES(7,'wd8ezptpfjgowm65','pending','submit',0,'confirmed',1796020622041);
INSERT INTO "job_events" VALUES(8,'wd8ezptpfjgowm65','processing','submit',1,'claimed',1796020629304);
INSERT INTO "job_events" VALUES(9,'wd8ezptpfjgowm65','processing','watch',1,'submitted',1796020629511);
CREATE TABLE jobs (
	id TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	model TEXT NOT NULL, 
	prompt TEXT DEFAULT '' NOT NULL, 
	params TEXT DEFAULT '{}' NOT NULL, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	progress INTEGER DEFAULT '0' NOT NULL, 
	cost_estimate INTEGER NOT NULL, 
	cost_actual INTEGER, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	created_at INTEGER NOT NULL, 
	started_at INTEGER, 
	completed_at INTEGER, 
	delivered_at INTEGER, 
	error_code TEXT, 
	step TEXT, 
	dispatches INTEGER DEFAULT '0' NOT NULL, 
	due_at INTEGER, 
	lease_until INTEGER, 
	failures INTEGER DEFAULT '0' NOT NULL, 
	external_key TEXT, 
	external_id TEXT, 
	external_url TEXT, 
	chat_id INTEGER, 
	status_message_id INTEGER, 
	parent_job_id TEXT, 
	legacy INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT ck_jobs_open_jobs_have_owner CHECK ((status IN ('pending', 'processing')) = (step IS NOT NULL AND due_at IS NOT NULL)), 
	CONSTRAINT ck_jobs_completed_has_cost CHECK (legacy = 1 OR (status = 'completed') = (cost_actual IS NOT NULL)), 
	CONSTRAINT ck_jobs_status_known CHECK (status IN ('cancelled', 'completed', 'failed', 'pending', 'processing')), 
	CONSTRAINT ck_jobs_step_known CHECK (step IS NULL OR step IN ('finish', 'image', 'submit', 'watch')), 
	CONSTRAINT ck_jobs_type_known CHECK (type IN ('animate', 'edit', 'image', 'video')), 
	CONSTRAINT ck_jobs_costs_not_negative CHECK (cost_estimate >= 0 AND (cost_actual IS NULL OR cost_actual >= 0)), 
	CONSTRAINT ck_jobs_progress_in_percent CHECK (progress BETWEEN 0 AND 100), 
	CONSTRAINT fk_jobs_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "jobs" VALUES('tmwrbuayw3ax6cm2',1001,'image','nb21','рыжая лиса в лесу','{"ratio": "1:1", "size": "1K", "inputs": [], "provider_cost": 33600}','completed',100,1200,1200,1,1796020617423,1796020618898,1796020619412,1796020619893,NULL,NULL,1,NULL,NULL,0,NULL,NULL,NULL,1001,12,NULL,0);
INSERT INTO "jobs" VALUES('0s4zbj77w6jijhoh',1001,'image','nb21','маяк на скале','{"ratio": "1:1", "size": "1K", "inputs": [], "provider_cost": 33600}','pending',0,1200,NULL,0,1796020621483,NULL,NULL,NULL,NULL,'image',1,1796020641483,NULL,0,NULL,NULL,NULL,1001,16,NULL,0);
INSERT INTO "jobs" VALUES('5qa0wg1pp0ussq33',1002,'edit','nb21','сделай ночь','{"ratio": null, "size": "1K", "inputs": ["0bzkobsaymonkfdr"], "provider_cost": 33600}','pending',0,1200,NULL,0,1796020621686,NULL,NULL,NULL,NULL,'image',1,1796020641686,NULL,0,NULL,NULL,NULL,1002,18,NULL,0);
INSERT INTO "jobs" VALUES('oi3efzj630eq91f4',1001,'video','k30t','волна накатывает на берег','{"duration": 5, "resolution": "720p", "ratio": "9:16", "audio": false, "inputs": [], "provider_cost": 560000}','pending',0,11000,NULL,0,1796020621858,NULL,NULL,NULL,NULL,'submit',1,1796020641858,NULL,0,'oi3efzj630eq91f4',NULL,NULL,1001,22,NULL,0);
INSERT INTO "jobs" VALUES('wd8ezptpfjgowm65',1002,'video','k30t','поезд едет через лес','{"duration": 5, "resolution": "720p", "ratio": "9:16", "audio": false, "inputs": [], "provider_cost": 560000}','processing',25,11000,NULL,1,1796020622041,1796020629304,NULL,NULL,NULL,'watch',1,1796020639511,NULL,0,'wd8ezptpfjgowm65','179602643003900001',NULL,1002,26,NULL,0);
CREATE TABLE leases (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	until INTEGER NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
)
 STRICT

;
INSERT INTO "leases" VALUES('live','39db18ae0530eff7',1796020636402);
INSERT INTO "leases" VALUES('sweeper','32495-14498d76',1796020636537);
CREATE TABLE ledger (
	id INTEGER NOT NULL, 
	user_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	amount INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	job_id TEXT, 
	payment_id TEXT, 
	"key" TEXT NOT NULL, 
	created_at INTEGER NOT NULL, 
	CONSTRAINT pk_ledger PRIMARY KEY (id), 
	CONSTRAINT ck_ledger_sign_follows_kind CHECK ((kind = 'debit') = (amount < 0)), 
	CONSTRAINT ck_ledger_kind_known CHECK (kind IN ('credit', 'debit', 'refund')), 
	CONSTRAINT ck_ledger_amount_in_range CHECK (amount <> 0 AND amount BETWEEN -100000000000 AND 100000000000), 
	CONSTRAINT ck_ledger_created_in_ms CHECK (created_at > 1000000000000), 
	CONSTRAINT fk_ledger_payment_id FOREIGN KEY(payment_id) REFERENCES payments (id), 
	CONSTRAINT fk_ledger_user_id FOREIGN KEY(user_id) REFERENCES users (id), 
	CONSTRAINT uq_ledger_key UNIQUE ("key")
)
 STRICT

;
INSERT INTO "ledger" VALUES(1,1001,'credit',50000,'topup',NULL,'1001-5-50000','payment:1001-5-50000',1796020616957);
INSERT INTO "ledger" VALUES(2,1002,'credit',50000,'topup',NULL,'1002-10-50000','payment:1002-10-50000',1796020617247);
INSERT INTO "ledger" VALUES(3,1001,'debit',-1200,'reserve','tmwrbuayw3ax6cm2',NULL,'reserve:tmwrbuayw3ax6cm2',1796020617423);
INSERT INTO "ledger" VALUES(4,1001,'debit',-1200,'reserve','0s4zbj77w6jijhoh',NULL,'reserve:0s4zbj77w6jijhoh',1796020621483);
INSERT INTO "ledger" VALUES(5,1002,'debit',-1200,'reserve','5qa0wg1pp0ussq33',NULL,'reserve:5qa0wg1pp0ussq33',1796020621686);
INSERT INTO "ledger" VALUES(6,1001,'debit',-11000,'reserve','oi3efzj630eq91f4',NULL,'reserve:oi3efzj630eq91f4',1796020621858);
INSERT INTO "ledger" VALUES(7,1002,'debit',-11000,'reserve','wd8ezptpfjgowm65',NULL,'reserve:wd8ezptpfjgowm65',1796020622041);
CREATE TABLE outbox (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	job_id TEXT, 
	payment_id TEXT, 
	payload TEXT DEFAULT '{}' NOT NULL, 
	created_at INTEGER NOT NULL, 
	due_at INTEGER, 
	lease_until INTEGER, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	sent_at INTEGER, 
	dead_reason TEXT, 
	CONSTRAINT pk_outbox PRIMARY KEY (id), 
	CONSTRAINT uq_outbox_key UNIQUE ("key")
)
 STRICT

;
INSERT INTO "outbox" VALUES(1,'credited:1001-5-50000',1001,'credited',NULL,'1001-5-50000','{}',1796020616957,NULL,NULL,1,1796020617207,NULL);
INSERT INTO "outbox" VALUES(2,'credited:1002-10-50000',1002,'credited',NULL,'1002-10-50000','{}',1796020617247,NULL,NULL,1,1796020617529,NULL);
INSERT INTO "outbox" VALUES(3,'result:tmwrbuayw3ax6cm2',1001,'result','tmwrbuayw3ax6cm2',NULL,'{}',1796020619412,NULL,NULL,1,1796020619893,NULL);
CREATE TABLE payments (
	id TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	provider TEXT NOT NULL, 
	provider_payment_id TEXT, 
	amount INTEGER NOT NULL, 
	refunded_amount INTEGER DEFAULT '0' NOT NULL, 
	status TEXT DEFAULT 'pending' NOT NULL, 
	quarantined_reason TEXT, 
	created_at INTEGER NOT NULL, 
	paid_at INTEGER, 
	idempotency_key TEXT NOT NULL, 
	request_body TEXT, 
	sent_at INTEGER, 
	confirmation_url TEXT, 
	cancel_reason TEXT, 
	next_look_at INTEGER, 
	looks INTEGER DEFAULT '0' NOT NULL, 
	chat_id INTEGER, 
	message_id INTEGER, 
	draft_id TEXT, 
	legacy INTEGER DEFAULT '0' NOT NULL, stars INTEGER, 
	CONSTRAINT pk_payments PRIMARY KEY (id), 
	CONSTRAINT ck_payments_provider_known CHECK (provider IN ('yookassa', 'stars')), 
	CONSTRAINT ck_payments_status_known CHECK (status IN ('canceled', 'paid', 'pending', 'refunded')), 
	CONSTRAINT ck_payments_amount_in_range CHECK (amount BETWEEN 1 AND 100000000000), 
	CONSTRAINT ck_payments_refunded_in_range CHECK (refunded_amount BETWEEN 0 AND amount), 
	CONSTRAINT fk_payments_user_id FOREIGN KEY(user_id) REFERENCES users (id), 
	CONSTRAINT uq_payments_idempotency_key UNIQUE (idempotency_key), 
	CONSTRAINT uq_payments_provider_payment_id UNIQUE (provider_payment_id)
)
 STRICT

;
INSERT INTO "payments" VALUES('1001-5-50000',1001,'yookassa','329fe2cc-000f-5000-8000-7ed41e2feb89',50000,0,'paid',NULL,1796020616720,1796020616957,'topup-1001-5-50000','{"amount": {"value": "500.00", "currency": "RUB"}, "capture": true, "confirmation": {"type": "redirect", "return_url": "http://127.0.0.1:43967"}, "description": "Пополнение баланса на 500 ₽", "metadata": {"order_id": "1001-5-50000"}}',1796020616720,'http://127.0.0.1:43967/yookassa/checkout/329fe2cc-000f-5000-8000-7ed41e2feb89',NULL,NULL,0,1001,5,NULL,0,NULL);
INSERT INTO "payments" VALUES('1002-10-50000',1002,'yookassa','329fe324-000f-5000-8000-612ea6cecc1b',50000,0,'paid',NULL,1796020617184,1796020617247,'topup-1002-10-50000','{"amount": {"value": "500.00", "currency": "RUB"}, "capture": true, "confirmation": {"type": "redirect", "return_url": "http://127.0.0.1:43967"}, "description": "Пополнение баланса на 500 ₽", "metadata": {"order_id": "1002-10-50000"}}',1796020617184,'http://127.0.0.1:43967/yookassa/checkout/329fe324-000f-5000-8000-612ea6cecc1b',NULL,NULL,0,1002,10,NULL,0,NULL);
INSERT INTO "payments" VALUES('1001-28-30000',1001,'yookassa','329fe75c-000f-5000-8000-2a30d87064fc',30000,0,'pending',NULL,1796020622581,NULL,'topup-1001-28-30000','{"amount": {"value": "300.00", "currency": "RUB"}, "capture": true, "confirmation": {"type": "redirect", "return_url": "http://127.0.0.1:43967"}, "description": "Пополнение баланса на 300 ₽", "metadata": {"order_id": "1001-28-30000"}}',1796020622581,'http://127.0.0.1:43967/yookassa/checkout/329fe75c-000f-5000-8000-2a30d87064fc',NULL,1796020632595,0,1001,28,NULL,0,NULL);
CREATE TABLE provider_calls (
	id INTEGER NOT NULL, 
	job_id TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	provider TEXT NOT NULL, 
	model TEXT NOT NULL, 
	outcome TEXT, 
	code TEXT, 
	cost_micro_usd INTEGER DEFAULT '0' NOT NULL, 
	started_at INTEGER NOT NULL, 
	ended_at INTEGER, 
	CONSTRAINT pk_provider_calls PRIMARY KEY (id), 
	CONSTRAINT ck_provider_calls_outcome_known CHECK (outcome IS NULL OR outcome IN ('ok', 'refused', 'unknown')), 
	CONSTRAINT fk_provider_calls_job_id FOREIGN KEY(job_id) REFERENCES jobs (id)
)
 STRICT

;
INSERT INTO "provider_calls" VALUES(1,'tmwrbuayw3ax6cm2',1,'nano_banana','nb21','ok',NULL,37589,1796020618943,1796020619357);
INSERT INTO "provider_calls" VALUES(2,'wd8ezptpfjgowm65',1,'kling','k30t','ok',NULL,0,1796020629346,1796020629493);
CREATE TABLE refunds (
	id TEXT NOT NULL, 
	payment_id TEXT NOT NULL, 
	provider_refund_id TEXT, 
	amount INTEGER NOT NULL, 
	taken INTEGER NOT NULL, 
	owed INTEGER NOT NULL, 
	created_at INTEGER NOT NULL, status TEXT DEFAULT 'succeeded' NOT NULL, requested_by INTEGER, idempotency_key TEXT, request_body TEXT, sent_at INTEGER, next_look_at INTEGER, looks INTEGER DEFAULT '0' NOT NULL, cancel_reason TEXT, closed_at INTEGER, 
	CONSTRAINT pk_refunds PRIMARY KEY (id), 
	CONSTRAINT ck_refunds_fully_taken_back CHECK (amount > 0 AND taken >= 0 AND owed >= 0 AND taken + owed = amount), 
	CONSTRAINT fk_refunds_payment_id FOREIGN KEY(payment_id) REFERENCES payments (id), 
	CONSTRAINT uq_refunds_provider_refund_id UNIQUE (provider_refund_id)
)
 STRICT

;
CREATE TABLE reservations (
	job_id TEXT NOT NULL, 
	user_id INTEGER NOT NULL, 
	amount INTEGER NOT NULL, 
	charged INTEGER DEFAULT '0' NOT NULL, 
	state TEXT DEFAULT 'reserved' NOT NULL, 
	hold_until INTEGER NOT NULL, 
	created_at INTEGER NOT NULL, 
	closed_at INTEGER, 
	CONSTRAINT pk_reservations PRIMARY KEY (job_id), 
	CONSTRAINT ck_reservations_charged_fits_state CHECK (CASE state WHEN 'charged' THEN charged BETWEEN 1 AND amount ELSE charged = 0 END), 
	CONSTRAINT ck_reservations_state_known CHECK (state IN ('charged', 'refunded', 'reserved')), 
	CONSTRAINT ck_reservations_amount_in_range CHECK (amount BETWEEN 1 AND 100000000000), 
	CONSTRAINT fk_reservations_user_id FOREIGN KEY(user_id) REFERENCES users (id)
)
 STRICT

;
INSERT INTO "reservations" VALUES('tmwrbuayw3ax6cm2',1001,1200,1200,'charged',1796021517423,1796020617423,1796020619412);
INSERT INTO "reservations" VALUES('0s4zbj77w6jijhoh',1001,1200,0,'reserved',1796021521483,1796020621483,NULL);
INSERT INTO "reservations" VALUES('5qa0wg1pp0ussq33',1002,1200,0,'reserved',1796021521686,1796020621686,NULL);
INSERT INTO "reservations" VALUES('oi3efzj630eq91f4',1001,11000,0,'reserved',1796025121858,1796020621858,NULL);
INSERT INTO "reservations" VALUES('wd8ezptpfjgowm65',1002,11000,0,'reserved',1796025122041,1796020622041,NULL);
CREATE TABLE seals (
	upto_id INTEGER NOT NULL, 
	first_id INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	entries_hash TEXT NOT NULL, 
	prev TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	created_at INTEGER NOT NULL, 
	marks BLOB NOT NULL, 
	CONSTRAINT pk_seals PRIMARY KEY (upto_id), 
	CONSTRAINT ck_seals_covers_entries CHECK (n > 0 AND first_id > 0 AND upto_id >= first_id), 
	CONSTRAINT ck_seals_hashes_are_whole CHECK (length(hash) = 64 AND length(prev) = 64 AND length(entries_hash) = 64), 
	CONSTRAINT uq_seals_hash UNIQUE (hash), 
	CONSTRAINT uq_seals_prev UNIQUE (prev)
)
 STRICT

;
CREATE TABLE users (
	id INTEGER NOT NULL, 
	language TEXT, 
	language_chosen INTEGER DEFAULT '0' NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	username TEXT, 
	is_banned INTEGER DEFAULT '0' NOT NULL, 
	is_unreachable INTEGER DEFAULT '0' NOT NULL, 
	created_at INTEGER NOT NULL, email TEXT, 
	CONSTRAINT pk_users PRIMARY KEY (id), 
	CONSTRAINT ck_users_banned_is_flag CHECK (is_banned IN (0, 1))
)
 STRICT

;
INSERT INTO "users" VALUES(1001,'ru',0,'Аня','anya',0,0,1796020616454,NULL);
INSERT INTO "users" VALUES(1002,'ru',0,'Bob','bob',0,0,1796020617072,NULL);
CREATE INDEX ix_conversations_updated_at ON conversations (updated_at);
CREATE INDEX ix_inbox_due_at ON inbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_inbox_received_at ON inbox (received_at);
CREATE INDEX ix_job_events_job_id ON job_events (job_id);
CREATE INDEX ix_outbox_created_at ON outbox (created_at);
CREATE INDEX ix_outbox_due_at ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_outbox_job_id ON outbox (job_id);
CREATE INDEX ix_users_username ON users (username);
CREATE INDEX ix_assets_expires_at ON assets (expires_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX uq_assets_result_once_per_job ON assets (job_id) WHERE role = 'result';
CREATE UNIQUE INDEX uq_assets_store_key ON assets (store_key);
CREATE INDEX ix_debts_user_id ON debts (user_id);
CREATE INDEX ix_drafts_updated_at ON drafts (updated_at);
CREATE INDEX ix_drafts_user_id ON drafts (user_id, updated_at);
CREATE INDEX ix_jobs_due ON jobs (due_at) WHERE status IN ('pending', 'processing');
CREATE INDEX ix_jobs_external_id ON jobs (external_id);
CREATE INDEX ix_jobs_open_by_user ON jobs (user_id) WHERE status IN ('pending', 'processing');
CREATE INDEX ix_jobs_user_id_created_at ON jobs (user_id, created_at);
CREATE UNIQUE INDEX uq_jobs_external_key ON jobs (external_key);
CREATE INDEX ix_payments_next_look_at ON payments (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX ix_payments_user_id ON payments (user_id);
CREATE INDEX ix_reservations_open ON reservations (hold_until) WHERE state = 'reserved';
CREATE INDEX ix_reservations_user_id ON reservations (user_id);
CREATE INDEX ix_ledger_user_id_amount ON ledger (user_id, amount);
CREATE INDEX ix_ledger_user_id_id ON ledger (user_id, id);
CREATE UNIQUE INDEX uq_ledger_credit_once_per_payment ON ledger (payment_id) WHERE kind = 'credit';
CREATE UNIQUE INDEX uq_ledger_once_per_job ON ledger (job_id, reason) WHERE reason IN ('reserve', 'refund', 'difference');
CREATE INDEX ix_provider_calls_job_id ON provider_calls (job_id);
CREATE INDEX ix_refunds_payment_id ON refunds (payment_id);
CREATE TRIGGER users_open_balance AFTER INSERT ON users
BEGIN INSERT INTO balances (user_id, balance, entries, last_id) VALUES (NEW.id, 0, 0, 0); END;
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END;
CREATE TRIGGER admin_log_no_update BEFORE UPDATE ON admin_log
BEGIN SELECT RAISE(ABORT, 'admin_log is append-only'); END;
CREATE TRIGGER admin_log_no_delete BEFORE DELETE ON admin_log
BEGIN SELECT RAISE(ABORT, 'admin_log is append-only'); END;
CREATE TRIGGER ledger_no_rewrite BEFORE INSERT ON ledger
WHEN EXISTS (SELECT 1 FROM ledger WHERE key = NEW.key)
  OR (NEW.id <> -1 AND NEW.id <= (SELECT COALESCE(MAX(id), 0) FROM ledger))
  OR (NEW.kind = 'credit' AND NEW.payment_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM ledger WHERE payment_id = NEW.payment_id AND kind = 'credit'))
  OR (NEW.reason IN ('reserve', 'refund', 'difference') AND NEW.job_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM ledger WHERE job_id = NEW.job_id AND reason = NEW.reason))
BEGIN SELECT RAISE(ABORT, 'ledger: this id or key exists'); END;
CREATE TRIGGER ledger_moves_balance AFTER INSERT ON ledger
BEGIN
  SELECT RAISE(ABORT, 'ledger: ids only grow') WHERE NEW.id <= 0 OR NEW.id < (SELECT MAX(id) FROM ledger);
  SELECT RAISE(ABORT, 'ledger: this user has no balance row')
    WHERE NOT EXISTS (SELECT 1 FROM balances WHERE user_id = NEW.user_id);
  SELECT RAISE(ABORT, 'ck_balances_never_negative')
    WHERE (SELECT balance FROM balances WHERE user_id = NEW.user_id) + NEW.amount < 0;
  UPDATE balances SET balance = balance + NEW.amount, entries = entries + 1, last_id = NEW.id
    WHERE user_id = NEW.user_id;
END;
CREATE TRIGGER jobs_moves BEFORE UPDATE OF status ON jobs
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'pending' AND NEW.status IN ('cancelled', 'failed', 'processing'))
  OR (OLD.status = 'processing' AND NEW.status IN ('cancelled', 'completed', 'failed')))
BEGIN SELECT RAISE(ABORT, 'jobs: this change of status is not allowed'); END;
CREATE TRIGGER reservations_moves BEFORE UPDATE OF state ON reservations
WHEN NEW.state <> OLD.state AND NOT ((OLD.state = 'reserved' AND NEW.state IN ('charged', 'refunded')))
BEGIN SELECT RAISE(ABORT, 'reservations: this change of state is not allowed'); END;
CREATE TRIGGER payments_moves BEFORE UPDATE OF status ON payments
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'pending' AND NEW.status IN ('canceled', 'paid'))
  OR (OLD.status = 'canceled' AND NEW.status IN ('paid'))
  OR (OLD.status = 'paid' AND NEW.status IN ('refunded')))
BEGIN SELECT RAISE(ABORT, 'payments: this change of status is not allowed'); END;
CREATE TRIGGER reservations_follow_job BEFORE UPDATE OF state ON reservations
WHEN NEW.state <> OLD.state
  AND EXISTS (
    SELECT 1 FROM jobs WHERE id = NEW.job_id AND legacy = 0
      AND CASE status WHEN 'completed' THEN 'charged' WHEN 'failed' THEN 'refunded'
            WHEN 'cancelled' THEN 'refunded' ELSE 'reserved' END <> NEW.state
  )
BEGIN SELECT RAISE(ABORT, 'reservations: the job of this money is in another state'); END;
CREATE TRIGGER reservations_fixed BEFORE UPDATE OF job_id, user_id, amount ON reservations
BEGIN SELECT RAISE(ABORT, 'reservations: sum and owner never change'); END;
CREATE TRIGGER reservations_no_rewrite BEFORE INSERT ON reservations
WHEN EXISTS (SELECT 1 FROM reservations WHERE job_id = NEW.job_id)
BEGIN SELECT RAISE(ABORT, 'reservations: this job has one'); END;
CREATE TRIGGER reservations_stay BEFORE DELETE ON reservations
BEGIN SELECT RAISE(ABORT, 'reservations are kept'); END;
CREATE TRIGGER payments_fixed BEFORE UPDATE OF id, user_id, amount ON payments
BEGIN SELECT RAISE(ABORT, 'payments: sum and owner never change'); END;
CREATE TRIGGER payments_no_rewrite BEFORE INSERT ON payments
WHEN EXISTS (SELECT 1 FROM payments WHERE id = NEW.id)
  OR EXISTS (SELECT 1 FROM payments WHERE provider_payment_id = NEW.provider_payment_id)
  OR EXISTS (SELECT 1 FROM payments WHERE idempotency_key = NEW.idempotency_key)
BEGIN SELECT RAISE(ABORT, 'payments: this id or key exists'); END;
CREATE TRIGGER payments_stay BEFORE DELETE ON payments
BEGIN SELECT RAISE(ABORT, 'payments are kept'); END;
CREATE TRIGGER jobs_fixed BEFORE UPDATE OF id, user_id, cost_estimate ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs: price and owner never change'); END;
CREATE TRIGGER jobs_no_rewrite BEFORE INSERT ON jobs
WHEN EXISTS (SELECT 1 FROM jobs WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'jobs: this id exists'); END;
CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs are kept'); END;
CREATE TRIGGER debts_stay BEFORE DELETE ON debts
BEGIN SELECT RAISE(ABORT, 'debts are kept'); END;
CREATE UNIQUE INDEX uq_refunds_idempotency_key ON refunds (idempotency_key);
CREATE INDEX ix_refunds_next_look_at ON refunds (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX ix_differences_state ON differences (state, id);
CREATE TRIGGER refunds_moves BEFORE UPDATE OF status ON refunds
WHEN NEW.status <> OLD.status AND NOT ((OLD.status = 'taken' AND NEW.status IN ('canceled', 'sent', 'succeeded'))
  OR (OLD.status = 'sent' AND NEW.status IN ('canceled', 'succeeded')))
BEGIN SELECT RAISE(ABORT, 'refunds: this change of status is not allowed'); END;
CREATE TRIGGER differences_moves BEFORE UPDATE OF state ON differences
WHEN NEW.state <> OLD.state AND NOT ((OLD.state = 'open' AND NEW.state IN ('applied', 'dismissed')))
BEGIN SELECT RAISE(ABORT, 'differences: this change of state is not allowed'); END;
CREATE TRIGGER refunds_known BEFORE INSERT ON refunds
WHEN NEW.status NOT IN ('canceled', 'sent', 'succeeded', 'taken') OR EXISTS (SELECT 1 FROM refunds WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'refunds: no such status, or this id exists'); END;
CREATE TRIGGER refunds_fixed BEFORE UPDATE OF id, payment_id, amount, taken, owed ON refunds
BEGIN SELECT RAISE(ABORT, 'refunds: sum and payment never change'); END;
CREATE TRIGGER refunds_stay BEFORE DELETE ON refunds
BEGIN SELECT RAISE(ABORT, 'refunds are kept'); END;
CREATE TRIGGER differences_fixed BEFORE UPDATE OF id, key, kind, details, proposal ON differences
BEGIN SELECT RAISE(ABORT, 'differences: what was found never changes'); END;
CREATE TRIGGER differences_stay BEFORE DELETE ON differences
BEGIN SELECT RAISE(ABORT, 'differences are kept'); END;
CREATE INDEX ix_ledger_job_money ON ledger (job_id, reason, amount, user_id) WHERE job_id IS NOT NULL;
CREATE TRIGGER seals_no_update BEFORE UPDATE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
CREATE TRIGGER seals_no_delete BEFORE DELETE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
CREATE TRIGGER seals_chain BEFORE INSERT ON seals
WHEN NEW.prev <> COALESCE((SELECT hash FROM seals ORDER BY upto_id DESC LIMIT 1),
    '0000000000000000000000000000000000000000000000000000000000000000')
  OR NEW.first_id <> (SELECT COALESCE(MAX(upto_id), 0) + 1 FROM seals)
  OR EXISTS (SELECT 1 FROM seals WHERE hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'seals: this one does not follow the newest'); END;
COMMIT;
