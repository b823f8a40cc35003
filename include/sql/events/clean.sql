CREATE TABLE events.clean (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of event_time, truncated. Never null.',
    event_id STRING COMMENT 'The identity that the log gave the event; unique within an hour. Never null.',
    event_time TIMESTAMP COMMENT 'When the event happened by the log\'s clock, UTC, microseconds. Never null.',
    event_types ARRAY<STRING> COMMENT 'What the event reports, each type once: impression, click, like, share, comment, follow, save, hide, opt_out, play. Count a type with array_contains. Never null, never empty.',
    user_id STRING COMMENT 'The user as the log names them, an opaque id. Null if the log has no user or the user is anonymous.',
    item_id STRING COMMENT 'The item that was shown or acted upon; joins catalog.items.item_id. Never null.',
    request_id STRING COMMENT 'The feed request that the item was served in. Null if the log does not say.',
    position INT COMMENT 'Slot of the item in the list or on the screen as the log counts, lowest = first, 0 or more. Null if the log does not say.',
    surface STRING COMMENT 'The place in the product: a tab, a page, a campaign. "unknown" if the log does not say; never null.',
    model_id STRING COMMENT 'The model or policy that chose the item; see include/models.py. "unknown" if the log does not say; never null.',
    experiment_id STRING COMMENT 'The experiment that the request was part of. Null outside any experiment.',
    variant STRING COMMENT 'The arm of experiment_id that the request got. "unknown" if the log does not say or outside any experiment; never null.',
    device_class STRING COMMENT 'Kind of device, e.g. phone, tablet, desktop, tv. "unknown" if the log does not say; never null.',
    country STRING COMMENT 'Country of the request as the log writes it, usually ISO 3166-1 alpha-2. "unknown" if the log does not say; never null.',
    source STRING COMMENT 'Name of the log format that read the event, e.g. open_bandit. Never null.',
    duration_ms BIGINT COMMENT 'How long the user watched, read or listened, in milliseconds, 0 or more. Null if the event has no duration.',
    revenue_micros BIGINT COMMENT 'What the event earned, in millionths of the currency unit, 0 or more. Null if this kind of event cannot earn anything.',
    arrival_hour TIMESTAMP COMMENT 'UTC hour in which the record that was kept arrived; with hour it gives how late the event was. Never null.',
    is_late BOOLEAN COMMENT 'True if arrival_hour is after hour: the event came after its own hour had closed. Its mean is the late share. Never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per event: the first record that arrived of each event_id within its hour.'
