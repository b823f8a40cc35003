CREATE TABLE features.item_popularity_hourly (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour at whose end popularity is estimated. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" where the log does not say; never null.',
    prior_day DATE COMMENT 'Day of features.item_popularity_daily that the hours are added to. Null where there is none yet.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown since the end of prior_day, or in 53 hours if that is longer ago. 0 or more; never null.',
    observed BIGINT NOT NULL COMMENT 'Numerator O: engagements in those hours that had an expectation. 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Denominator E: their expected number. 0 or more; never null.',
    variance DECIMAL(28,10) NOT NULL COMMENT 'Variance V of observed: Σ e(1 − e). 0 or more; never null.',
    prior DOUBLE NOT NULL COMMENT 'Popularity at the end of prior_day; for an item that it does not know, the surface_mean of that day; 1 before the first. 0 or more; never null.',
    prior_variance DOUBLE NOT NULL COMMENT 'What was uncertain of it at the end of prior_day: its posterior variance. 0 or more; never null.',
    credibility DOUBLE NOT NULL COMMENT 'Weight of the item\'s own evidence, of the days and the hours, in popularity; its category has the rest. 0 to 1; never null.',
    popularity DOUBLE NOT NULL COMMENT 'Engagement relative to what the item\'s slots would have got with the average impression\'s item of the surface. 0 or more; never null.',
    posterior_variance DOUBLE NOT NULL COMMENT 'What is uncertain of popularity. 0 or more, at most prior_variance; never null.',
    lower_bound DOUBLE NOT NULL COMMENT '5 % bound of popularity. At most popularity; never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item, surface and hour: features.item_popularity_daily brought up to the hour by the evidence since the end of its day.'
