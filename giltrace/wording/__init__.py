"""Numbers, threads and places as a person reads them: the same in every view."""
