CREATE TABLE rollups.user_category_window (
    day DATE NOT NULL COMMENT 'Partition. The last UTC day of the window. Never null.',
    horizon STRING COMMENT 'How far back: long (56 days, half-life 28) or short (14 days, half-life 3). See include/spark/decay.py. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    category STRING COMMENT 'A category of catalog.items. Never null.',
    segment STRING COMMENT 'The user\'s segment: the country of the user\'s most recent event in the 56 days. "unknown" if the log does not say; never null.',
    impressions DECIMAL(18,10) NOT NULL COMMENT 'Impressions as in rollups.user_category_daily, each day weighted by its age. 0 or more; never null.',
    observed DECIMAL(18,10) NOT NULL COMMENT 'O: engagements, each with its weight. 0 or more; weighted by age; never null.',
    expected DECIMAL(18,10) NOT NULL COMMENT 'E: engagements that were expected of the average user from the same impressions, by features.engagement_baseline. 0 or more; weighted by age; never null.',
    variance DECIMAL(18,10) NOT NULL COMMENT 'The part of the variance of observed that is chance: the sum of squared weight times e(1-e). 0 or more; weighted by the square of the age\'s weight; never null.',
    own_residuals DECIMAL(18,10) NOT NULL COMMENT 'Sum over impressions of the squared residual, weight times (engaged - e): the part of the square of observed - expected that comes from single impressions. 0 or more; weighted by the square of the age\'s weight; never null.',
    own_expected DECIMAL(18,10) NOT NULL COMMENT 'The same sum for weight times e. 0 or more; weighted by the square of the age\'s weight; never null.',
    shared_residuals DECIMAL(18,10) NOT NULL COMMENT 'Sum over impressions of the residual times the residuals of the same impression in the item\'s other categories. 0 if every item has one category; weighted by the square of the age\'s weight; never null.',
    shared_expected DECIMAL(18,10) NOT NULL COMMENT 'The same sum for the expected values. 0 if every item has one category; weighted by the square of the age\'s weight; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, horizon, user and category that the user met within the horizon: the sums of rollups.user_category_daily, weighted by age.'
