"""Parts of reports: charts, pictures, tables."""
