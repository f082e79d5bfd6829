#define _GNU_SOURCE
#include "compat.h"

#include "hooks.h"

#include "gils.h"
#include "levels.h"

#include <errno.h>
#include <unistd.h>

static int hook_cond_signal(pthread_cond_t *cond);
static int hook_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *deadline);
static int hook_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
static int hook_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
static int hook_mutex_lock(pthread_mutex_t *mutex);

/* Every function the tap stands in front of, in one place. */
enum { SIGNAL, TIMEDWAIT, COND_INIT, MUTEX_INIT, MUTEX_LOCK, N_PATCHES };
static gt_patch_t patches[N_PATCHES] = {
    [SIGNAL] = {.symbol = "pthread_cond_signal", .hook = (void *)hook_cond_signal},
    [TIMEDWAIT] = {.symbol = "pthread_cond_timedwait", .hook = (void *)hook_cond_timedwait},
    [COND_INIT] = {.symbol = "pthread_cond_init", .hook = (void *)hook_cond_init},
    [MUTEX_INIT] = {.symbol = "pthread_mutex_init", .hook = (void *)hook_mutex_init},
    [MUTEX_LOCK] = {.symbol = "pthread_mutex_lock", .hook = (void *)hook_mutex_lock},
};
static const int first[] = {[GT_HOOKS_RECORD] = 0, [GT_HOOKS_POLICY] = MUTEX_LOCK};
static const int end[] = {[GT_HOOKS_RECORD] = MUTEX_LOCK, [GT_HOOKS_POLICY] = N_PATCHES};

/* --- Wishes and the policy ----------------------------------------------------------- */

void gt_hooks_level_changed(uint32_t tid, int level)
{
    if (gt_has_policy())
        gt_policy_level_changed(&gt_gils[0].turns, tid, level);
}

static void grant(const gt_arena_t *arena)
{
    gt_wish_t wish;
    for (int i = 0; i < GT_WISHES && gt_wish_next(arena, &wish); i++) {
        /* Also 0, for which there is no thread, must not be looked for in the table. */
        if (wish.born == 0 || gt_levels_born(wish.tid) != wish.born)
            continue;
        if (gt_levels_set(wish.tid, wish.born, wish.level, true, true))
            gt_hooks_level_changed(wish.tid, wish.level);
    }
}

/* The recorder's wishes lie beside what gt_gil_enter() has just read. */
static inline void listen(const gt_gil_t *gil, const gt_arena_t *arena)
{
    if (gil == gt_gils &&
        atomic_load_explicit(&arena->header->wishes, memory_order_relaxed) !=
            atomic_load_explicit(&arena->header->wishes_seen, memory_order_relaxed))
        grant(arena);
}

/* Threads that are where the policy's queues are used. Whoever ends the policy waits until there
 * are none: a queue must be empty before its place is given to another GIL. On the main GIL's way
 * through a signal nobody has to be counted, since its mutex excludes who ends the policy. */
static _Atomic uint32_t obeying;

static inline bool obey(void)
{
    atomic_fetch_add(&obeying, 1);
    if (atomic_load(&gt_policy_mode) != GT_POLICY_CPYTHON)
        return true;
    atomic_fetch_sub(&obeying, 1);
    return false;
}

static inline void obeyed(void)
{
    atomic_fetch_sub(&obeying, 1);
}

/* --- The hooks ----------------------------------------------------------------------- */

/* Whether drop_gil() was called, through however many functions, by PyEval_SaveThread(): the
 * frames between the two are the same each time, so its return address lies where calibration
 * found it. Where the compiler inlined one into the other it does not, and nothing is claimed. */
static inline bool from_save_thread(const void *const *caller_frame)
{
    return gt_layout.save_return != NULL && caller_frame[gt_layout.save_depth] == gt_layout.save_return;
}

static int hook_cond_signal(pthread_cond_t *cond)
{
    bool acquired;
    const gt_arena_t *arena;
    gt_gil_t *gil = gt_gil_find(cond, &acquired);
    if (gil != NULL && gt_has_policy() && (gil == gt_gils || obey())) {
        if (acquired)
            gt_policy_acquired(&gil->turns, &gil->clock);
        else
            gt_policy_released(&gil->turns, &gil->clock, from_save_thread(GT_CALLER_FRAME));
        if (gil != gt_gils)
            obeyed();
    }
    if (gil != NULL && (arena = gt_gil_enter(gil)) != NULL) {
        if (acquired) {
            listen(gil, arena);
            gt_record_acquire(arena, gil, gt_clock_ns(&gil->clock), 0);
        } else
            gt_record_release(arena, gil, gt_clock_ns(&gil->clock),
                           from_save_thread(GT_CALLER_FRAME) ? GT_FLAG_CALL : 0);
        gt_gil_leave(gil);
    }
    /* Also for a thread that began to wait before there was a policy. */
    return ((int (*)(pthread_cond_t *))patches[SIGNAL].real)(cond);
}

