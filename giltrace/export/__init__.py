"""Traces for other programs: Perfetto, Chrome's trace viewers, spreadsheets.

`registry` knows the formats and `base` says what one is. Timeline formats are made in two steps
that they share: `points` walks through a trace in order of time, a batch at a time, and `shapes`
says what is to be drawn at each point.
"""
