"""Making tables: the files of a new one, the pages and the picture of all."""
