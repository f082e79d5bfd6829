#define _GNU_SOURCE
#include "compat.h"

#include "tap.h"

#include "calibration.h"
#include "calls.h"
#include "clock.h"
#include "frames.h"
#include "gil.h"
#include "levels.h"
#include "policy.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The first is the main interpreter's. */
static gt_gil_t gils[GT_MAX_GILS];
static _Atomic uint32_t n_gils; /* entries ever used */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* never taken inside take/drop_gil */

static const gt_arena_t *active; /* guarded by registry */
static unsigned next_row;        /* guarded by registry */
static gt_calibration_t known;   /* about this interpreter, once installed */
static gt_forked_t on_fork;

static gt_image_t image;
static bool installed;

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
#define N_ALWAYS MUTEX_LOCK /* those before it; the last is for the policy alone */

/* --- Recording: everything here runs with a GIL's mutex held ------------------------- */

/* The arena to record into, or NULL. Until leave() it stays mapped: gt_tap_stop() takes the
 * main GIL's mutex, which this hook holds, and waits for the others to be no longer busy. */
static inline const gt_arena_t *enter(gt_gil_t *gil)
{
    const gt_arena_t *arena = atomic_load_explicit(&gil->arena, memory_order_relaxed);
    if (arena == NULL)
        return NULL;
    if (gil == gils)
        return atomic_load_explicit(&arena->header->on, memory_order_relaxed) ? arena : NULL;
    atomic_fetch_add(&gil->busy, 1);
    arena = atomic_load(&gil->arena);
    if (arena == NULL)
        atomic_fetch_sub(&gil->busy, 1);
    return arena;
}

static inline void leave(gt_gil_t *gil)
{
    if (gil != gils)
        atomic_fetch_sub(&gil->busy, 1);
}

static inline bool has_policy(void)
{
    return atomic_load_explicit(&gt_policy_mode, memory_order_relaxed) != GT_POLICY_CPYTHON;
}

/* --- What the recorder wishes -------------------------------------------------------- */

static void level_changed(uint32_t tid, int level)
{
    if (has_policy())
        gt_policy_level_changed(&gils[0].turns, tid, level);
}

static void grant(const gt_arena_t *arena)
{
    gt_wish_t wish;
    for (int i = 0; i < GT_WISHES && gt_wish_next(arena, &wish); i++) {
        /* Also 0, for which there is no thread, must not be looked for in the table. */
        if (wish.born == 0 || gt_levels_born(wish.tid) != wish.born)
            continue;
        if (gt_levels_set(wish.tid, wish.born, wish.level, true, true))
            level_changed(wish.tid, wish.level);
    }
}

/* The recorder's wishes lie beside what enter() has just read. */
static inline void listen(const gt_gil_t *gil, const gt_arena_t *arena)
{
    if (gil == gils &&
        atomic_load_explicit(&arena->header->wishes, memory_order_relaxed) !=
            atomic_load_explicit(&arena->header->wishes_seen, memory_order_relaxed))
        grant(arena);
}

/* --- The hooks ----------------------------------------------------------------------- */

static inline gt_gil_t *find(const pthread_cond_t *cond, bool *is_switch)
{
    uint32_t n = atomic_load_explicit(&n_gils, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        *is_switch = atomic_load_explicit(&gils[i].switch_cond, memory_order_relaxed) == cond;
        if (*is_switch || atomic_load_explicit(&gils[i].cond, memory_order_relaxed) == cond)
            return &gils[i];
    }
    return NULL;
}

/* Whether drop_gil() was called, through however many functions, by PyEval_SaveThread(): the
 * frames between the two are the same each time, so its return address lies where calibration
 * found it. Where the compiler inlined one into the other it does not, and nothing is claimed. */
