CREATE TABLE features.engagement_baseline (
    day DATE NOT NULL COMMENT 'Partition. UTC day whose impressions the row predicts. It is counted from the 28 days before, so no impression predicts itself. Empty on the first day of a history. Never null.',
    surface STRING COMMENT 'The place in the product; "*" = any; use it for surfaces that were not seen. Never null.',
    position_bucket STRING COMMENT 'Slot of the item in the list; "*" = any; use it for buckets that were not seen on the surface. Never null.',
    category STRING COMMENT 'Category of the item; "*" = any; use it for categories that were not seen there. Never null.',
    impressions DECIMAL(28,10) NOT NULL COMMENT 'Impressions of the cell in the 28 days; an item\'s impression is split by its categories. 0 or more; never null.',
    engaged DECIMAL(28,10) NOT NULL COMMENT 'Impressions that users engaged with, plus engagements that came on another day than their impression. 0 or more; never null.',
    rate DOUBLE NOT NULL COMMENT 'Expected engagements of one impression there: engaged divided by impressions, smoothed towards the row with one more "*". 0 to 1; never null.',
    position_rate DOUBLE NOT NULL COMMENT 'Expected engagements of one impression of the surface\'s average item there, whatever its category. Use it to judge items: rate would hide their own appeal, because it follows their category and the items that a ranking puts there. In rows above the buckets ("*") it equals rate. 0 to 1; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, surface, position bucket and category, and per parent of such a cell ("*"): how often the average user engages there.'
