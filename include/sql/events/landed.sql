CREATE TABLE events.landed (
    arrival_hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of the landing-zone folder in which the file arrived. Never null.',
    event_hour TIMESTAMP NOT NULL COMMENT 'Second partition column. UTC hour of event_time, truncated; says which hour of events.clean this row belongs to. Never null.',
    event_id STRING COMMENT 'The identity that the log gave the event. The same id within one event hour is a duplicate, which events.clean removes; it may repeat here. Never null.',
    event_time TIMESTAMP COMMENT 'When the event happened by the log\'s clock, UTC, microseconds. From 2000-01-01 up to 5 minutes after the end of arrival_hour. Never null.',
    event_types ARRAY<STRING> COMMENT 'What the record reports, in the log\'s order, each type once: impression, click, like, share, comment, follow, save, hide, opt_out, play. A wide log\'s impression that was clicked is one row with two types. Never null, never empty.',
    user_id STRING COMMENT 'The user as the log names them, an opaque id. Null if the log has no user or the user is anonymous.',
    item_id STRING COMMENT 'The item that was shown or acted upon; joins catalog.items.item_id. Never null.',
    request_id STRING COMMENT 'The feed request that the item was served in: rows of one request were ranked together. Null if the log does not say.',
    position INT COMMENT 'Slot of the item in the list or on the screen as the log counts, lowest = first, 0 or more. Null if the log does not say.',
    surface STRING COMMENT 'The place in the product: a tab, a page, a campaign. Null if the log does not say.',
    model_id STRING COMMENT 'The model or policy that chose the item; see include/models.py. Null if the log does not say.',
    experiment_id STRING COMMENT 'The experiment that the request was part of. Null outside any experiment.',
    variant STRING COMMENT 'The arm of experiment_id that the request got. Null outside any experiment.',
    device_class STRING COMMENT 'Kind of device, e.g. phone, tablet, desktop, tv, as the log writes it. Null if the log does not say.',
    country STRING COMMENT 'Country of the request as the log writes it, usually ISO 3166-1 alpha-2. Null if the log does not say.',
    source STRING COMMENT 'Name of the log format that read the row, which is also its folder of the landing zone, e.g. open_bandit. Never null.',
    duration_ms BIGINT COMMENT 'How long the user watched, read or listened, in milliseconds, 0 or more. Null if the event has no duration.',
    revenue_micros BIGINT COMMENT 'What the event earned, in millionths of the currency unit, 0 or more. Null if this kind of event cannot earn anything.',
    source_file STRING COMMENT 'Path of the registered file that the row was read from. Never null.',
    line BIGINT COMMENT 'Line of source_file that holds the row, the first is 1; in Parquet, the row\'s number, the first is 1. Never null.',
    received_at TIMESTAMP COMMENT 'When the file reached the landing zone, by the storage\'s modification time, registered once, UTC. Never null.'
)
USING iceberg
PARTITIONED BY (arrival_hour, event_hour)
COMMENT 'One row per event as it landed: every well-formed row of every registered event file, duplicates included. With events.rejected it accounts for every row of the files.'
