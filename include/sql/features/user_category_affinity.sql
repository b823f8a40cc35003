CREATE TABLE features.user_category_affinity (
    day DATE NOT NULL COMMENT 'Partition. The last UTC day of the window. Never null.',
    horizon STRING COMMENT 'How far back: long (56 days, half-life 28) or short (14 days, half-life 3). See include/spark/decay.py. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    category STRING COMMENT 'A category of catalog.items. Never null.',
    segment STRING COMMENT 'The user\'s segment: the country of the user\'s most recent event in the 56 days. "unknown" if the log does not say; never null.',
    rank INT NOT NULL COMMENT 'Place of the category among the user\'s categories, by affinity; ties are ordered by name. From 1 without gaps; never null.',
    categories INT NOT NULL COMMENT 'The user\'s categories within the horizon: the last rank. Never null.',
    affinity DOUBLE NOT NULL COMMENT 'How much the user engages compared with the average user at the same impressions: 1 = average, 2 = twice as much. 0 or more; never null.',
    lower_bound DOUBLE NOT NULL COMMENT '5 % quantile of the affinity, given its evidence; docs/affinity.md says how often the truth is below. 0 to affinity; never null.',
    credibility DOUBLE NOT NULL COMMENT 'z: the weight of the category\'s own evidence in the affinity; user_affinity has the rest. 0 to 1; never null.',
    user_affinity DOUBLE NOT NULL COMMENT 'The user\'s affinity over all categories. Use it for a category that the user was never shown. For a user without a row, use mean_affinity of features.affinity_variances. 0 or more; never null.',
    preference_share DECIMAL(7,6) NOT NULL COMMENT 'The affinity divided by the sum of the user\'s affinities, in millionths. Sums to 1 per day, horizon and user; never null.',
    share_sum DECIMAL(7,6) NOT NULL COMMENT 'Sum of preference_share over the user\'s categories: 1. Never null.',
    impressions DECIMAL(18,10) NOT NULL COMMENT 'Impressions, weighted by age. 0 or more; never null.',
    observed DECIMAL(18,10) NOT NULL COMMENT 'O: engagements, weighted by age. 0 or more; never null.',
    expected DECIMAL(18,10) NOT NULL COMMENT 'E: engagements expected of the average user from the same impressions, weighted by age. 0 or more; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, horizon, user and category that the user met within the horizon: the affinity, how sure it is, and its rank.'
