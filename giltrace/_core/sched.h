/* What the kernel does with threads, from perf events: in the recorder alone, without Python. */
#ifndef GT_SCHED_H
#define GT_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Twins of `giltrace.capture.scheduling.What`. */
typedef enum {
    GT_SCHED_RUNS = 1,      /* is put on a CPU */
    GT_SCHED_SLEEPS = 2,    /* leaves it, with nothing to do */
    GT_SCHED_PREEMPTED = 3, /* leaves it, with more to do */
    GT_SCHED_WOKEN = 4,     /* has something to do again */
    GT_SCHED_STARTED = 5,   /* has been made */
    GT_SCHED_ENDED = 6,
    GT_SCHED_LOST = 7, /* no thread: so many records found no room */
} gt_sched_what_t;

/* data, from its least significant bit: what:8 zero:8 cpu:16 tid:32 (LOST: count:32). */
typedef struct {
    uint64_t ts; /* CLOCK_MONOTONIC */
    uint64_t data;
} gt_sched_row_t;

/* One CPU's records: of the thread that opened it, and of all that it starts from then on. */
typedef struct {
    int fd, wakeups_fd;
    uint16_t cpu;
    void *memory;
    size_t bytes; /* of the ring itself, a power of two */
} gt_sched_ring_t;

/* Any thread; makes system calls. False with errno set, and `*call` says which call it was.
 * `wakeups` is the id of the tracepoint sched_wakeup, or 0; that needs the rights for it. */
bool gt_sched_open(gt_sched_ring_t *ring, unsigned cpu, size_t pages, unsigned wakeups,
                   const char **call);
void gt_sched_close(gt_sched_ring_t *ring);

/* One thread at a time. Moves what the kernel has written to `to`, which has room for `bytes` of
 * the ring; returns how much. */
size_t gt_sched_take(gt_sched_ring_t *ring, unsigned char *to);

/* How many records found no room so far; -1 where the kernel does not tell (before 6.0). */
long long gt_sched_lost(const gt_sched_ring_t *ring);

/* Pure. Records to rows; what is of no kind we asked for, or too short for what it should be, is
 * left out, and a record without a sane length ends it. `rows` has room for bytes / 16 of them.
 * `tid_at` is where in a sched_wakeup record the woken thread's id is; thread `not_tid` is left
 * out. */
size_t gt_sched_decode(const unsigned char *records, size_t bytes, unsigned tid_at, uint32_t not_tid,
                       gt_sched_row_t *rows);

#endif
