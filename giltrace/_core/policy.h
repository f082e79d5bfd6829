/* Who gets the GIL next: priorities on an interpreter that knows none.
 *
 * take_gil() looks again at whether the GIL is free each time its timed wait returns, and makes a
 * drop request when that returned ETIMEDOUT. So the hooks may wait in its place, wake whom they
 * choose, and return early or late. Everything here runs with the GIL's mutex held:
 *
 *   - Who has to wait does so on a condition variable of its own, in the GIL's queue.
 *   - A release hands the GIL to one waiter, the most urgent, and wakes that one.
 *   - Who comes while the GIL is free but handed to someone more urgent waits, too.
 *   - A waiter more urgent than the holder makes its drop request at once, an equal one after the
 *     switch interval, a less urgent one when it has waited for too long (ageing).
 *
 * No wake-up is lost. While waiters are queued, the GIL is either held, and its release will hand
 * it on; or free and handed to a waiter that has been signalled since, under the same mutex under
 * which it went to sleep. That one is queued until it wakes, and then either takes the GIL before
 * it lets go of the mutex, or finds it held by someone who came first, which is the first case.
 * Besides, every sleep ends: who wakes to a GIL that has been free for an interval takes it.
 */
#ifndef GT_POLICY_H
#define GT_POLICY_H

#include "clock.h"
#include "queue.h"

#include <stdatomic.h>
#include <time.h>

typedef enum {
    GT_POLICY_CPYTHON = 0, /* hands off */
    GT_POLICY_MANUAL = 1,  /* levels alone */
    GT_POLICY_AUTO = 2,    /* levels, and between equal ones accounts */
} gt_policy_t;

extern _Atomic uint32_t gt_policy_mode; /* gt_policy_t */

/* What the policy keeps of a thread. Others read `level` and `account_ns` of a thread that holds
 * or waits, under the GIL's mutex. */
typedef struct {
    _Atomic int level;
    uint32_t looked;      /* at which change of the table of levels */
    uint32_t tid;
    uint32_t epoch;       /* of the policy that the rest belongs to */
    const void *gil;      /* ... and the GIL */
    uint64_t born;        /* see levels.h */
    int64_t account_ns;   /* GIL time used, less the time off the GIL by its own will */
    uint64_t burst_ns;    /* GIL time since it last let go by itself */
    uint64_t usual_ns;    /* what such a burst has come to lately */
    uint64_t released_ns; /* when it last let go by itself; 0: it was made to */
    uint64_t asked_ns;    /* since when it has been waiting; 0: it does not */
} gt_turn_t;

extern _Thread_local gt_turn_t gt_turn __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* What the policy keeps of a GIL. */
typedef struct {
    gt_queue_t queue;
    gt_waiter_t *handed;     /* the GIL is free, and this one's to take */
    gt_turn_t *holder;       /* NULL: free, or taken before we were here */
    uint32_t epoch;          /* of the policy that this belongs to */
    bool main;               /* the main interpreter's */
    bool free;
    bool aged;               /* it is handed or held because of ageing: no early drop requests */
    uint32_t quiet;          /* releases since anyone waited, up to QUIET_AFTER */
    uint64_t acquired_ns, released_ns;
    uint64_t requested_ns;   /* the last drop request of this tenure; 0: none */
    uint64_t next_aged_ns;   /* no turn because of ageing before */
    uint64_t interval_ns;    /* the switch interval as last seen */
    uint64_t switches;       /* acquires by another thread than the last, as gil->switch_number */
    const gt_turn_t *last;
    int64_t floor_ns;        /* accounts lie around here; only grows */
} gt_turns_t;

/* The hooks' part. Context: inside take_gil() or drop_gil() with the GIL's mutex held. None
 * allocates or sets errno; only gt_policy_wait() blocks, as the call it stands for does. */

/* The calling thread has taken the GIL, or is letting it go; `by_itself`: surely by its own will,
 * whether or not it was asked to. */
void gt_policy_acquired(gt_turns_t *turns, gt_clock_t *clock);
void gt_policy_released(gt_turns_t *turns, gt_clock_t *clock, bool by_itself);

/* The calling thread is about to look whether the GIL is free, which it is, and handed to another:
 * whether that one comes first. */
bool gt_policy_gives_way(gt_turns_t *turns, gt_clock_t *clock);

/* Wait for the GIL. As pthread_cond_timedwait(): ETIMEDOUT means that a drop request is due, 0
 * that the GIL may be free. `deadline`: the interpreter's own, NULL if it did not give one.
 * *early is set if a drop request is made before the switch interval is over. */
int gt_policy_wait(gt_turns_t *turns, gt_clock_t *clock, pthread_mutex_t *mutex,
                   const struct timespec *deadline, bool *early);

/* The rest: the main interpreter's GIL held. */

/* Once per process. */
bool gt_policy_setup(void);

/* Other rules hold from now on: forget accounts, and let all waiters come back under them.
 * `turns` is the main GIL's, and its mutex is held as well. Waiters of other GILs, which may
 * vanish at any time, notice when they wake up, after LONGEST_SLEEP_ASIDE_NS at the latest. */
void gt_policy_begins(gt_turns_t *turns, gt_policy_t policy);

/* The level of `tid` has changed: tell it if it waits or holds. `turns` is the main GIL's, and its
 * mutex is held. */
void gt_policy_level_changed(gt_turns_t *turns, uint32_t tid, int level);

/* Learn the calling thread's level if others may have changed it. Context: any. */
void gt_policy_look(void);

/* The calling thread's id. Context: any. */
uint32_t gt_policy_tid(void);

/* In a forked child, which has one thread, and that one holds the GIL. */
void gt_policy_forked(gt_turns_t *turns);

#endif
