CREATE TABLE features.item_neighbours (
    day DATE NOT NULL COMMENT 'Partition. The last UTC day of the 28 that are read. Never null.',
    item_id STRING COMMENT 'An item that somebody engaged with; joins catalog.items.item_id. Never null.',
    rank INT NOT NULL COMMENT 'Place of the neighbour, by lift × √neighbour_users; ties are ordered by neighbour_id. From 1 without gaps; never null.',
    ranks INT NOT NULL COMMENT 'How many neighbours the item has: the last rank, 1 to 50. Never null.',
    neighbour_id STRING COMMENT 'Another item that users of the item engaged with. Never null.',
    users BIGINT NOT NULL COMMENT 'n: users who engaged with the item in the 28 days and have it among their 50 most recent items. 1 or more; never null.',
    neighbour_users BIGINT NOT NULL COMMENT 'The same number for the neighbour. 1 or more; never null.',
    together BIGINT NOT NULL COMMENT 'Numerator O: users who engaged with both. 1 or more; never null.',
    expected DOUBLE NOT NULL COMMENT 'Denominator E: users of both items that popularity alone explains, λ · users · neighbour_users, with λ such that ΣE = ΣO over all pairs of items of the day. Above 0; never null.',
    lift_variance DOUBLE NOT NULL COMMENT 'Fitted variance of the true O/E between pairs of items. 0 or more, the same in all rows of a day; never null.',
    credibility DOUBLE NOT NULL COMMENT 'z = lift_variance · E / (lift_variance · E + 1): how much of O/E is believed. 0 to 1; never null.',
    lift DOUBLE NOT NULL COMMENT 'z · O/E + (1 − z): how many times as often users of one item engage with the other as popularity explains. 1 = no more often. Above 0; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per item, neighbour and day: which items the same users engage with more than popularity alone explains; the 50 strongest neighbours of each item.'
