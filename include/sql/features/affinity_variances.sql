CREATE TABLE features.affinity_variances (
    day DATE NOT NULL COMMENT 'Partition. The last UTC day of the window. Never null.',
    horizon STRING COMMENT 'How far back: long (56 days, half-life 28) or short (14 days, half-life 3). See include/spark/decay.py. Never null.',
    segment STRING COMMENT 'What segments users, the country; "*" = all users. Never null.',
    users BIGINT NOT NULL COMMENT 'Users of the segment within the horizon. 1 or more; never null.',
    observed DECIMAL(28,10) NOT NULL COMMENT 'Their engagements, weighted by age. 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'What the baseline expected of them; observed by expected is 1 where the segment\'s impressions are engaged with as those of all are. 0 or more; never null.',
    user_products DECIMAL(28,10) NOT NULL COMMENT 'Sum over users of products of residuals, from mean_affinity and activity_slope, in two different categories. Negative where chance wins; never null.',
    user_weights DECIMAL(28,10) NOT NULL COMMENT 'The same products of the expected: user_products by user_weights estimates the user variance. Never null.',
    category_products DECIMAL(28,10) NOT NULL COMMENT 'Sum over users and categories of products of such residuals of two different impressions. Negative where chance wins; never null.',
    category_weights DECIMAL(28,10) NOT NULL COMMENT 'The same products of the expected: category_products by category_weights estimates both variances together. Never null.',
    is_own BOOLEAN NOT NULL COMMENT 'True where the fit (what follows) is of the segment itself; false where its users are too few and that of "*" stands in. Never null.',
    mean_affinity DOUBLE NOT NULL COMMENT 'The affinity that is expected of a user of whom nothing is known, or one impression. Above 1 where users of few impressions engage more than those of many. 0 or more; never null.',
    activity_slope DOUBLE NOT NULL COMMENT 'What is added to mean_affinity for each unit of the natural logarithm of the user\'s impressions (weighted by age, from 1 on). 0 where the number says nothing; never null.',
    slope_credibility DOUBLE NOT NULL COMMENT 'What activity_slope keeps of the slope by least squares: 1 less the variance of its error by its square. 0 to 1; never null.',
    user_variance DOUBLE NOT NULL COMMENT 'Variance of users around what is expected of them, of the ratio of observed to expected. 0 where users do not differ. Never null.',
    category_variance DOUBLE NOT NULL COMMENT 'Variance of a user\'s categories around the user. 0 where taste is not to be seen. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, horizon and segment, and for all users ("*"): the affinity that is expected of a user, how much users differ, and a user\'s categories, beyond chance.'
