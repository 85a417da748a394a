"""How any stage runs in shards, alone or over Dask."""
