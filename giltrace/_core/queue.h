/* The threads that wait for one GIL, by urgency and by age.
 *
 * A pairing heap and a list, both threaded through nodes on the waiters' own stacks: nothing is
 * allocated, the most urgent and the oldest are found at once, and with a thousand threads a change
 * takes some dozen steps. Guarded by the GIL's mutex. No Python.h here: the unit tests build this
 * file alone.
 */
#ifndef GT_QUEUE_H
#define GT_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A thread that waits; lives on its stack for as long as it is in a hook. */
typedef struct gt_waiter {
    /* what it is ordered by; not to be changed while it is queued */
    int level;
    int64_t account_ns;
    uint64_t asked_ns; /* when it began to wait, however often it has been back since */
    /* the heap: prev is the sibling to the left, or the parent */
    struct gt_waiter *child, *next, *prev;
    /* the list */
    struct gt_waiter *older, *newer;
    /* the waiter's own affairs (policy.c) */
    void *thread;
    uint64_t usual_ns;
    bool leave;
    pthread_cond_t cond;
} gt_waiter_t;

typedef struct {
    gt_waiter_t *first; /* the most urgent */
    gt_waiter_t *oldest, *newest;
    uint32_t n;
} gt_queue_t;

/* Whether `a` is to be served before `b`: the higher level, then the lower account, then the
 * longer wait. */
bool gt_more_urgent(const gt_waiter_t *a, const gt_waiter_t *b);

void gt_queue_add(gt_queue_t *queue, gt_waiter_t *waiter);
void gt_queue_remove(gt_queue_t *queue, gt_waiter_t *waiter);

#endif