static inline bool from_save_thread(const void *const *caller_frame)
{
    return known.save_return != NULL && caller_frame[known.save_depth] == known.save_return;
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

static int hook_cond_signal(pthread_cond_t *cond)
{
    bool acquired;
    const gt_arena_t *arena;
    gt_gil_t *gil = find(cond, &acquired);
    if (gil != NULL && has_policy() && (gil == gils || obey())) {
        if (acquired)
            gt_policy_acquired(&gil->turns, &gil->clock);
        else
            gt_policy_released(&gil->turns, &gil->clock, from_save_thread(GT_CALLER_FRAME));
        if (gil != gils)
            obeyed();
    }
    if (gil != NULL && (arena = enter(gil)) != NULL) {
        if (acquired) {
            listen(gil, arena);
            gt_record_acquire(arena, gil, gt_clock_ns(&gil->clock), 0);
        } else
            gt_record_release(arena, gil, gt_clock_ns(&gil->clock),
                           from_save_thread(GT_CALLER_FRAME) ? GT_FLAG_CALL : 0);
        leave(gil);
    }
    /* Also for a thread that began to wait before there was a policy. */
    return ((int (*)(pthread_cond_t *))patches[SIGNAL].real)(cond);
}

/* The thread waits from here on, unless it did already. */
static inline void record_wait(gt_gil_t *gil, const struct timespec *deadline)
{
    const gt_arena_t *arena = enter(gil);
    if (arena == NULL)
        return;
    listen(gil, arena);
    gt_record_wait(arena, gil, deadline);
    leave(gil);
}

static int hook_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *deadline)
{
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
            patches[TIMEDWAIT].real;
    bool is_switch, early = false;
    const gt_arena_t *arena;
    gt_gil_t *gil = find(cond, &is_switch);
    if (gil == NULL)
        return real(cond, mutex, deadline);
    record_wait(gil, deadline);
    uint64_t switches = gil->switches;
    int result;
    if (has_policy() && obey()) {
        result = gt_policy_wait(&gil->turns, &gil->clock, mutex, deadline, &early);
        obeyed();
    } else {
        result = real(cond, mutex, deadline);
    }
    /* As in take_gil(): a time-out becomes a drop request only if the GIL is held and has
     * not changed hands during this round. Recording may have stopped meanwhile. */
    if (result == ETIMEDOUT && (arena = enter(gil)) != NULL) {
        if (gil->held && gil->switches == switches)
            gt_record_request(arena, gil, early ? GT_FLAG_EARLY : 0);
        leave(gil);
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
    const char *cond = (const char *)mutex + known.cond_offset;
    bool is_switch, early; /* switch_mutex lies to switch_cond as the GIL's mutex to its cond */
    gt_gil_t *gil = find((const pthread_cond_t *)cond, &is_switch);
    if (gil == NULL || is_switch || gil->turns.handed == NULL || !obey())
        return result;
    if (gt_policy_gives_way(&gil->turns, &gil->clock)) {
        record_wait(gil, NULL);
        gt_policy_wait(&gil->turns, &gil->clock, mutex, NULL, &early);
    }
    obeyed();
    return result;
}

/* --- Interpreters with a GIL of their own -------------------------------------------- */

/* Give the GIL a row and begin to record it; for all but the main one this is the last step,
 * since its hooks may be running. Context: registry held. */
static void gil_record_into(gt_gil_t *gil, const gt_arena_t *arena)
{
    if (next_row >= GT_MAX_GILS) {
        atomic_fetch_add(&arena->header->gils_unseen, 1);
        return;
    }
    gil->index = next_row++;
    gil->row = &arena->gils[gil->index];
    gil->row->created_ns = gt_now_ns();
    atomic_store(&gil->row->interpreter, gil == gils ? 0 : -1);
    atomic_store_explicit(&gil->row->used, 1, memory_order_release);
    gil->held = true;
    gil->tenure = gil->switches = gil->acquired_ns = 0;
    gil->last = NULL;
    atomic_store(&gil->arena, arena);
}

static void gil_forget(gt_gil_t *gil)
{
    atomic_store(&gil->switch_cond, NULL);
    atomic_store(&gil->cond, NULL);
    atomic_store(&gil->arena, NULL);
}

/* Context: registry held. */
static void gil_register(char *mutex)
{
    uint32_t i = 0, n = atomic_load(&n_gils);
    while (i < n && atomic_load(&gils[i].cond) != NULL)
        i++;
    if (i == GT_MAX_GILS) {
        if (active != NULL)
            atomic_fetch_add(&active->header->gils_unseen, 1);
        return;
    }
    gils[i].turns = (gt_turns_t){0};
    if (active != NULL)
        gil_record_into(&gils[i], active);
    atomic_store(&gils[i].switch_cond, (pthread_cond_t *)(mutex + known.switch_cond_offset));
    atomic_store(&gils[i].cond, (pthread_cond_t *)(mutex + known.cond_offset));
    if (i == n)
        atomic_store_explicit(&n_gils, n + 1, memory_order_release);
}

/* create_gil() initialises gil->mutex, gil->switch_mutex, gil->cond and gil->switch_cond, in that
 * order (with FORCE_SWITCHING, which is always defined): these four calls in a row, at the
 * distances that calibration found, are a new GIL, also where one that has ended had been. The
 * main one is made anew in place after a fork, which is no news. */
static void made_next(char *object, bool is_mutex)
{
    const ptrdiff_t offsets[] = {0, known.switch_mutex_offset, known.cond_offset,
                                 known.switch_cond_offset};
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
    gt_gil_t *old = find((pthread_cond_t *)object, &is_switch);
    if (old == gils)
        return;
    pthread_mutex_lock(&registry);
    if (old != NULL)
        gil_forget(old);
    gil_register(gt_self.made_mutex);
    pthread_mutex_unlock(&registry);
}

static int hook_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    int (*real)(pthread_cond_t *, const pthread_condattr_t *) =
        (int (*)(pthread_cond_t *, const pthread_condattr_t *))patches[COND_INIT].real;
    made_next((char *)cond, false);
    return real(cond, attributes);
}

