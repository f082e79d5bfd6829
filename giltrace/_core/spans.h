/* Function spans: which Python functions ran when, if they took long enough to matter.
 *
 * Each thread keeps the functions it is in; when one ends that took at least the least duration,
 * a SPAN is written. On CPython 3.11 the events come from the C profile function of each thread
 * (PyEval_SetProfile), from 3.12 on from sys.monitoring, whose callbacks are the functions below.
 */
#ifndef GT_SPANS_H
#define GT_SPANS_H

#include <Python.h>

/* Record spans of at least `least_ns` from now on, into whatever is recorded into.
 * Context for all: main interpreter's GIL held. */
void gt_spans_start(uint64_t least_ns);

/* Write no more. What is open is forgotten. */
void gt_spans_stop(void);

/* The calling thread enters or leaves a function; also a generator that goes on or pauses. */
void gt_spans_enter(PyCodeObject *code);
void gt_spans_leave(PyCodeObject *code);

/* CPython 3.11: take every thread's profile slot that is free; returns a new reference to the
 * list of those found taken, by the type of what is in there. Elsewhere an empty list. */
PyObject *gt_spans_profile(void);

/* Give them back. */
void gt_spans_unprofile(void);

/* The calling thread has acquired the GIL for the first time in this recording.
 * Context: inside take_gil(), as the hooks. */
void gt_spans_thread(void);

#endif
