#define _GNU_SOURCE
#include "compat.h"

#include "tap.h"

#include "clock.h"
#include "frames.h"
#include "got.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One GIL. Guarded by its own gil->mutex, except the two addresses that hooks compare. The
 * memory these point to may be gone: an interpreter's end leaves its GIL without a word
 * (Python/pylifecycle.c: finalize_interp_delete), so only the main one's is ever touched. */
typedef struct {
    _Alignas(GT_CACHE_LINE) _Atomic(pthread_cond_t *) cond;
    _Atomic(pthread_cond_t *) switch_cond;
    _Atomic(const gt_arena_t *) arena; /* NULL: not recording */
    _Atomic uint32_t busy;             /* a hook is recording; not kept for the main GIL */
    gt_gil_row_t *row;
    unsigned index;      /* of the row, and in events */
    bool held;           /* as far as seen; true until a release says otherwise */
    const void *last;    /* last holder, by the address of its thread storage */
    uint64_t switches;   /* acquires by another thread than the last, as gil->switch_number */
    uint64_t tenure;     /* acquires since recording began */
    uint64_t acquired_ns;
    uint32_t lower_us, lower_n; /* see record_interval() */
    gt_clock_t clock;
} gil_t;

/* What a thread keeps of its own. Small and initial-exec: the hooks must never make the
 * dynamic linker allocate, and static TLS is scarce. */
typedef struct {
    gt_writer_t writer;
    uint32_t epoch; /* of the recording that the writer belongs to */
    uint32_t tid;
    bool waiting;
    unsigned made;    /* how far a new GIL has been made, see made_next() */
    char *made_mutex; /* its gil->mutex */
} self_t;

static _Thread_local self_t self __attribute__((tls_model("initial-exec")));

/* The first is the main interpreter's. */
static gil_t gils[GT_MAX_GILS];
static pthread_mutex_t *main_mutex;
static _Atomic uint32_t n_gils; /* entries ever used */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* never taken inside take/drop_gil */

static const gt_arena_t *active; /* guarded by registry */
static unsigned next_row;        /* guarded by registry */
static _Atomic uint32_t epoch;
static unsigned stack_depth = 1;
static ptrdiff_t switch_mutex_offset, cond_offset, switch_cond_offset; /* from gil->mutex */
static gt_forked_t on_fork;

static gt_image_t image;
static bool installed;

static int hook_cond_signal(pthread_cond_t *cond);
static int hook_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *deadline);
static int hook_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
static int hook_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);

/* Every function the tap stands in front of, in one place. */
enum { SIGNAL, TIMEDWAIT, COND_INIT, MUTEX_INIT, N_PATCHES };
static gt_patch_t patches[N_PATCHES] = {
    [SIGNAL] = {.symbol = "pthread_cond_signal", .hook = (void *)hook_cond_signal},
    [TIMEDWAIT] = {.symbol = "pthread_cond_timedwait", .hook = (void *)hook_cond_timedwait},
    [COND_INIT] = {.symbol = "pthread_cond_init", .hook = (void *)hook_cond_init},
    [MUTEX_INIT] = {.symbol = "pthread_mutex_init", .hook = (void *)hook_mutex_init},
};

static bool fail(gt_error_t *error, const char *message)
{
    snprintf(error->message, sizeof error->message, "%s", message);
    return false;
}

/* The words of the stack above the current function's own frame: its caller's. */
#define CALLER_FRAME ((const void *const *)__builtin_dwarf_cfa())
#define MAX_SAVE_DEPTH 64
#define LOWER_ENOUGH 8
static const void *save_return; /* into PyEval_SaveThread(); NULL: not known */
static unsigned save_depth;     /* where it lies, in words from drop_gil()'s frame */

/* --- Recording: everything here runs with a GIL's mutex held ------------------------- */

/* The arena to record into, or NULL. Until leave() it stays mapped: gt_tap_stop() takes the
 * main GIL's mutex, which this hook holds, and waits for the others to be no longer busy. */
