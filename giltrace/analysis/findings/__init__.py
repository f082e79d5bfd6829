"""What is the matter with a GIL: convoys, long holds, threads that take turns, or nothing.

`giltrace.analysis.findings.registry.find_all` finds everything; there is a module for each kind.
docs/explanation/findings.md tells what each kind means, and how it is decided.
"""
