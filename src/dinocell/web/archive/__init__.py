"""Images, results and jobs of the server, on the disk."""
