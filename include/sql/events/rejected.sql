CREATE TABLE events.rejected (
    arrival_hour TIMESTAMP NOT NULL COMMENT 'Partition. UTC hour of the landing-zone folder in which the file arrived. Never null.',
    kind STRING NOT NULL COMMENT 'What the file holds: events or items. Never null.',
    source_file STRING COMMENT 'Path of the registered file that the row was read from. Never null.',
    line BIGINT COMMENT 'Line of source_file that holds the row, the first is 1; in Parquet, the row\'s number, the first is 1. Null if the whole file could not be read (a truncated gzip, a broken footer): then the row stands for the file.',
    received_at TIMESTAMP COMMENT 'When the file reached the landing zone, by the storage\'s modification time, registered once, UTC. Never null.',
    reason STRING COMMENT 'The first rule that the row breaks, with the field and its value, e.g. "duration_ms: \'abc\' is not a whole number"; the list is in docs/sources.md. Never null.',
    raw STRING COMMENT 'The row as it stood in the file, its first 2,000 characters; bytes that are not UTF-8 are replaced by U+FFFD; a Parquet row is written as JSON. Null if line is null.'
)
USING iceberg
PARTITIONED BY (arrival_hour)
COMMENT 'One row per malformed row of a registered file, events and items alike, with the reason; or per file that could not be read at all.'
