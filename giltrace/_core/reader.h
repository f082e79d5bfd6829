/* The recorder's side of an arena, as a Python type. */
#ifndef GT_READER_H
#define GT_READER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A new heap type `ArenaReader`; NULL with an exception set. */
PyObject *gt_reader_type(PyObject *module);

#endif
