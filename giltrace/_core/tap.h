/* The GIL tap: the interpreter's own condition variable calls, seen at its GOT.
 *
 * take_gil() and drop_gil() are static and inlined, but each must call libc
 * (CPython Python/ceval_gil.c):
 *   pthread_cond_signal(&gil->switch_cond)   this thread has acquired the GIL
 *   pthread_cond_signal(&gil->cond)          this thread is releasing it
 *   pthread_cond_timedwait(&gil->cond, ...)  this thread waits for it
 * (and, while there is a policy, pthread_mutex_lock(&gil->mutex): it is about to do one of these).
 * All three are made with gil->mutex held, so per GIL the hooks exclude one another:
 * that orders the tenures, and gt_tap_stop() needs no more than to take the mutex.
 */
#ifndef GT_TAP_H
#define GT_TAP_H

#include "arena.h"
#include "error.h"
#include "policy.h"

/* What calibration found. */
typedef struct {
    char image[256];
    size_t cond_offset, switch_cond_offset; /* from gil->mutex, bytes, as signed values */
    unsigned attempts;
} gt_tap_facts_t;

/* Once per process: fork handlers. Context: GIL held. */
bool gt_tap_setup(gt_error_t *error);

/* Find the GIL by one save/restore dance under watch. Installs nothing. Context: GIL held. */
bool gt_tap_probe(gt_tap_facts_t *facts, gt_error_t *error);

/* Install the hooks (if they are not there yet) and record into the arena, describing
 * `stacks` frames at each release. Context: GIL held. The arena must outlive gt_tap_stop(). */
bool gt_tap_start(const gt_arena_t *arena, unsigned stacks, gt_error_t *error);

/* Stop recording and take the hooks out. No hook touches the arena after this returns.
 * Context: GIL held. */
void gt_tap_stop(void);

/* Put hooks in place without recording (to measure what they cost when idle). */
bool gt_tap_install(gt_error_t *error);

/* Have this policy decide who gets the GIL, with or without recording. Context: GIL held. */
bool gt_tap_set_policy(gt_policy_t policy, gt_error_t *error);
gt_policy_t gt_tap_policy(void);

/* A thread's priority: kept whatever the policy is, also while there is none. `lent`: when the
 * recording stops it gets back what it had. False: there is no room for it. Context: GIL held. */
bool gt_tap_set_level(uint32_t tid, int level, bool lent);
int gt_tap_level(uint32_t tid);

bool gt_tap_installed(void);
bool gt_tap_recording(void);

/* The arena that is recorded into; NULL: none. Context: GIL held. */
const gt_arena_t *gt_tap_arena(void);

/* Name the calling thread's slot, or `tid`'s when it is another's. Context: GIL held.
 * False when nothing records or every slot is taken. */
bool gt_tap_name_thread(uint32_t tid, const char *name, size_t length);

/* How many GILs are known now. */
unsigned gt_tap_gils(void);

/* Called in a forked child after everything of the parent's recording is forgotten. */
typedef void (*gt_forked_t)(void);
void gt_tap_on_fork(gt_forked_t forked);

#endif
