"""One short script per DVC stage: read params.yaml, call one library function, write metrics."""
