CREATE TABLE serving.user_recommendations (
    day DATE NOT NULL COMMENT 'Partition. UTC day at whose end it was ranked; it serves the next. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    rank INT NOT NULL COMMENT 'Place of the item for the user, 1 = first, without gaps. Never null.',
    ranks INT NOT NULL COMMENT 'How many items the user has: the last rank, 1 to 20. Never null.',
    item_id STRING COMMENT 'The item to show; joins catalog.items.item_id. Never null.',
    category STRING COMMENT 'The item\'s category that adds most to the affinity: the item is recommended for it. Never null.',
    category_rank INT NOT NULL COMMENT 'Place of the item among the items of its category for the user: 1 to 8, the quota. Never null.',
    score DOUBLE NOT NULL COMMENT 'affinity × √engaged × (1 + evidence). 0 or more, falls with rank; never null.',
    affinity DOUBLE NOT NULL COMMENT 'The user\'s affinities to the item\'s categories, long horizon, averaged by the item\'s weights, from features.user_category_affinity; for a category that the user never met, user_affinity. 0 or more; never null.',
    engaged DOUBLE NOT NULL COMMENT 'Engagements with the item in the 28 days up to day, on all surfaces, each weighted by its age, from features.item_popularity_daily. 0 or more; never null.',
    evidence DOUBLE NOT NULL COMMENT 'Σ of the lifts from the user\'s 20 most recent items to this one, each with the weight 2^(−place/5), the newest at place 0, from features.item_neighbours. 0 if it is a neighbour of none of them; never null.',
    times_seen INT NOT NULL COMMENT 'Whether the user was shown the item or engaged with it in the 28 days up to day: always 0, because seen items are left out. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per user, rank and day: the best unseen items, by the items that the user\'s own items lead to, category affinity and engagements, within quotas per category.'
