CREATE TABLE features.item_trending (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour at whose end the item was judged; the last of the three hours that count. Never null.',
    item_id STRING COMMENT 'The item; joins catalog.items.item_id. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    impressions BIGINT NOT NULL COMMENT 'Times that the item was shown in the three hours. 0 or more; never null.',
    observed BIGINT NOT NULL COMMENT 'Engagements with the item in the three hours. 0 or more; never null.',
    expected DOUBLE NOT NULL COMMENT 'Engagements expected in the three hours: the blend of the next two columns, times level. 0 if nothing is known; never null.',
    expected_by_history DOUBLE NOT NULL COMMENT 'The item\'s own decayed engagements per day, times the part of a mean day that these hours of the week make up on this surface. 0 for a newcomer; never null.',
    expected_by_exposure DOUBLE NOT NULL COMMENT 'The expected rates of the item\'s impressions in the three hours, times the 95 % quantile of the popularity that the item had before them: at most this much it gets by merely being shown. 0 if no impression has a rate; never null.',
    history_weight DOUBLE NOT NULL COMMENT 'Weight of expected_by_history in the blend: 0.75 · d/(d + 1) after d decayed days; 1 if exposure expects nothing. 0 to 1; never null.',
    level DOUBLE NOT NULL COMMENT 'How busy the rest of the surface is compared with its own expectation, shrunk towards 1. Above 0; never null.',
    prior_variance DOUBLE NOT NULL COMMENT 'Fitted variance of the true ratio of observed to expected between the items of the surface in this hour. The prior of the score uses at least 1. 0 or more; never null.',
    trend DOUBLE NOT NULL COMMENT 'Posterior mean of observed/expected; 1 means as expected. 0 or more; never null.',
    score DOUBLE NOT NULL COMMENT 'Trend score, the lower bound of trend: the 5 % quantile of the posterior of observed/expected (EB05). Rank by this. 0 or more, at most trend; never null.',
    is_trending BOOLEAN NOT NULL COMMENT 'True if score is 2 or more and observed is 10 or more. Never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item, surface and hour: engagements of the last three hours compared with what was expected, for the items shown or engaged with in them.'
