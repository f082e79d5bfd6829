#define _GNU_SOURCE
#include <Python.h>

#include "gil.h"

#include "calls.h"
#include "frames.h"
#include "spans.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The CPU clock of a thread is a system call of up to a microsecond: one reading in so many
 * nanoseconds costs half a percent at most, and stretches that go without one are shorter. */
#define CPU_SPACING_NS 200000
#define PAYLOAD_MASK ((UINT64_C(1) << 48) - 1)
#define LOWER_ENOUGH 8

_Thread_local gt_self_t gt_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

static _Atomic uint32_t epoch;
static unsigned stack_depth = 1;

void gt_recording_begins(unsigned stacks)
{
    stack_depth = stacks < 1 ? 1 : stacks > GT_MAX_STACK ? GT_MAX_STACK : stacks;
    atomic_fetch_add(&epoch, 1);
}

/* First event of this thread in this recording. */
static bool attach(const gt_arena_t *arena, uint64_t now_ns)
{
    uint32_t current = atomic_load_explicit(&epoch, memory_order_relaxed);
    if (gt_self.epoch != current) {
        gt_self.writer = (gt_writer_t){0};
        gt_self.waiting = false;
        gt_self.level = 0;
        gt_self.cpu_ns = 0;
        gt_self.epoch = current;
        gt_policy_look();
    }
    if (gt_self.writer.slot != NULL)
        return true;
    if (gt_self.tid == 0) {
        int kept = errno;
        gt_self.tid = (uint32_t)syscall(SYS_gettid);
        errno = kept;
    }
    if (gt_attach(arena, &gt_self.writer, gt_self.tid, now_ns))
        return true;
    atomic_fetch_add_explicit(&arena->header->lost_no_slot, 1, memory_order_relaxed);
    return false;
}

bool gt_writable(const gt_arena_t *arena, uint64_t now_ns)
{
    if (gt_self.epoch == atomic_load_explicit(&epoch, memory_order_relaxed) &&
        gt_self.writer.slot != NULL)
        return true;
    return attach(arena, now_ns);
}

static inline void push(const gt_arena_t *arena, const gt_gil_t *gil, uint64_t ts, gt_kind_t kind,
                        unsigned flags, uint64_t payload)
{
    gt_push(arena, &gt_self.writer, ts, gt_event_data(kind, flags, gil->index, payload));
}

/* After an ACQUIRE or RELEASE of the same time. */
static inline void record_cpu(const gt_arena_t *arena, const gt_gil_t *gil, uint64_t ts)
{
    if (ts - gt_self.cpu_ns < CPU_SPACING_NS)
        return;
    struct timespec used;
    gt_self.cpu_ns = ts;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0)
        push(arena, gil, ts, GT_CPU, 0,
             ((uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec) & PAYLOAD_MASK);
}

/* Priorities are written by the thread itself, when it next waits for a GIL or takes it. */
static inline void record_level(const gt_arena_t *arena, const gt_gil_t *gil, uint64_t ts)
{
    int32_t level = atomic_load_explicit(&gt_turn.level, memory_order_relaxed);
    if (level == gt_self.level)
        return;
    gt_self.level = level;
    push(arena, gil, ts, GT_PRIORITY, 0, (uint32_t)level);
}

void gt_record_acquire(const gt_arena_t *arena, gt_gil_t *gil, uint64_t ts, unsigned flags)
{
    gt_gil_row_t *row = gil->row;
    gil->tenure++;
    if (gil->last != &gt_self) {
        gil->last = &gt_self;
        gil->switches++;
    }
    gil->held = true;
    gil->acquired_ns = ts;
    atomic_store_explicit(&row->acquires, gil->tenure, memory_order_relaxed);
    atomic_store_explicit(&row->held_since_ns, ts, memory_order_relaxed);
    if (gt_writable(arena, ts)) {
        push(arena, gil, ts, GT_ACQUIRE, flags, gil->tenure);
        if (gt_self.cpu_ns == 0 && gil->main)
            gt_spans_thread();
        record_cpu(arena, gil, ts);
        record_level(arena, gil, ts);
    }
    gt_self.waiting = false;
}

static void record_totals(gt_gil_t *gil, uint64_t ts)
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
}

/* Python frames belong to the main interpreter, and are let go of with the main GIL alone: on
 * another one nobody keeps the code table from being used by two threads. */
void gt_record_release(const gt_arena_t *arena, gt_gil_t *gil, uint64_t ts, unsigned flags)
{
    record_totals(gil, ts);
    if (!gt_writable(arena, ts))
        return;
    gt_frame_word_t words[GT_MAX_STACK + 1];
    gt_position_t position = {0};
    size_t n = gil->main ? gt_frames_describe(arena, words, stack_depth, &position) : 0;
    int fd = -1;
    /* A call in progress where the thread stands has let go by itself. */
    unsigned call = n != 0 ? gt_calls_current(arena, &position, &fd) : 0;
    words[n] = 0;
    flags |= call != 0 ? GT_FLAG_CALL : position.at_check ? GT_FLAG_AT_CHECK : 0;
    gt_frame_word_t place = n != 0 ? words[0] : gt_frame_word(0, GT_LASTI_UNKNOWN);
    push(arena, gil, ts, GT_RELEASE, flags, (uint64_t)call << 32 | place);
    for (size_t i = 1; i < n; i += 2)
        push(arena, gil, words[i + 1], GT_FRAME, 0, words[i]);
    if (fd >= 0)
        push(arena, gil, 0, GT_DETAIL, 0, (uint32_t)fd);
    record_cpu(arena, gil, ts);
}

/* The deadline was computed some 100 ns ago, or longer if we were descheduled in between, so what
 * is left of it is at most the interval: a higher value is news at once, a lower one when it has
 * been the best of several. Out of range: the clock is another one. */
static void record_interval(gt_gil_t *gil, uint64_t ts, const struct timespec *deadline)
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

/* take_gil() waits in rounds; the wait began with the first. */
void gt_record_wait(const gt_arena_t *arena, gt_gil_t *gil, const struct timespec *deadline)
{
    uint64_t ts = gt_clock_ns(&gil->clock);
    if (deadline != NULL)
        record_interval(gil, ts, deadline);
    if (gt_writable(arena, ts) && !gt_self.waiting) {
        push(arena, gil, ts, GT_WAIT, 0, gil->tenure);
        record_level(arena, gil, ts);
        gt_self.waiting = true;
    }
}

void gt_record_request(const gt_arena_t *arena, gt_gil_t *gil, unsigned flags)
{
    uint64_t ts = gt_clock_ns(&gil->clock);
    atomic_fetch_add_explicit(&gil->row->drop_requests, 1, memory_order_relaxed);
    if (gt_writable(arena, ts))
        push(arena, gil, ts, GT_DROP_REQUEST, flags, gil->tenure);
}
