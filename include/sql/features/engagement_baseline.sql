CREATE TABLE features.engagement_baseline (
    day DATE NOT NULL COMMENT 'Partition. UTC day whose impressions the row predicts, from the 28 days before it: no impression predicts itself. Empty on the first day of a history. Never null.',
    surface STRING COMMENT 'The place in the product; "*" = any, for surfaces that were not seen. Never null.',
    position_bucket STRING COMMENT 'Slot of the item in the list; "*" = any, for buckets that were not seen on the surface. Never null.',
    category STRING COMMENT 'Category of the item; "*" = any, for categories that were not seen there. Never null.',
    impressions DECIMAL(28,10) NOT NULL COMMENT 'Impressions of the cell in the 28 days, an item split by its categories. 0 or more; never null.',
    engaged DECIMAL(28,10) NOT NULL COMMENT 'Those that users engaged with, and engagements that came on another day than their impression. 0 or more; never null.',
    rate DOUBLE NOT NULL COMMENT 'Expected engagements of one impression there: engaged by impressions, smoothed towards the row with one "*" more. 0 to 1; never null.',
    position_rate DOUBLE NOT NULL COMMENT 'Expected engagements of one impression of the surface\'s average item there, whatever its category: for items, whose own appeal a rate of their category, or of the items that a ranking puts there, would hide. In the rows of a bucket; rate in its parents\'. 0 to 1; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, surface, position bucket and category, and per parent of such a cell ("*"): how often the average user engages there.'
