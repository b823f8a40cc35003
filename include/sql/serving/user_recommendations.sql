CREATE TABLE serving.user_recommendations (
    day DATE NOT NULL COMMENT 'Partition. UTC day at whose end it was ranked; it serves the next. Never null.',
    user_id STRING COMMENT 'The user as the log names them. Never null.',
    rank INT NOT NULL COMMENT 'Place of the item for the user, 1 = first, without gaps. Never null.',
    ranks INT NOT NULL COMMENT 'How many items the user has: the last rank, 1 to 20. Never null.',
    item_id STRING COMMENT 'The item to show; joins catalog.items.item_id. Never null.',
    category STRING COMMENT 'Category of the item that it is recommended for. Never null.',
    category_rank INT NOT NULL COMMENT 'Place of the item among those of its category for the user: 1 to 8, the quota. Never null.',
    score DOUBLE NOT NULL COMMENT 'affinity × popularity. 0 or more, falls with rank; never null.',
    affinity DOUBLE NOT NULL COMMENT 'The user\'s affinity to the category, long horizon: features.user_category_affinity. Never null.',
    popularity DOUBLE NOT NULL COMMENT 'Mean popularity of the item over the surfaces, by expected engagements plus one: features.item_popularity_daily. Never null.',
    times_seen INT NOT NULL COMMENT 'Whether the user was shown the item or engaged with it in the 28 days up to day: always 0, or it would not be here. Never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per user, rank and day: the user\'s best unseen items by category affinity and item popularity, within quotas per category.'
