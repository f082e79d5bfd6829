/* Which C function a thread is in when it lets the GIL go.
 *
 * Functions known to block are interposed on: the pointer in their PyMethodDef, through which the
 * interpreter, the methods of C types and Cython's functions are all called, leads to a thunk of
 * ours, which notes where the thread stands and calls the original. That costs some nanoseconds
 * for these functions and nothing for all others, needs no profile or monitoring slot, and sees
 * calls that no Python code makes (docs/adr/0009).
 */
#ifndef GT_CALLS_H
#define GT_CALLS_H

#include <Python.h>

#include "arena.h"
#include "frames.h"

#define GT_MAX_CALLS 512

/* Where a call's file descriptor is found. */
typedef enum {
    GT_FD_NONE = 0,
    GT_FD_SELF = 1,     /* the object begins with it, as sockets, files and epolls do */
    GT_FD_ARGUMENT = 2, /* the first argument is it */
} gt_fd_t;

/* Interpose on what `callable` calls, known as `name` from now on. False (nothing changed): it is
 * no C function that we know how to interpose on. Again for the same function: no-op.
 * Context: main interpreter's GIL held. */
bool gt_calls_interpose(PyObject *callable, const char *name, gt_fd_t fd);

/* Put everything back as found. Threads may still be inside. Context: GIL held. */
void gt_calls_restore(void);

/* How many functions are interposed on now. */
unsigned gt_calls_count(void);

/* The id of the call in progress that was made where the thread stands, 0 if none is known; *fd
 * is set if the call has a file descriptor. Its name is told to the arena at its first use.
 * Context: as gt_frames_describe(). */
unsigned gt_calls_current(const gt_arena_t *arena, const gt_position_t *position, int *fd);

/* Another recording begins: tell all names anew. Context: GIL held. */
void gt_calls_reset(void);

#endif
