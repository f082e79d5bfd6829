/* One thread of another process: stopped, made to call functions, and put back as it was (ptrace,
 * x86-64). The others run on. No Python.h here.
 *
 * Context of everything here: the same thread of ours from gt_tracee_stop() on, with all signals
 * held back. When that thread ends, the kernel lets a thread go that would not stop.
 */
#ifndef GT_TRACEE_H
#define GT_TRACEE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* Room for every state component that a processor has today (AMX: 11 kB). */
#define GT_XSTATE_BYTES 16384

/* The stopped thread, and all that has to be put back. */
typedef struct {
    pid_t tid;
    struct user_regs_struct registers;
    char extended[GT_XSTATE_BYTES]; /* floating point and vector registers */
    size_t extended_bytes;
    uint64_t signals; /* its mask */
    gt_error_t *error;
    int *code; /* errno, where it is the kernel that refuses */
} gt_tracee_t;

typedef enum {
    GT_TRACEE_STOPPED,
    GT_TRACEE_GONE,    /* the thread has ended */
    GT_TRACEE_REFUSED, /* see the error */
} gt_tracee_outcome_t;

/* Stop the thread `tid`, and note how it was. Takes a second at the most. */
gt_tracee_outcome_t gt_tracee_stop(gt_tracee_t *thread);

/* Put everything back, and let it go on. A system call that was interrupted is restarted by the
 * kernel, as after any stop. */
void gt_tracee_let_go(gt_tracee_t *thread);

/* Make the stopped thread call a function that cannot wait for long. Its signal handlers do not
 * run meanwhile. False: see the error; it may be in the middle of it, if it takes longer than two
 * seconds, or have ended. */
bool gt_tracee_call(gt_tracee_t *thread, uint64_t function, const uint64_t arguments[6],
                    uint64_t *result);

bool gt_tracee_write(gt_tracee_t *thread, uint64_t to, const void *from, size_t bytes);
bool gt_tracee_read(gt_tracee_t *thread, uint64_t from, void *to, size_t bytes);

/* Some bytes on the thread's own stack, below what it may be using. */
uint64_t gt_tracee_scratch(const gt_tracee_t *thread);

/* Returns false with the message as the error. */
bool gt_tracee_refuse(gt_tracee_t *thread, const char *message);

/* Whether these are of a thread in a system call that waits, and that our stop has interrupted. */
bool gt_interrupted_call(const struct user_regs_struct *registers);

#endif
