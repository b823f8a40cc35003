CREATE TABLE rollups.item_evidence_hourly (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of the events. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown: impressions as include/spark/impressions.py counts them within an hour. 0 or more; never null.',
    engaged BIGINT NOT NULL COMMENT 'Impressions that were engaged with, plus engagements whose impression was in another hour. include/events.py says which event types count. 0 or more; never null.',
    observed BIGINT NOT NULL COMMENT 'The part of engaged from hours for which there were expected rates: the numerator O of the evidence. At most engaged; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Sum of the expected rates of the impressions, by surface and position bucket, category-free (features.engagement_baseline.position_rate): the denominator E. 0 if no impression has one; never null.',
    variance DECIMAL(28,10) NOT NULL COMMENT 'Sum of e(1 − e) over the expected rates e: the variance V that observed would have if the item were like any other. At most expected; never null.',
    own_residuals DECIMAL(28,10) NOT NULL COMMENT 'Sum of (y − e)² over the impressions, y = 1 if engaged: each impression\'s product with itself, which says nothing about the item. 0 or more; never null.',
    own_expected DECIMAL(28,10) NOT NULL COMMENT 'Sum of e² over the impressions: the same for the expected rates. At most expected; never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item, surface and hour: impressions, engagements, and the engagements that the same slots would have got with the average item in them.'
