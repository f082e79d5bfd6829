/* The recorder's reader of what the kernel does with threads, as a Python type. */
#ifndef GT_SCHED_READER_H
#define GT_SCHED_READER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A new heap type `SchedReader`; NULL with an exception set. */
PyObject *gt_sched_reader_type(PyObject *module);

#endif
