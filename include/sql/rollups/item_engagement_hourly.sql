CREATE TABLE rollups.item_engagement_hourly (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of the events. Never null.',
    item_id STRING COMMENT 'The item that was shown or acted upon; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    model_id STRING COMMENT 'The model or policy that chose the item. "unknown" if the log does not say; never null.',
    variant STRING COMMENT 'The arm of the experiment. "unknown" outside any experiment; never null.',
    device_class STRING COMMENT 'Kind of device. "unknown" if the log does not say; never null.',
    country STRING COMMENT 'Country of the request. "unknown" if the log does not say; never null.',
    impressions BIGINT NOT NULL COMMENT 'Events that report an impression: the item was shown. 0 or more; never null.',
    clicks BIGINT NOT NULL COMMENT 'Events that report a click on the item. Can exceed impressions if the log reports clicks in separate records. 0 or more; never null.',
    likes BIGINT NOT NULL COMMENT 'Events that report a like. 0 or more; never null.',
    shares BIGINT NOT NULL COMMENT 'Events that report a share. 0 or more; never null.',
    comments BIGINT NOT NULL COMMENT 'Events that report a comment. 0 or more; never null.',
    follows BIGINT NOT NULL COMMENT 'Events that report that the item\'s author or topic was followed. 0 or more; never null.',
    saves BIGINT NOT NULL COMMENT 'Events that report that the item was saved for later. 0 or more; never null.',
    hides BIGINT NOT NULL COMMENT 'Events that report that the user hid the item: a no. 0 or more; never null.',
    opt_outs BIGINT NOT NULL COMMENT 'Events that report that the user opted out of recommendations at this item: a strong no. 0 or more; never null.',
    plays BIGINT NOT NULL COMMENT 'Events that report that playback of the item began. 0 or more; never null.',
    duration_ms BIGINT NOT NULL COMMENT 'Sum of the events\' durations, in milliseconds; an event without a duration adds 0. Never null.',
    revenue_micros BIGINT NOT NULL COMMENT 'Sum of the events\' revenue, in millionths of the currency unit; an event without revenue adds 0. Never null.',
    users_sketch BINARY COMMENT 'HLL sketch (Apache DataSketches, lgConfigK 12, about 1.6 % relative error) of the distinct user ids; read it with hll_sketch_estimate, merge it with hll_union_agg. Null if no event of the row has a user id.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item, surface, model, variant, device class, country and hour: counts by event type and sums of values over events.clean.'
