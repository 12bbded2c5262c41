"""Many pictures or arrays, and a model, in; Parquet files of digits out, by several processes."""
