CREATE TABLE rollups.position_engagement_daily (
    day DATE NOT NULL COMMENT 'Partition. UTC day of the events. Never null.',
    surface STRING COMMENT 'The place in the product. "unknown" if the log does not say; never null.',
    position_bucket STRING COMMENT 'Slot of the item in the list: 0, 1, 2, 3, 4-5, 6-10, 11-20, 21+, as the log counts. "unknown" if the log does not say; never null.',
    category STRING COMMENT 'Category of the item by the catalogue of the day. "unknown" if the item has none or is not in the catalogue; never null.',
    impressions DECIMAL(28,10) NOT NULL COMMENT 'Times that items of the category were shown there: each impression of an item counts with the weight of the category. 0 or more; never null.',
    engaged DECIMAL(28,10) NOT NULL COMMENT 'Impressions with which the user engaged at least once that day, by the same weights. Engagements for which the log gives neither impression nor slot are added, spread over the slots in which their item was shown that day. Can exceed impressions if an engagement came on another day than its impression. 0 or more; never null.',
    engaged_paired DECIMAL(28,10) NOT NULL COMMENT 'Compares the bucket with the next one below by the same items: for each item, its engagements here times the share of its impressions in the two buckets that were below. engaged_paired divided by engaged_paired_below is the ratio of the two places, whatever stood in them. 0 or more; never null.',
    engaged_paired_below DECIMAL(28,10) NOT NULL COMMENT 'The other side: for each item, its engagements in the bucket below times the share of its impressions in the two buckets that were here. 0 or more; never null.'
)
USING iceberg
PARTITIONED BY (day)
COMMENT 'One row per day, surface, position bucket and category: impressions and how many were engaged with. Sums over any of them are true counts.'