static inline const gt_arena_t *enter(gil_t *gil)
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

static inline void leave(gil_t *gil)
{
    if (gil != gils)
        atomic_fetch_sub(&gil->busy, 1);
}

/* First event of this thread in this recording. */
static bool attach(const gt_arena_t *arena, uint64_t now_ns)
{
    uint32_t current = atomic_load_explicit(&epoch, memory_order_relaxed);
    if (self.epoch != current) {
        self.writer = (gt_writer_t){0};
        self.waiting = false;
        self.epoch = current;
    }
    if (self.writer.slot != NULL)
        return true;
    if (self.tid == 0) {
        int kept = errno;
        self.tid = (uint32_t)syscall(SYS_gettid);
        errno = kept;
    }
    if (gt_attach(arena, &self.writer, self.tid, now_ns))
        return true;
    atomic_fetch_add_explicit(&arena->header->lost_no_slot, 1, memory_order_relaxed);
    return false;
}

static inline bool writable(const gt_arena_t *arena, uint64_t now_ns)
{
    if (self.epoch == atomic_load_explicit(&epoch, memory_order_relaxed) &&
        self.writer.slot != NULL)
        return true;
    return attach(arena, now_ns);
}

static inline void push(const gt_arena_t *arena, const gil_t *gil, uint64_t ts, gt_kind_t kind,
                        unsigned flags, uint64_t payload)
{
    gt_push(arena, &self.writer, ts, gt_event_data(kind, flags, gil->index, payload));
}

static void record_acquire(const gt_arena_t *arena, gil_t *gil, uint64_t ts, unsigned flags)
{
    gt_gil_row_t *row = gil->row;
    gil->tenure++;
    if (gil->last != &self) {
        gil->last = &self;
        gil->switches++;
    }
    gil->held = true;
    gil->acquired_ns = ts;
    atomic_store_explicit(&row->acquires, gil->tenure, memory_order_relaxed);
    atomic_store_explicit(&row->held_since_ns, ts, memory_order_relaxed);
    if (writable(arena, ts))
        push(arena, gil, ts, GT_ACQUIRE, flags, gil->tenure);
    self.waiting = false;
}

/* Python frames belong to the main interpreter, and are let go of with the main GIL alone: on
 * another one nobody keeps the code table from being used by two threads. */
static void record_release(const gt_arena_t *arena, gil_t *gil, uint64_t ts, unsigned flags)
{
    gt_gil_row_t *row = gil->row;
    if (gil->held && gil->acquired_ns != 0) {
        uint64_t held = atomic_load_explicit(&row->held_ns, memory_order_relaxed);
        atomic_store_explicit(&row->held_ns, held + ts - gil->acquired_ns, memory_order_relaxed);
    }
    gil->held = false;
    atomic_store_explicit(&row->held_since_ns, 0, memory_order_relaxed);
    if (atomic_load_explicit(&row->interpreter, memory_order_relaxed) < 0)
        atomic_store_explicit(&row->interpreter, gt_frames_interpreter(), memory_order_relaxed);
    if (!writable(arena, ts))
        return;
    gt_frame_word_t words[GT_MAX_STACK + 1];
    bool at_check = false;
    size_t n = gil == gils ? gt_frames_describe(arena, words, stack_depth, &at_check) : 0;
    words[n] = 0;
    flags |= at_check ? GT_FLAG_AT_CHECK : 0;
    push(arena, gil, ts, GT_RELEASE, flags, n != 0 ? words[0] : gt_frame_word(0, GT_LASTI_UNKNOWN));
    for (size_t i = 1; i < n; i += 2)
        push(arena, gil, words[i + 1], GT_FRAME, 0, words[i]);
}

/* The deadline was computed some 100 ns ago, or longer if we were descheduled in between, so what
 * is left of it is at most the interval: a higher value is news at once, a lower one when it has
 * been the best of several. Out of range: the clock is another one. */
