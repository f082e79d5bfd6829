/* The functions of giltrace._core, which are in several files.
 *
 * Context of all: the main interpreter's GIL held, and an exception set if they fail.
 */
#ifndef GT_MODULE_H
#define GT_MODULE_H

#include <Python.h>

#include "error.h"

extern PyObject *gt_tap_error; /* giltrace._core.TapError, owned for as long as the process lives */

/* Raise it; returns NULL. */
PyObject *gt_raise_tap(const gt_error_t *error);

/* Starting, stopping and examining: see module_tap.c. The process's one recording is kept there. */
extern PyMethodDef gt_tap_methods[];

/* In a forked child: forget the recording, which is the parent's. */
void gt_tap_module_forked(void);

/* What a recorder does to other processes, and with memory that it shares with them. */
extern PyMethodDef gt_recorder_methods[];

#endif
