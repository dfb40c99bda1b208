"""HTTP: health and metrics. Holds no patient data and takes no request body."""