/* The thread waits from here on, unless it did already. */
static inline void record_wait(gt_gil_t *gil, const struct timespec *deadline)
{
    const gt_arena_t *arena = gt_gil_enter(gil);
    if (arena == NULL)
        return;
    listen(gil, arena);
    gt_record_wait(arena, gil, deadline);
    gt_gil_leave(gil);
}

static int hook_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *deadline)
{
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
            patches[TIMEDWAIT].real;
    bool is_switch, early = false;
    const gt_arena_t *arena;
    gt_gil_t *gil = gt_gil_find(cond, &is_switch);
    if (gil == NULL)
        return real(cond, mutex, deadline);
    record_wait(gil, deadline);
    uint64_t switches = gil->switches;
    int result;
    if (gt_has_policy() && obey()) {
        result = gt_policy_wait(&gil->turns, &gil->clock, mutex, deadline, &early);
        obeyed();
    } else {
        result = real(cond, mutex, deadline);
    }
    /* As in take_gil(): a time-out becomes a drop request only if the GIL is held and has
     * not changed hands during this round. Recording may have stopped meanwhile. */
    if (result == ETIMEDOUT && (arena = gt_gil_enter(gil)) != NULL) {
        if (gil->held && gil->switches == switches)
            gt_record_request(arena, gil, early ? GT_FLAG_EARLY : 0);
        gt_gil_leave(gil);
    }
    return result;
}

/* take_gil() locks the GIL's mutex and takes the GIL if it is free: the one place to keep it from
 * one that is meant for another thread. drop_gil() does so, too, but while the GIL is held. */
static int hook_mutex_lock(pthread_mutex_t *mutex)
{
    int result = ((int (*)(pthread_mutex_t *))patches[MUTEX_LOCK].real)(mutex);
    /* Who it is meant for waits, and was counted before it let go of this very mutex. */
    if (atomic_load_explicit(&obeying, memory_order_relaxed) == 0)
        return result;
    const char *cond = (const char *)mutex + gt_layout.cond_offset;
    bool is_switch, early; /* switch_mutex lies to switch_cond as the GIL's mutex to its cond */
    gt_gil_t *gil = gt_gil_find((const pthread_cond_t *)cond, &is_switch);
    if (gil == NULL || is_switch || gil->turns.handed == NULL || !obey())
        return result;
    if (gt_policy_gives_way(&gil->turns, &gil->clock)) {
        record_wait(gil, NULL);
        gt_policy_wait(&gil->turns, &gil->clock, mutex, NULL, &early);
    }
    obeyed();
    return result;
}

static int hook_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    int (*real)(pthread_cond_t *, const pthread_condattr_t *) =
        (int (*)(pthread_cond_t *, const pthread_condattr_t *))patches[COND_INIT].real;
    gt_gil_made((char *)cond, false);
    return real(cond, attributes);
}

static int hook_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int (*real)(pthread_mutex_t *, const pthread_mutexattr_t *) =
        (int (*)(pthread_mutex_t *, const pthread_mutexattr_t *))patches[MUTEX_INIT].real;
    gt_gil_made((char *)mutex, true);
    return real(mutex, attributes);
}

/* --- In and out ---------------------------------------------------------------------- */

bool gt_hooks_prepare(const gt_image_t *image, bool trial, gt_error_t *error)
{
    for (int i = 0; i < N_PATCHES; i++) {
        gt_patch_t scratch = patches[i];
        if (!gt_patch_prepare(trial ? &scratch : &patches[i], image))
            return gt_fail(error, "the interpreter does not import every condition variable "
                                  "function that the tap needs");
    }
    return true;
}

bool gt_hooks_install(const gt_image_t *image, gt_hooks_t which)
{
    for (int i = first[which]; i < end[which]; i++)
        if (!gt_patch_apply(&patches[i], image))
            return false;
    /* A thread that was just then binding one of these calls lazily may have written the
     * slot after us. The binding is done by now: let such a thread run, and look again. */
    PyThreadState *state = PyEval_SaveThread();
    PyEval_RestoreThread(state);
    for (int i = first[which]; i < end[which]; i++)
        if (!gt_patch_in_place(&patches[i]))
            gt_patch_apply(&patches[i], image);
    return true;
}

void gt_hooks_remove(const gt_image_t *image, gt_hooks_t from)
{
    for (int i = first[from]; i < N_PATCHES; i++)
        gt_patch_undo(&patches[i], image);
}

void gt_hooks_settle(void)
{
    while (atomic_load(&obeying) != 0) { /* each has been woken, or sleeps for some ms at most */
        PyThreadState *state = PyEval_SaveThread();
        usleep(200);
        PyEval_RestoreThread(state);
    }
}

void gt_hooks_forked(void)
{
    atomic_store(&obeying, 0);
}