static int hook_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int (*real)(pthread_mutex_t *, const pthread_mutexattr_t *) =
        (int (*)(pthread_mutex_t *, const pthread_mutexattr_t *))patches[MUTEX_INIT].real;
    made_next((char *)mutex, true);
    return real(mutex, attributes);
}

/* --- Probing ------------------------------------------------------------------------- */

static bool find_image(gt_error_t *error)
{
    if (!gt_image_find(&image, (void *)PyEval_SaveThread))
        return gt_fail(error, "cannot find the interpreter's own image in memory "
                           "(a fully static Python has no calls to redirect)");
    return true;
}

bool gt_tap_probe(gt_tap_facts_t *facts, gt_error_t *error)
{
    gt_calibration_t found = known;
    *facts = (gt_tap_facts_t){0};
    if (!installed) {
        if (!find_image(error) || !gt_calibrate(&image, &found, error))
            return false;
        for (int i = 0; i < N_PATCHES; i++) {
            gt_patch_t trial = patches[i];
            if (!gt_patch_prepare(&trial, &image))
                return gt_fail(error, "the interpreter does not import every condition variable "
                                      "function that the tap needs");
        }
        facts->attempts = found.attempts;
    }
    snprintf(facts->image, sizeof facts->image, "%s", image.name);
    facts->cond_offset = (size_t)found.cond_offset;
    facts->switch_cond_offset = (size_t)found.switch_cond_offset;
    return true;
}

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

/* --- Start and stop ------------------------------------------------------------------ */

static void uninstall(void)
{
    for (int i = 0; i < N_PATCHES; i++)
        gt_patch_undo(&patches[i], &image);
    installed = false;
}

static bool install(int from, int to)
{
    for (int i = from; i < to; i++)
        if (!gt_patch_apply(&patches[i], &image))
            return false;
    /* A thread that was just then binding one of these calls lazily may have written the
     * slot after us. The binding is done by now: let such a thread run, and look again. */
    PyThreadState *state = PyEval_SaveThread();
    PyEval_RestoreThread(state);
    for (int i = from; i < to; i++)
        if (!gt_patch_in_place(&patches[i]))
            gt_patch_apply(&patches[i], &image);
    return true;
}

