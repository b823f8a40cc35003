CREATE TABLE serving.fallback_ranking (
    hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour at whose end it was ranked; it serves the next. Never null.',
    segment STRING COMMENT 'The segment of the users: their country; "*" serves every user who is in no other segment. Never null.',
    rank INT NOT NULL COMMENT 'Place of the item for the segment, 1 = first, without gaps. Never null.',
    ranks INT NOT NULL COMMENT 'How many items the segment has: the last rank, 1 to 100. Never null.',
    item_id STRING COMMENT 'The item to show; joins catalog.items.item_id. Never null.',
    category STRING COMMENT 'Category of the item with the largest weight; "unknown" if it has none. Never null.',
    category_rank INT NOT NULL COMMENT 'Place of the item among the items of its category for the segment: 1 to 20, the quota. Never null.',
    score DOUBLE NOT NULL COMMENT 'Mean over the surfaces, by the segment\'s impressions and clicks there, of the lower bound of popularity, times 1.5 if it trends, times freshness. 0 or more, falls with rank; never null.',
    freshness DOUBLE NOT NULL COMMENT '0.5 + 0.5 · 2^(−age/7 days): 1 for an item published now, 0.5 for one of unknown age. Never null.',
    is_trending BOOLEAN NOT NULL COMMENT 'True if the item trends on one of the surfaces. Never null.',
    segments BIGINT NOT NULL COMMENT 'How many segments must have a ranking: those with an event in the last 24 hours, and "*". Never null.',
    segments_served BIGINT NOT NULL COMMENT 'How many segments of the hour have a ranking. Equal to segments; never null.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per segment, rank and hour: what to show to users who have no recommendations, by rules.'
