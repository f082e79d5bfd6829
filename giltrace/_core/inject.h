/* Making another process run a line of Python: the debugger's part of `giltrace attach`.
 *
 * One thread of the target is stopped for some 100 microseconds by ptrace, made to call a few
 * functions of its own libc and libpython, and put back exactly as it was (tracee.h). None of these
 * calls can wait for the GIL. What they set up runs the text later, by the target's own means:
 *
 *   GT_INJECT_THREAD   a new thread takes the GIL when it is free, runs the text, and ends
 *   GT_INJECT_PENDING  the main thread runs it at its next check of the eval breaker
 *
 * (docs/adr/0010). No Python.h here.
 */
#ifndef GT_INJECT_H
#define GT_INJECT_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Functions of the target, by their addresses there. */
typedef struct {
    uint64_t mmap, mprotect, munmap, pthread_create, pthread_detach;
    uint64_t is_initialized, add_pending_call, ensure, release, run;
} gt_functions_t;

typedef enum { GT_INJECT_THREAD, GT_INJECT_PENDING } gt_inject_mode_t;

typedef enum {
    GT_INJECTED,
    GT_INJECT_NOT_NOW, /* nothing was changed: the thread is not where this is safe, or has ended */
    GT_INJECT_FAILED,  /* nothing was changed: see the error; errno if the kernel refused */
} gt_injected_t;

/* Context: any thread of the recorder; blocks for two seconds at the most, with all signals held
 * back; for longer only where the kernel keeps the thread inside a call that we made it make.
 * `tid` is a thread of another process, for GT_INJECT_PENDING the main one. */
gt_injected_t gt_inject(pid_t tid, gt_inject_mode_t mode, const gt_functions_t *functions,
                        const char *text, size_t length, int *code, gt_error_t *error);

#endif
