CREATE TABLE serving.user_recommendations (
    day DATE NOT NULL COMMENT 'Partition. UTC day at whose end it was ranked; it serves the next. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    rank INT NOT NULL COMMENT 'Place of the item for the user, 1 = first, without gaps. Never null.',
    ranks INT NOT NULL COMMENT 'How many items the user has: the last rank, 1 to 20. Never null.',
    item_id STRING COMMENT 'The item to show; joins catalog.items.item_id. Never null.',
    category STRING COMMENT 'Category of the item that adds most to the affinity: what it is recommended for. Never null.',
    category_rank INT NOT NULL COMMENT 'Place of the item among those of its category for the user: 1 to 8, the quota. Never null.',
    score DOUBLE NOT NULL COMMENT 'affinity × √engaged × (1 + evidence). 0 or more, falls with rank; never null.',
    affinity DOUBLE NOT NULL COMMENT 'The user\'s affinities to the item\'s categories, long horizon, averaged by its weights: features.user_category_affinity, and user_affinity for a category that the user never met. 0 or more; never null.',
    engaged DOUBLE NOT NULL COMMENT 'Engagements with the item in the 28 days up to day, on all surfaces, each with the weight of its age: features.item_popularity_daily. 0 or more; never null.',
    evidence DOUBLE NOT NULL COMMENT 'Σ of the lifts of the user\'s newest 20 items to this one, each with the weight 2^(−place/5), the newest at place 0: features.item_neighbours. 0 where it is no neighbour of any; never null.',
    times_seen INT NOT NULL COMMENT 'Whether the user was shown the item or engaged with it in the 28 days up to day: always 0, or it would not be here. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per user, rank and day: the best unseen items by what the user\'s own items lead to, category affinity and engagements, within quotas per category.'
