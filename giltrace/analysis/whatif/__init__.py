"""What if the GIL were handed over by other rules? Remedies, played on what was recorded.

`giltrace.analysis.whatif.predict.remedies` predicts the usual ones. docs/explanation/what-if.md
tells what is in a prediction and what is not.
"""
