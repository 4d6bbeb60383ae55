"""Numbers, plots, verdict and HTML page of a take's report."""
