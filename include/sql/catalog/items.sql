CREATE TABLE catalog.items (
    day DATE NOT NULL COMMENT 'Partition. UTC day of the snapshot: the catalogue as known at the end of that day. Never null.',
    item_id STRING COMMENT 'The item; joins item_id of the events. Unique within a day. Never null.',
    categories ARRAY<STRUCT<category: STRING, weight: DOUBLE>> COMMENT 'What the item is about, sorted by category, each once. weight is the share of the item that belongs to the category, greater than 0; the weights of an item sum to 1. Empty if the item has no category; never null.',
    author_id STRING COMMENT 'Who made the item, an opaque id. Null if the log does not say.',
    duration_ms BIGINT COMMENT 'Length of the item itself (a video, a song), in milliseconds, 0 or more. Null if it has none or the log does not say.',
    published_at TIMESTAMP COMMENT 'When the item was first offered to users, UTC. Null if the log does not say.',
    source STRING COMMENT 'Name of the log format that the newest record came from, e.g. open_bandit_items. Never null.',
    category_count INT COMMENT 'Number of categories, 0 or more. Never null.',
    weight_sum DOUBLE COMMENT 'Sum of the weights in categories: 1 up to rounding. Null if the item has no category.',
    arrival_hour TIMESTAMP COMMENT 'UTC hour in which the item\'s newest record arrived: how old this knowledge is. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per item and day: the newest record of each item that arrived in the 90 days up to the end of the day.'
