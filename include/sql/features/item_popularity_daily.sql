CREATE TABLE features.item_popularity_daily (
    day DATE NOT NULL COMMENT 'Partition. UTC day at whose end popularity is estimated, from it and the 27 before. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" where the log does not say; never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown in the 28 days. 0 or more; never null.',
    first_day DATE COMMENT 'First day of the 28 on which the item was shown. Null where it was not.',
    days_decayed DOUBLE NOT NULL COMMENT 'Days from first_day to day, each with the weight of its age. 0 where the item was not shown; never null.',
    engaged_decayed DECIMAL(28,10) NOT NULL COMMENT 'Engagements, each with the weight of its age; divided by days_decayed, the item\'s rate per day. Never null.',
    observed DECIMAL(28,10) NOT NULL COMMENT 'Numerator O: engagements that had an expectation, each with the weight of its age, 2^(−age/14 days). 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Denominator E: their expected number, with the same weights. 0 or more; never null.',
    variance DECIMAL(28,10) NOT NULL COMMENT 'Variance V of observed if the item were like any other: Σ e(1 − e), with the squares of the weights. 0 or more; never null.',
    prior DOUBLE NOT NULL COMMENT 'Estimated mean popularity of the item\'s categories on this surface, by the item\'s weights; for an item in no category, of which nothing is known, surface_mean. What a new item starts with. 0 or more; never null.',
    prior_variance DOUBLE NOT NULL COMMENT 'Fitted variance of true popularity between the items of a category, on this surface. 0 or more; never null.',
    credibility DOUBLE NOT NULL COMMENT 'z: the weight of the item\'s own observed/expected in popularity; the prior has the rest. 0 without evidence; 0 to 1; never null.',
    popularity DOUBLE NOT NULL COMMENT 'Engagement relative to what the item\'s slots would have got with the average impression\'s item of the surface: z · observed/expected + (1 − z) · prior. 0 or more; never null.',
    posterior_variance DOUBLE NOT NULL COMMENT 'What is uncertain of popularity. 0 or more; never null.',
    lower_bound DOUBLE NOT NULL COMMENT '5 % bound of popularity: what it is at least, at odds of 19 to 1. At most popularity; never null.',
    surface_mean DOUBLE NOT NULL COMMENT 'Fitted popularity of the mean item of the surface: what an item is expected to be of which nothing is known. Below 1 where better items are shown more often; 1 without evidence. 0 or more; the same in all rows of a surface; never null.',
    surface_variance DOUBLE NOT NULL COMMENT 'What is uncertain of an item of which nothing is known: the variance between categories, and between items of a category. The same in all rows of a surface; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per item, surface and day: popularity by credibility over 28 decayed days, for each item that was shown or is in the catalogue.'
