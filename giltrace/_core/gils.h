/* The GILs of this process: which there are, where their parts lie, and who records them. */
#ifndef GT_GILS_H
#define GT_GILS_H

#include "calibration.h"
#include "gil.h"

/* The first is the main interpreter's. Those without a cond are free places. */
extern gt_gil_t gt_gils[GT_MAX_GILS] __attribute__((visibility("hidden")));
extern _Atomic uint32_t gt_n_gils __attribute__((visibility("hidden"))); /* places ever used */
extern gt_calibration_t gt_layout __attribute__((visibility("hidden"))); /* of each of them */

/* The GIL that a condition variable belongs to, as its switch_cond or its cond; NULL: none. */
static inline gt_gil_t *gt_gil_find(const pthread_cond_t *cond, bool *is_switch)
{
    uint32_t n = atomic_load_explicit(&gt_n_gils, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        *is_switch = atomic_load_explicit(&gt_gils[i].switch_cond, memory_order_relaxed) == cond;
        if (*is_switch || atomic_load_explicit(&gt_gils[i].cond, memory_order_relaxed) == cond)
            return &gt_gils[i];
    }
    return NULL;
}

/* The arena to record into, or NULL. Until gt_gil_leave() it stays mapped: gt_gils_stop() takes
 * the main GIL's mutex, which the hook holds, and waits for the others to be no longer busy. */
static inline const gt_arena_t *gt_gil_enter(gt_gil_t *gil)
{
    const gt_arena_t *arena = atomic_load_explicit(&gil->arena, memory_order_relaxed);
    if (arena == NULL)
        return NULL;
    if (gil == gt_gils)
        return atomic_load_explicit(&arena->header->on, memory_order_relaxed) ? arena : NULL;
    atomic_fetch_add(&gil->busy, 1);
    arena = atomic_load(&gil->arena);
    if (arena == NULL)
        atomic_fetch_sub(&gil->busy, 1);
    return arena;
}

static inline void gt_gil_leave(gt_gil_t *gil)
{
    if (gil != gt_gils)
        atomic_fetch_sub(&gil->busy, 1);
}

/* A mutex or condition variable is being initialised: it may complete a new GIL. Context: any. */
void gt_gil_made(char *object, bool is_mutex);

/* Know of the main GIL alone. Context of this and of all below: main GIL held. */
void gt_gils_begin(const gt_calibration_t *layout);

/* Record all of them, and those to come, into the arena. */
void gt_gils_record(const gt_arena_t *arena);

/* Record none of them. `last` is called with the main GIL's mutex held. */
void gt_gils_stop(void (*last)(void));

/* The arena that they are recorded into; NULL: none. */
const gt_arena_t *gt_gils_arena(void);

/* How many there are. */
unsigned gt_gils_count(void);

/* Around fork(), as pthread_atfork() wants it. The child is left with an unrecorded main GIL; the
 * registry is still locked in gt_gils_forked(). */
void gt_gils_before_fork(void);
void gt_gils_after_fork(void);
void gt_gils_forked(void);

#endif
