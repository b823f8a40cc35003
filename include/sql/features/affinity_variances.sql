CREATE TABLE features.affinity_variances (
    day DATE NOT NULL COMMENT 'Partition. The last UTC day of the window. Never null.',
    horizon STRING COMMENT 'How far back: long (56 days, half-life 28) or short (14 days, half-life 3). See include/spark/decay.py. Never null.',
    segment STRING COMMENT 'The segment of the users: their country; "*" = all users. Never null.',
    users BIGINT NOT NULL COMMENT 'Users of the segment within the horizon. 1 or more; never null.',
    observed DECIMAL(28,10) NOT NULL COMMENT 'Their engagements, weighted by age. 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Engagements that the baseline expected of them. observed divided by expected is 1 if the segment engages with its impressions as all users do. 0 or more; never null.',
    user_products DECIMAL(28,10) NOT NULL COMMENT 'Sum over users of products of residuals (around mean_affinity and activity_slope) in two different categories. May be negative by chance; never null.',
    user_weights DECIMAL(28,10) NOT NULL COMMENT 'The same products of the expected values: user_products divided by user_weights estimates the user variance. Never null.',
    category_products DECIMAL(28,10) NOT NULL COMMENT 'Sum over users and categories of products of such residuals of two different impressions. May be negative by chance; never null.',
    category_weights DECIMAL(28,10) NOT NULL COMMENT 'The same products of the expected values: category_products divided by category_weights estimates the sum of both variances. Never null.',
    is_own BOOLEAN NOT NULL COMMENT 'True if the fit (the columns that follow) is the segment\'s own; false if the segment has too few users and takes the fit of "*". Never null.',
    mean_affinity DOUBLE NOT NULL COMMENT 'The affinity that is expected of a user who is unknown or has one impression. Above 1 if users with few impressions engage more than users with many. 0 or more; never null.',
    activity_slope DOUBLE NOT NULL COMMENT 'Added to mean_affinity for each unit of the natural logarithm of the user\'s impressions (weighted by age, from 1 on). 0 if the number of impressions says nothing; never null.',
    slope_credibility DOUBLE NOT NULL COMMENT 'The part of the least-squares slope that activity_slope keeps: 1 minus the variance of the slope\'s error divided by the slope\'s square. 0 to 1; never null.',
    user_variance DOUBLE NOT NULL COMMENT 'Variance of the users\' ratio of observed to expected, around what is expected of them. 0 if users do not differ. Never null.',
    category_variance DOUBLE NOT NULL COMMENT 'Variance of a user\'s categories around the user. 0 if no differences in taste can be seen. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, horizon and segment, and for all users ("*"): the affinity that is expected of a user, how much users differ beyond chance, and how much a user\'s categories differ.'
