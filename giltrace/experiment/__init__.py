"""``giltrace bench``: many runs of the servers, compared.

The servers themselves are in `giltrace.scenarios`, and each run of one, a *leg*, is a process of
its own. Here it is decided which legs to run on which interpreters; they are run one at a time,
and made into rows, a JSON document and a plot.
"""
