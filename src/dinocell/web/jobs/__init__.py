"""Work in the background: one file a kind of job, the worker process, and who gets what."""