bool gt_tap_install(gt_error_t *error)
{
    if (installed)
        return true;
    gt_calibration_t found;
    if (!find_image(error) || !gt_calibrate(&image, &found, error))
        return false;
    for (int i = 0; i < N_PATCHES; i++)
        if (!gt_patch_prepare(&patches[i], &image))
            return gt_fail(error, "the interpreter does not import every condition variable "
                               "function that the tap needs");
    lock_registry();
    for (uint32_t i = 0; i < atomic_load(&n_gils); i++)
        gil_forget(&gils[i]); /* of interpreters that came and went unseen since */
    known = found;
    gil_register((char *)known.mutex);
    gils[0].main = true;
    pthread_mutex_unlock(&registry);
    installed = true;
    if (install(0, N_ALWAYS))
        return true;
    uninstall();
    return gt_fail(error, "memory protection forbids redirecting the interpreter's calls");
}

bool gt_tap_start(const gt_arena_t *arena, unsigned stacks, gt_error_t *error)
{
    if (active != NULL)
        return gt_fail(error, "this process is being recorded already");
    if (PyThreadState_Get()->interp != PyInterpreterState_Main())
        return gt_fail(error, "recording must be started from the main interpreter");
#if defined(Py_REF_DEBUG) && PY_VERSION_HEX >= 0x030C0000
    /* There Py_INCREF() needs a current thread state, which drop_gil() has taken away. */
    return gt_fail(error, "a debug build of Python cannot be recorded");
#endif
    if (!gt_tap_install(error))
        return false;
    gt_frames_reset();
    gt_calls_reset();
    gt_recording_begins(stacks);
    lock_registry();
    atomic_store(&arena->header->interpreters_before, count_others());
    atomic_store(&arena->header->policy, gt_tap_policy());
    next_row = 0;
    active = arena;
    pthread_mutex_lock(known.mutex);
    gil_record_into(&gils[0], arena);
    gt_record_acquire(arena, &gils[0], gt_clock_ns(&gils[0].clock), GT_FLAG_SYNTHETIC);
    pthread_mutex_unlock(known.mutex);
    for (uint32_t i = 1; i < atomic_load(&n_gils); i++)
        if (atomic_load(&gils[i].cond) != NULL)
            gil_record_into(&gils[i], arena);
    pthread_mutex_unlock(&registry);
    return true;
}

static void stop_recording(void)
{
    const gt_arena_t *arena = active;
    lock_registry();
    active = NULL;
    pthread_mutex_lock(known.mutex);
    if (gils[0].held && gils[0].last == &gt_self)
        gt_record_release(arena, &gils[0], gt_clock_ns(&gils[0].clock), GT_FLAG_SYNTHETIC);
    atomic_store(&gils[0].arena, NULL);
    gt_levels_return(level_changed);
    pthread_mutex_unlock(known.mutex);
    for (uint32_t i = 1; i < atomic_load(&n_gils); i++) {
        atomic_store(&gils[i].arena, NULL);
        while (atomic_load(&gils[i].busy))
            sched_yield(); /* some hundred nanoseconds of another interpreter's thread */
    }
    atomic_store(&arena->header->stop_ns, gt_now_ns());
    pthread_mutex_unlock(&registry);
    gt_self.writer = (gt_writer_t){0};
}

void gt_tap_stop(void)
{
    if (active != NULL) {
        stop_recording();
        gt_frames_reset();
    }
    if (installed && !has_policy())
        uninstall();
}

/* --- The policy ---------------------------------------------------------------------- */

