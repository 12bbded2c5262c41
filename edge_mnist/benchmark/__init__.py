"""Model files in; latency measured in worker processes; JSON, CSV, HTML and text reports out."""
