"""Work in several processes: an ordered pool, an executor, and the start of a cluster."""
