/* What the hooks keep of each GIL and of each thread, and what they write (recording.c). */
#ifndef GT_GIL_H
#define GT_GIL_H

#include "arena.h"
#include "clock.h"
#include "policy.h"

#include <pthread.h>
#include <time.h>

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
    bool main;           /* the main interpreter's */
    bool held;           /* as far as seen; true until a release says otherwise */
    const void *last;    /* last holder, by the address of its thread storage */
    uint64_t switches;   /* acquires by another thread than the last, as gil->switch_number */
    uint64_t tenure;     /* acquires since recording began */
    uint64_t acquired_ns;
    uint32_t lower_us, lower_n; /* see record_interval() */
    gt_clock_t clock;
    gt_turns_t turns;
} gt_gil_t;

/* What a thread keeps of its own. Small and initial-exec: the hooks must never make the
 * dynamic linker allocate, and static TLS is scarce. */
typedef struct {
    gt_writer_t writer;
    uint64_t cpu_ns; /* when its CPU clock was last read; 0: never */
    uint32_t epoch;  /* of the recording that the writer belongs to */
    uint32_t tid;
    bool waiting;
    int32_t level; /* the priority that was written last */
    unsigned made;    /* how far a new GIL has been made, see gt_gil_made() */
    char *made_mutex; /* its gil->mutex */
} gt_self_t;

extern _Thread_local gt_self_t gt_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* All of these: the GIL's mutex is held. None blocks, allocates or sets errno. */
void gt_record_acquire(const gt_arena_t *arena, gt_gil_t *gil, uint64_t ts, unsigned flags);
void gt_record_release(const gt_arena_t *arena, gt_gil_t *gil, uint64_t ts, unsigned flags);
void gt_record_wait(const gt_arena_t *arena, gt_gil_t *gil, const struct timespec *deadline);
void gt_record_request(const gt_arena_t *arena, gt_gil_t *gil, unsigned flags);

/* Make sure that the calling thread has a place to write in the recording at hand. False: there
 * is none for it. Context: any, on the thread itself. */
bool gt_writable(const gt_arena_t *arena, uint64_t now_ns);

/* Another recording has begun, or the process has been forked: what threads have is void. */
void gt_recording_begins(unsigned stacks);

#endif