static void record_interval(gil_t *gil, uint64_t ts, const struct timespec *deadline)
{
    int64_t left_ns = ((int64_t)deadline->tv_sec * 1000000000 + deadline->tv_nsec) - (int64_t)ts;
    if (left_ns <= 0 || left_ns > INT64_C(60000000000))
        return;
    uint32_t us = (uint32_t)((left_ns + 500) / 1000);
    uint32_t known = atomic_load_explicit(&gil->row->interval_us, memory_order_relaxed);
    gil->lower_us = us > gil->lower_us ? us : gil->lower_us;
    if (us == known || (us < known && ++gil->lower_n < LOWER_ENOUGH)) {
        if (us == known)
            gil->lower_us = gil->lower_n = 0;
        return;
    }
    atomic_store_explicit(&gil->row->interval_us, gil->lower_us, memory_order_relaxed);
    gil->lower_us = gil->lower_n = 0;
}

/* --- The hooks ----------------------------------------------------------------------- */

static inline gil_t *find(const pthread_cond_t *cond, bool *is_switch)
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
    return save_return != NULL && caller_frame[save_depth] == save_return;
}

static int hook_cond_signal(pthread_cond_t *cond)
{
    bool acquired;
    const gt_arena_t *arena;
    gil_t *gil = find(cond, &acquired);
    if (gil != NULL && (arena = enter(gil)) != NULL) {
        if (acquired)
            record_acquire(arena, gil, gt_clock_ns(&gil->clock), 0);
        else
            record_release(arena, gil, gt_clock_ns(&gil->clock),
                           from_save_thread(CALLER_FRAME) ? GT_FLAG_CALL : 0);
        leave(gil);
    }
    return ((int (*)(pthread_cond_t *))patches[SIGNAL].real)(cond);
}

/* take_gil() waits in rounds; the wait began with the first. */
static void record_wait(const gt_arena_t *arena, gil_t *gil, const struct timespec *deadline)
{
    uint64_t ts = gt_clock_ns(&gil->clock);
    record_interval(gil, ts, deadline);
    if (writable(arena, ts) && !self.waiting) {
        push(arena, gil, ts, GT_WAIT, 0, gil->tenure);
        self.waiting = true;
    }
}

static void record_request(const gt_arena_t *arena, gil_t *gil)
{
    uint64_t ts = gt_clock_ns(&gil->clock);
    atomic_fetch_add_explicit(&gil->row->drop_requests, 1, memory_order_relaxed);
    if (writable(arena, ts))
        push(arena, gil, ts, GT_DROP_REQUEST, 0, gil->tenure);
}

static int hook_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *deadline)
{
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
            patches[TIMEDWAIT].real;
    bool is_switch;
    const gt_arena_t *arena;
    gil_t *gil = find(cond, &is_switch);
    if (gil == NULL || (arena = enter(gil)) == NULL)
        return real(cond, mutex, deadline);
    record_wait(arena, gil, deadline);
    uint64_t switches = gil->switches;
    leave(gil);
    int result = real(cond, mutex, deadline);
    /* As in take_gil(): a time-out becomes a drop request only if the GIL is held and has
     * not changed hands during this round. Recording may have stopped meanwhile. */
    if (result == ETIMEDOUT && (arena = enter(gil)) != NULL) {
        if (gil->held && gil->switches == switches)
            record_request(arena, gil);
        leave(gil);
    }
    return result;
}

/* --- Interpreters with a GIL of their own -------------------------------------------- */

/* Give the GIL a row and begin to record it; for all but the main one this is the last step,
 * since its hooks may be running. Context: registry held. */
static void gil_record_into(gil_t *gil, const gt_arena_t *arena)
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

static void gil_forget(gil_t *gil)
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
    if (active != NULL)
        gil_record_into(&gils[i], active);
    atomic_store(&gils[i].switch_cond, (pthread_cond_t *)(mutex + switch_cond_offset));
    atomic_store(&gils[i].cond, (pthread_cond_t *)(mutex + cond_offset));
    if (i == n)
        atomic_store_explicit(&n_gils, n + 1, memory_order_release);
}

