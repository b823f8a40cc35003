CREATE TABLE features.item_popularity_hourly (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour at whose end popularity is estimated. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    prior_day DATE COMMENT 'Day of features.item_popularity_daily that the hours are added to. Null if there is none yet.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown since the end of prior_day, or in 53 hours if that is longer ago. 0 or more; never null.',
    observed BIGINT NOT NULL COMMENT 'Numerator O: engagements in those hours that had an expectation. 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Denominator E: the expected number of engagements. 0 or more; never null.',
    variance DECIMAL(28,10) NOT NULL COMMENT 'Variance V of observed: Σ e(1 − e). 0 or more; never null.',
    prior DOUBLE NOT NULL COMMENT 'Popularity at the end of prior_day. For an item that this day does not know it is the day\'s surface_mean; before the first such day it is 1. 0 or more; never null.',
    prior_variance DOUBLE NOT NULL COMMENT 'How uncertain prior was at the end of prior_day: its posterior variance. 0 or more; never null.',
    credibility DOUBLE NOT NULL COMMENT 'Weight in popularity of the item\'s own evidence from days and hours; its category has the rest. 0 to 1; never null.',
    popularity DOUBLE NOT NULL COMMENT 'The item\'s engagement divided by what the same slots would have got with the average impression\'s item of the surface. 0 or more; never null.',
    posterior_variance DOUBLE NOT NULL COMMENT 'How uncertain popularity is, as a variance. 0 or more, at most prior_variance; never null.',
    lower_bound DOUBLE NOT NULL COMMENT '5 % bound of popularity. At most popularity; never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item, surface and hour: features.item_popularity_daily, updated to the hour with the evidence since the end of its day.'
