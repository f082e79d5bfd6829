#define _GNU_SOURCE
#include "compat.h"

#include "gils.h"

#include <sched.h>

gt_gil_t gt_gils[GT_MAX_GILS];
_Atomic uint32_t gt_n_gils;
gt_calibration_t gt_layout;

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* never taken inside take/drop_gil */
static const gt_arena_t *recorded; /* guarded by registry */
static unsigned next_row;          /* guarded by registry */

/* A thread that forks holds the registry while other libraries' fork handlers run, and one of
 * those may want the GIL: never wait for it with the GIL held. */
static void lock_registry(void)
{
    while (pthread_mutex_trylock(&registry) != 0) {
        PyThreadState *state = PyEval_SaveThread();
        sched_yield();
        PyEval_RestoreThread(state);
    }
}

/* Give the GIL a row and begin to record it; for all but the main one this is the last step,
 * since its hooks may be running. Context: registry held. */
static void record(gt_gil_t *gil, const gt_arena_t *arena)
{
    if (next_row >= GT_MAX_GILS) {
        atomic_fetch_add(&arena->header->gils_unseen, 1);
        return;
    }
    gil->index = next_row++;
    gil->row = &arena->gils[gil->index];
    gil->row->created_ns = gt_now_ns();
    atomic_store(&gil->row->interpreter, gil == gt_gils ? 0 : -1);
    atomic_store_explicit(&gil->row->used, 1, memory_order_release);
    gil->held = true;
    gil->tenure = gil->switches = gil->acquired_ns = 0;
    gil->last = NULL;
    atomic_store(&gil->arena, arena);
}

static void forget(gt_gil_t *gil)
{
    atomic_store(&gil->switch_cond, NULL);
    atomic_store(&gil->cond, NULL);
    atomic_store(&gil->arena, NULL);
}

/* Context: registry held. */
static void add(char *mutex)
{
    uint32_t i = 0, n = atomic_load(&gt_n_gils);
    while (i < n && atomic_load(&gt_gils[i].cond) != NULL)
        i++;
    if (i == GT_MAX_GILS) {
        if (recorded != NULL)
            atomic_fetch_add(&recorded->header->gils_unseen, 1);
        return;
    }
    gt_gils[i].turns = (gt_turns_t){0};
    if (recorded != NULL)
        record(&gt_gils[i], recorded);
    atomic_store(&gt_gils[i].switch_cond,
                 (pthread_cond_t *)(mutex + gt_layout.switch_cond_offset));
    atomic_store(&gt_gils[i].cond, (pthread_cond_t *)(mutex + gt_layout.cond_offset));
    if (i == n)
        atomic_store_explicit(&gt_n_gils, n + 1, memory_order_release);
}

/* create_gil() initialises gil->mutex, gil->switch_mutex, gil->cond and gil->switch_cond, in that
 * order (with FORCE_SWITCHING, which is always defined): these four calls in a row, at the
 * distances that calibration found, are a new GIL, also where one that has ended had been. The
 * main one is made anew in place after a fork, which is no news. */
void gt_gil_made(char *object, bool is_mutex)
{
    const ptrdiff_t offsets[] = {0, gt_layout.switch_mutex_offset, gt_layout.cond_offset,
                                 gt_layout.switch_cond_offset};
    bool fits = gt_self.made > 0 && is_mutex == (gt_self.made < 2) &&
                object - gt_self.made_mutex == offsets[gt_self.made];
    if (!fits) {
        gt_self.made = is_mutex;
        gt_self.made_mutex = object;
        return;
    }
    if (++gt_self.made < 4)
        return;
    gt_self.made = 0;
    bool is_switch;
    gt_gil_t *old = gt_gil_find((pthread_cond_t *)object, &is_switch);
    if (old == gt_gils)
        return;
    pthread_mutex_lock(&registry);
    if (old != NULL)
        forget(old);
    add(gt_self.made_mutex);
    pthread_mutex_unlock(&registry);
}

void gt_gils_begin(const gt_calibration_t *layout)
{
    lock_registry();
    for (uint32_t i = 0; i < atomic_load(&gt_n_gils); i++)
        forget(&gt_gils[i]); /* of interpreters that came and went unseen since */
    gt_layout = *layout;
    add((char *)layout->mutex);
    gt_gils[0].main = true;
    pthread_mutex_unlock(&registry);
}

/* Interpreters beside the main one that were there before us; from 3.12 on each may have a GIL of
 * its own, and nothing shows where that is. */
static uint64_t count_others(void)
{
    uint64_t n = 0;
#if PY_VERSION_HEX >= 0x030C0000
    for (PyInterpreterState *i = PyInterpreterState_Head(); i != NULL;
         i = PyInterpreterState_Next(i))
        n += i != PyInterpreterState_Main();
#endif
    return n;
}

void gt_gils_record(const gt_arena_t *arena)
{
    lock_registry();
    atomic_store(&arena->header->interpreters_before, count_others());
    next_row = 0;
    recorded = arena;
    pthread_mutex_lock(gt_layout.mutex);
    record(&gt_gils[0], arena);
    gt_record_acquire(arena, &gt_gils[0], gt_clock_ns(&gt_gils[0].clock), GT_FLAG_SYNTHETIC);
    pthread_mutex_unlock(gt_layout.mutex);
    for (uint32_t i = 1; i < atomic_load(&gt_n_gils); i++)
        if (atomic_load(&gt_gils[i].cond) != NULL)
            record(&gt_gils[i], arena);
    pthread_mutex_unlock(&registry);
}

void gt_gils_stop(void (*last)(void))
{
    lock_registry();
    const gt_arena_t *arena = recorded;
    if (arena == NULL) { /* another thread has, while this one let go of the GIL for the lock */
        pthread_mutex_unlock(&registry);
        return;
    }
    recorded = NULL;
    pthread_mutex_lock(gt_layout.mutex);
    if (gt_gils[0].held && gt_gils[0].last == &gt_self)
        gt_record_release(arena, &gt_gils[0], gt_clock_ns(&gt_gils[0].clock), GT_FLAG_SYNTHETIC);
    atomic_store(&gt_gils[0].arena, NULL);
    last();
    pthread_mutex_unlock(gt_layout.mutex);
    for (uint32_t i = 1; i < atomic_load(&gt_n_gils); i++) {
        atomic_store(&gt_gils[i].arena, NULL);
        while (atomic_load(&gt_gils[i].busy))
            sched_yield(); /* some hundred nanoseconds of another interpreter's thread */
    }
    atomic_store(&arena->header->stop_ns, gt_now_ns());
    pthread_mutex_unlock(&registry);
}

const gt_arena_t *gt_gils_arena(void)
{
    return recorded;
}

unsigned gt_gils_count(void)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < atomic_load(&gt_n_gils); i++)
        n += atomic_load(&gt_gils[i].cond) != NULL;
    return n;
}

void gt_gils_before_fork(void)
{
    pthread_mutex_lock(&registry);
}

void gt_gils_after_fork(void)
{
    pthread_mutex_unlock(&registry);
}

/* The child must never write into its parent's arena, which is shared memory. It has one
 * thread, and CPython makes its GIL anew at the same address, so nothing needs a lock. */
void gt_gils_forked(void)
{
    for (uint32_t i = 1; i < GT_MAX_GILS; i++) {
        forget(&gt_gils[i]);
        gt_gils[i].turns = (gt_turns_t){0};
        atomic_store(&gt_gils[i].busy, 0);
    }
    atomic_store(&gt_gils[0].arena, NULL);
    recorded = NULL;
}