bool gt_tap_set_policy(gt_policy_t policy, gt_error_t *error)
{
    bool before = has_policy();
    if (policy == GT_POLICY_CPYTHON && !before)
        return true;
    if (PyThreadState_Get()->interp != PyInterpreterState_Main())
        return gt_fail(error, "the policy belongs to the main interpreter");
    if (!gt_tap_install(error))
        return false;
    if (!before && !install(N_ALWAYS, N_PATCHES)) {
        if (active == NULL)
            uninstall();
        return gt_fail(error, "memory protection forbids redirecting the interpreter's calls");
    }
    pthread_mutex_lock(known.mutex);
    gt_policy_begins(&gils[0].turns, policy);
    pthread_mutex_unlock(known.mutex);
    if (active != NULL)
        atomic_store(&active->header->policy, policy);
    if (policy != GT_POLICY_CPYTHON)
        return true;
    while (atomic_load(&obeying) != 0) { /* each has been woken, or sleeps for some ms at most */
        PyThreadState *state = PyEval_SaveThread();
        usleep(200);
        PyEval_RestoreThread(state);
    }
    gt_patch_undo(&patches[MUTEX_LOCK], &image);
    if (active == NULL)
        uninstall();
    return true;
}

gt_policy_t gt_tap_policy(void)
{
    return atomic_load(&gt_policy_mode);
}

bool gt_tap_set_level(uint32_t tid, int level, bool lent)
{
    bool mine = tid == gt_policy_tid();
    uint64_t born = gt_levels_born(tid);
    bool hooked = installed; /* then the recorder may have wishes as well */
    if (hooked)
        pthread_mutex_lock(known.mutex);
    bool done = gt_levels_set(tid, born, level, !mine, lent);
    if (done && mine)
        atomic_store(&gt_turn.level, level);
    if (done && hooked)
        level_changed(tid, level);
    if (hooked)
        pthread_mutex_unlock(known.mutex);
    return done;
}

int gt_tap_level(uint32_t tid)
{
    int level = 0;
    gt_levels_get(tid, gt_levels_born, &level);
    return level;
}

bool gt_tap_installed(void)
{
    return installed;
}

bool gt_tap_recording(void)
{
    return active != NULL;
}

const gt_arena_t *gt_tap_arena(void)
{
    return active;
}

unsigned gt_tap_gils(void)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < atomic_load(&n_gils); i++)
        n += atomic_load(&gils[i].cond) != NULL;
    return n;
}

bool gt_tap_name_thread(uint32_t tid, const char *name, size_t length)
{
    const gt_arena_t *arena = active;
    if (arena == NULL)
        return false;
    gt_slot_t *slot;
    if (tid == (uint32_t)syscall(SYS_gettid))
        slot = gt_writable(arena, gt_now_ns()) ? gt_self.writer.slot : NULL;
    else
        slot = gt_slot_for_tid(arena, tid, gt_now_ns());
    if (slot == NULL)
        return false;
    gt_slot_set_name(slot, name, length);
    return true;
}

/* --- Fork ---------------------------------------------------------------------------- */

static void fork_prepare(void)
{
    pthread_mutex_lock(&registry);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&registry);
}

/* The child must never write into its parent's arena, which is shared memory. It has one
 * thread, and CPython makes its GIL anew at the same address, so nothing needs a lock. */
static void fork_child(void)
{
    for (uint32_t i = 1; i < GT_MAX_GILS; i++) {
        gil_forget(&gils[i]);
        gils[i].turns = (gt_turns_t){0};
        atomic_store(&gils[i].busy, 0);
    }
    atomic_store(&gils[0].arena, NULL);
    active = NULL;
    atomic_store(&obeying, 0);
    gt_policy_forked(&gils[0].turns);
    gt_self = (gt_self_t){0};
    gt_recording_begins(1);
    pthread_mutex_unlock(&registry);
    gt_calibration_forked(&image);
    if (on_fork != NULL)
        on_fork();
}

void gt_tap_on_fork(gt_forked_t forked)
{
    on_fork = forked;
}

bool gt_tap_setup(gt_error_t *error)
{
    static bool done;
    if (done)
        return true;
    gt_clock_setup();
    if (!gt_policy_setup() || pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        return gt_fail(error, "cannot register fork handlers (out of memory)");
    done = true;
    return true;
}
