"""The report as one page that opens from disk: no network, no script, nothing else beside it.

`giltrace.report.html.page` puts it together; what it shows as pictures is worked out in
`giltrace.report.html.timeline` and `giltrace.report.html.charts`; ``page.html`` and ``page.css``
lie beside them.
"""
