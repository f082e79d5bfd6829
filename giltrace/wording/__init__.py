"""Wording: how things are put, the same in every view.

Numbers, threads and places: `human`, `labels`. What a trace comes to, for someone who has never
heard of the GIL's rules: `opening` says what was recorded, `stories` tells each finding,
`remedies` what would help. All of it is plain text; names of threads stand in backticks, and
nothing that a target chose can act on a terminal.
"""
