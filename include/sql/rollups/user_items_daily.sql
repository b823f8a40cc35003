CREATE TABLE rollups.user_items_daily (
    day DATE NOT NULL COMMENT 'Partition. UTC day of the events. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    item_id STRING COMMENT 'An item that the user was shown or engaged with; joins catalog.items.item_id. Never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the user was shown the item, as include/spark/impressions.py counts. 0 or more; never null.',
    engaged BIGINT NOT NULL COMMENT 'How many of these, and of impressions of other days, the user engaged with on the day. 0 or more; never null.',
    segment STRING COMMENT 'The user\'s segment: the country of the day\'s last event in which the user was shown the item or engaged with it. "unknown" if the log does not say; never null.',
    last_seen TIMESTAMP COMMENT 'When the user was last shown the item or engaged with it on the day, UTC. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per user, item and day: what each user was shown or engaged with. Events without a user are left out.'
