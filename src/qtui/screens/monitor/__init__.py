"""One run, followed from its files: header, charts, gauges, texts."""
