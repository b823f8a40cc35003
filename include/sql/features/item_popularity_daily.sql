CREATE TABLE features.item_popularity_daily (
    day DATE NOT NULL COMMENT 'Partition. UTC day at whose end popularity is estimated, from it and the 27 before. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown in the 28 days. 0 or more; never null.',
    first_day DATE COMMENT 'First day of the 28 on which the item was shown. Null if it was not shown.',
    days_decayed DOUBLE NOT NULL COMMENT 'Days from first_day to day, each weighted by its age. 0 if the item was not shown; never null.',
    engaged_decayed DECIMAL(28,10) NOT NULL COMMENT 'Engagements, each weighted by its age. Divided by days_decayed it gives the item\'s rate per day. Never null.',
    observed DECIMAL(28,10) NOT NULL COMMENT 'Numerator O: engagements that had an expectation, each weighted by its age, 2^(−age/14 days). 0 or more; never null.',
    expected DECIMAL(28,10) NOT NULL COMMENT 'Denominator E: the expected number of engagements, with the same weights. 0 or more; never null.',
    variance DECIMAL(28,10) NOT NULL COMMENT 'Variance V that observed would have if the item were like any other: Σ e(1 − e), with the squares of the weights. 0 or more; never null.',
    prior DOUBLE NOT NULL COMMENT 'Estimated mean popularity of the item\'s categories on this surface, by the item\'s weights. A new item starts with it. For an item without category and evidence it is surface_mean. 0 or more; never null.',
    prior_variance DOUBLE NOT NULL COMMENT 'Fitted variance of true popularity between the items of a category, on this surface. 0 or more; never null.',
    credibility DOUBLE NOT NULL COMMENT 'z: the weight of the item\'s own observed/expected in popularity; the prior has the rest. 0 to 1, and 0 without evidence; never null.',
    popularity DOUBLE NOT NULL COMMENT 'The item\'s engagement divided by what the same slots would have got with the average impression\'s item of the surface: z · observed/expected + (1 − z) · prior. 0 or more; never null.',
    posterior_variance DOUBLE NOT NULL COMMENT 'How uncertain popularity is, as a variance. 0 or more; never null.',
    lower_bound DOUBLE NOT NULL COMMENT '5 % bound of popularity: true popularity is above it at odds of 19 to 1. At most popularity; never null.',
    surface_mean DOUBLE NOT NULL COMMENT 'Fitted popularity of the mean item of the surface: the expectation for an unknown item. Below 1 if better items are shown more often; 1 without evidence. 0 or more; the same in all rows of a surface; never null.',
    surface_variance DOUBLE NOT NULL COMMENT 'How uncertain an unknown item is: the variance between categories plus the variance between items of a category. The same in all rows of a surface; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per item, surface and day: popularity by credibility over 28 decayed days, for each item that was shown or is in the catalogue.'