/* create_gil() initialises gil->mutex, gil->switch_mutex, gil->cond and gil->switch_cond, in that
 * order (with FORCE_SWITCHING, which is always defined): these four calls in a row, at the
 * distances that calibration found, are a new GIL, also where one that has ended had been. The
 * main one is made anew in place after a fork, which is no news. */
static void made_next(char *object, bool is_mutex)
{
    const ptrdiff_t offsets[] = {0, switch_mutex_offset, cond_offset, switch_cond_offset};
    bool fits = self.made > 0 && is_mutex == (self.made < 2) &&
                object - self.made_mutex == offsets[self.made];
    if (!fits) {
        self.made = is_mutex;
        self.made_mutex = object;
        return;
    }
    if (++self.made < 4)
        return;
    self.made = 0;
    bool is_switch;
    gil_t *old = find((pthread_cond_t *)object, &is_switch);
    if (old == gils)
        return;
    pthread_mutex_lock(&registry);
    if (old != NULL)
        gil_forget(old);
    gil_register(self.made_mutex);
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

/* --- Calibration --------------------------------------------------------------------- */

enum { LOCK = 'L', UNLOCK = 'U', SIGNALLED = 'S' };
#define MAX_STEPS 24

typedef struct {
    unsigned n;
    char op[MAX_STEPS];
    void *object[MAX_STEPS];
} dance_t;

static _Thread_local dance_t *dance __attribute__((tls_model("initial-exec")));

static int see_lock(pthread_mutex_t *mutex);
static int see_unlock(pthread_mutex_t *mutex);
static int see_signal(pthread_cond_t *cond);

/* Never cleared: another thread may be on its way through one of these long after. */
static gt_patch_t watches[] = {
    {.symbol = "pthread_mutex_lock", .hook = (void *)see_lock},
    {.symbol = "pthread_mutex_unlock", .hook = (void *)see_unlock},
    {.symbol = "pthread_cond_signal", .hook = (void *)see_signal},
};

static void step(char op, void *object)
{
    if (dance == NULL || dance->n == MAX_STEPS)
        return;
    dance->op[dance->n] = op;
    dance->object[dance->n++] = object;
}

static int see_lock(pthread_mutex_t *mutex)
{
    step(LOCK, mutex);
    return ((int (*)(pthread_mutex_t *))watches[0].real)(mutex);
}

static int see_unlock(pthread_mutex_t *mutex)
{
    step(UNLOCK, mutex);
    return ((int (*)(pthread_mutex_t *))watches[1].real)(mutex);
}

/* Find PyEval_SaveThread()'s return address in the frames below the dance. */
static void learn_save_thread(const void *const *caller_frame)
{
    Dl_info where;
    const ElfW(Sym) *symbol = NULL;
    save_return = NULL;
    if (!dladdr1((void *)PyEval_SaveThread, &where, (void **)&symbol, RTLD_DL_SYMENT) ||
        symbol == NULL)
        return;
    uintptr_t low = (uintptr_t)PyEval_SaveThread, high = low + symbol->st_size;
    for (unsigned i = 0; i < MAX_SAVE_DEPTH; i++) {
        uintptr_t word = (uintptr_t)caller_frame[i];
        if (word > low && word <= high) {
            save_return = caller_frame[i];
            save_depth = i;
            return;
        }
    }
}

static int see_signal(pthread_cond_t *cond)
{
    if (dance != NULL && dance->n < 3) /* the release; the acquire's comes later */
        learn_save_thread(CALLER_FRAME);
    step(SIGNALLED, cond);
    return ((int (*)(pthread_cond_t *))watches[2].real)(cond);
}

/* drop: lock(M) signal(C) unlock(M), and lock(S) unlock(S) when a request was pending;
 * take: lock(M) lock(S) signal(SC) unlock(S) unlock(M). */
static bool shape_is_known(const dance_t *d)
{
    bool pending = d->n == 10;
    if (d->n != 8 && !pending)
        return false;
    if (memcmp(d->op, pending ? "LSULULLSUU" : "LSULLSUU", d->n) != 0)
        return false;
    void *const *take = d->object + (pending ? 5 : 3);
    void *mutex = d->object[0], *cond = d->object[1], *switch_mutex = take[1];
    return d->object[2] == mutex && take[0] == mutex && take[4] == mutex &&
           take[3] == switch_mutex && switch_mutex != mutex && take[2] != cond &&
           (!pending || (d->object[3] == switch_mutex && d->object[4] == switch_mutex));
}

static bool find_image(gt_error_t *error)
{
    if (!gt_image_find(&image, (void *)PyEval_SaveThread))
        return fail(error, "cannot find the interpreter's own image in memory "
                           "(a fully static Python has no calls to redirect)");
    return true;
}

static bool calibrate(dance_t *found, unsigned *attempts, gt_error_t *error)
{
    bool ok = true;
    for (int i = 0; i < 3 && ok; i++)
        ok = gt_patch_prepare(&watches[i], &image);
    if (!ok)
        return fail(error, "the interpreter does not call libc's pthread functions through its "
                           "global offset table (a static or a non-glibc build?)");
    for (int i = 0; i < 3 && ok; i++)
        ok = gt_patch_apply(&watches[i], &image);
    /* Busy threads make CPython wait inside the dance; a few tries meet a quiet moment. */
    bool known = false;
    for (*attempts = 0; ok && !known && *attempts < 50; ++*attempts) {
        *found = (dance_t){0};
        dance = found;
        PyThreadState *state = PyEval_SaveThread();
        PyEval_RestoreThread(state);
        dance = NULL;
        known = shape_is_known(found);
    }
    for (int i = 0; i < 3; i++)
        gt_patch_undo(&watches[i], &image);
    if (!ok)
        return fail(error, "memory protection forbids redirecting the interpreter's calls");
    if (known)
        return true;
#ifdef Py_GIL_DISABLED
    if (found->n == 0)
        return fail(error, "this interpreter runs without a GIL, so there is none to record");
#endif
    char seen[MAX_STEPS + 1] = {0};
    memcpy(seen, found->op, found->n);
    snprintf(error->message, sizeof error->message,
             "this interpreter's GIL does not behave as CPython's does: letting it go and taking "
             "it back made the calls '%s' where 'LSULLSUU' was expected",
             seen);
    return false;
}

static void learn(const dance_t *d)
{
    char *mutex = d->object[0];
    switch_mutex_offset = (char *)d->object[d->n - 4] - mutex;
    cond_offset = (char *)d->object[1] - mutex;
    switch_cond_offset = (char *)d->object[d->n - 3] - mutex;
}

bool gt_tap_probe(gt_tap_facts_t *facts, gt_error_t *error)
{
    dance_t found;
    *facts = (gt_tap_facts_t){0};
    if (!installed) {
        if (!find_image(error) || !calibrate(&found, &facts->attempts, error))
            return false;
        learn(&found);
        for (int i = 0; i < N_PATCHES; i++) {
            gt_patch_t trial = patches[i];
            if (!gt_patch_prepare(&trial, &image))
                return fail(error, "the interpreter does not import every condition variable "
                                   "function that the tap needs");
        }
    }
    snprintf(facts->image, sizeof facts->image, "%s", image.name);
    facts->cond_offset = (size_t)cond_offset;
    facts->switch_cond_offset = (size_t)switch_cond_offset;
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

bool gt_tap_install(gt_error_t *error)
{
    if (installed)
        return true;
    dance_t found;
    unsigned attempts;
    if (!find_image(error) || !calibrate(&found, &attempts, error))
        return false;
    learn(&found);
    for (int i = 0; i < N_PATCHES; i++)
        if (!gt_patch_prepare(&patches[i], &image))
            return fail(error, "the interpreter does not import every condition variable "
                               "function that the tap needs");
    lock_registry();
    for (uint32_t i = 0; i < atomic_load(&n_gils); i++)
        gil_forget(&gils[i]); /* of interpreters that came and went unseen since */
    main_mutex = found.object[0];
    gil_register(found.object[0]);
    pthread_mutex_unlock(&registry);
    installed = true;
    for (int i = 0; i < N_PATCHES; i++)
        if (!gt_patch_apply(&patches[i], &image)) {
            uninstall();
            return fail(error, "memory protection forbids redirecting the interpreter's calls");
        }
    /* A thread that was just then binding one of these calls lazily may have written the
     * slot after us. The binding is done by now: let such a thread run, and look again. */
    PyThreadState *state = PyEval_SaveThread();
    PyEval_RestoreThread(state);
    for (int i = 0; i < N_PATCHES; i++)
        if (!gt_patch_in_place(&patches[i]))
            gt_patch_apply(&patches[i], &image);
    return true;
}

bool gt_tap_start(const gt_arena_t *arena, unsigned stacks, gt_error_t *error)
{
    if (active != NULL)
        return fail(error, "this process is being recorded already");
    if (PyThreadState_Get()->interp != PyInterpreterState_Main())
        return fail(error, "recording must be started from the main interpreter");
#if defined(Py_REF_DEBUG) && PY_VERSION_HEX >= 0x030C0000
    /* There Py_INCREF() needs a current thread state, which drop_gil() has taken away. */
    return fail(error, "a debug build of Python cannot be recorded");
#endif
    if (!gt_tap_install(error))
        return false;
    gt_frames_reset();
    stack_depth = stacks < 1 ? 1 : stacks > GT_MAX_STACK ? GT_MAX_STACK : stacks;
    atomic_fetch_add(&epoch, 1);
    lock_registry();
    atomic_store(&arena->header->interpreters_before, count_others());
    next_row = 0;
    active = arena;
    pthread_mutex_lock(main_mutex);
    gil_record_into(&gils[0], arena);
    record_acquire(arena, &gils[0], gt_clock_ns(&gils[0].clock), GT_FLAG_SYNTHETIC); /* we hold it */
    pthread_mutex_unlock(main_mutex);
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
    pthread_mutex_lock(main_mutex);
    if (gils[0].held && gils[0].last == &self)
        record_release(arena, &gils[0], gt_clock_ns(&gils[0].clock), GT_FLAG_SYNTHETIC);
    atomic_store(&gils[0].arena, NULL);
    pthread_mutex_unlock(main_mutex);
    for (uint32_t i = 1; i < atomic_load(&n_gils); i++) {
        atomic_store(&gils[i].arena, NULL);
        while (atomic_load(&gils[i].busy))
            sched_yield(); /* some hundred nanoseconds of another interpreter's thread */
    }
    atomic_store(&arena->header->stop_ns, gt_now_ns());
    pthread_mutex_unlock(&registry);
    self.writer = (gt_writer_t){0};
}

void gt_tap_stop(void)
{
    if (active != NULL) {
        stop_recording();
        gt_frames_reset();
    }
    if (installed)
        uninstall();
}

bool gt_tap_installed(void)
{
    return installed;
}

bool gt_tap_recording(void)
{
    return active != NULL;
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
        slot = attach(arena, gt_now_ns()) ? self.writer.slot : NULL;
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
        atomic_store(&gils[i].busy, 0);
    }
    atomic_store(&gils[0].arena, NULL);
    active = NULL;
    self = (self_t){0};
    dance = NULL;
    atomic_fetch_add(&epoch, 1);
    pthread_mutex_unlock(&registry);
    for (int i = 0; i < 3; i++) /* another thread may have been calibrating */
        gt_patch_undo(&watches[i], &image);
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
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        return fail(error, "cannot register fork handlers (out of memory)");
    done = true;
    return true;
}
