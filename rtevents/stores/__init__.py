"""Where rows are kept: one file per backend, and the table of them all."""
