CREATE TABLE rollups.user_category_daily (
    day DATE NOT NULL COMMENT 'Partition. UTC day of the events. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    category STRING COMMENT 'A category of catalog.items. Never null.',
    segment STRING COMMENT 'The user\'s segment: the country of the user\'s most recent impression or engagement of the day. "unknown" if the log does not say; never null.',
    impressions DECIMAL(18,10) NOT NULL COMMENT 'Times that items of the category were shown to the user, each with the weight of the category in the item. 0 or more; never null.',
    engaged DECIMAL(18,10) NOT NULL COMMENT 'Impressions that the user engaged with, by the same weights, plus engagements whose impression was on another day. 0 or more; never null.',
    observed DECIMAL(18,10) NOT NULL COMMENT 'O: engagements, each with its weight. 0 or more; 0 on a day without a baseline; never null.',
    expected DECIMAL(18,10) NOT NULL COMMENT 'E: engagements that were expected of the average user from the same impressions, by features.engagement_baseline. 0 or more; 0 on a day without a baseline; never null.',
    variance DECIMAL(18,10) NOT NULL COMMENT 'The part of the variance of observed that is chance: the sum of squared weight times e(1-e), where e belongs to the item with all its categories. 0 or more; never null.',
    own_residuals DECIMAL(18,10) NOT NULL COMMENT 'Sum over impressions of the squared residual, weight times (engaged - e): the part of the square of observed - expected that comes from single impressions. 0 or more; never null.',
    own_expected DECIMAL(18,10) NOT NULL COMMENT 'The same sum for weight times e. 0 or more; never null.',
    shared_residuals DECIMAL(18,10) NOT NULL COMMENT 'Sum over impressions of the residual times the residuals of the same impression in the item\'s other categories. 0 if every item has one category; never null.',
    shared_expected DECIMAL(18,10) NOT NULL COMMENT 'The same sum for the expected values. 0 if every item has one category; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, user and category: counts, and sums that merge over days; affinity is estimated from them.'
