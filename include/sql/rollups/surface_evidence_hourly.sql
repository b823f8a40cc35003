CREATE TABLE rollups.surface_evidence_hourly (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of the events. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    items BIGINT NOT NULL COMMENT 'Items that were shown or engaged with. 1 or more; never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown: impressions as include/spark/impressions.py counts them within an hour. 0 or more; never null.',
    engaged BIGINT NOT NULL COMMENT 'Impressions that were engaged with, plus engagements whose impression was in another hour. include/events.py says which event types count. 0 or more; never null.',
    observed BIGINT NOT NULL COMMENT 'The part of engaged from hours for which there were expected rates: the numerator O of the evidence. At most engaged; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Sum of the expected rates of the impressions, by surface and position bucket, category-free (features.engagement_baseline.position_rate): the denominator E. 0 if no impression has one; never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per surface and hour: the sums of its items in rollups.item_evidence_hourly, from which the profile of the surface\'s day and week is made.'
