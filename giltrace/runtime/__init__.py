"""What runs inside the target process: the standard library and the C core, nothing else.

Nothing here may change what the target does or let an exception of ours reach it.
"""
