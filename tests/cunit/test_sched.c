/* The kernel's records as rows, without a kernel: each kind, a ring that wraps, and hostile bytes. */
#define _GNU_SOURCE
#include "sched.h"

#include "check.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREEMPTED (PERF_RECORD_MISC_SWITCH_OUT | 1u << 14)

typedef struct {
    uint32_t pid, tid;
    uint64_t time;
    uint32_t cpu, reserved;
} stamp_t;

/* Append a record with `body` and, unless it is a SAMPLE, a stamp behind it; returns its size. */
static size_t put(unsigned char *to, uint32_t type, uint16_t misc, const void *body, size_t size,
                  uint64_t time, uint32_t tid)
{
    stamp_t stamp = {1, tid, time, 3, 0};
    size_t stamped = type == PERF_RECORD_SAMPLE ? 0 : sizeof stamp;
    struct perf_event_header head = {type, misc, (uint16_t)(sizeof head + size + stamped)};
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, body, size);
    memcpy(to + sizeof head + size, &stamp, stamped);
    return head.size;
}

static void is(gt_sched_row_t row, uint64_t ts, gt_sched_what_t what, uint32_t tid)
{
    CHECK(row.ts == ts);
    CHECK((row.data & 0xFF) == what && (row.data >> 16 & 0xFFFF) == 3 && row.data >> 32 == tid);
}

static void each_kind_has_its_row(void)
{
    unsigned char records[1024];
    struct { uint32_t pid, ppid, tid, ptid; uint64_t time; } task = {1, 1, 70, 7, 50};
    uint64_t lost[2] = {99, 1234};
    struct { stamp_t stamp; uint32_t size; unsigned char raw[36]; } woken = {{1, 8, 60, 3, 0}, 36, {0}};
    uint32_t tid = 77;
    memcpy(woken.raw + 24, &tid, sizeof tid);
    size_t n = put(records, PERF_RECORD_SWITCH, 0, "", 0, 10, 7);
    n += put(records + n, PERF_RECORD_SWITCH, PERF_RECORD_MISC_SWITCH_OUT, "", 0, 20, 7);
    n += put(records + n, PERF_RECORD_SWITCH, PREEMPTED, "", 0, 30, 8);
    n += put(records + n, PERF_RECORD_COMM, 0, "12345678", 8, 35, 8); /* not asked for */
    n += put(records + n, PERF_RECORD_LOST, 0, lost, sizeof lost, 40, 8);
    n += put(records + n, PERF_RECORD_FORK, 0, &task, sizeof task, 51, 7);
    n += put(records + n, PERF_RECORD_EXIT, 0, &task, sizeof task, 51, 70);
    n += put(records + n, PERF_RECORD_SAMPLE, 0, &woken, sizeof woken, 0, 0);
    gt_sched_row_t rows[64];
    CHECK(gt_sched_decode(records, n, 24, 0, rows) == 7);
    is(rows[0], 10, GT_SCHED_RUNS, 7);
    is(rows[1], 20, GT_SCHED_SLEEPS, 7);
    is(rows[2], 30, GT_SCHED_PREEMPTED, 8);
    is(rows[3], 40, GT_SCHED_LOST, 1234);
    is(rows[4], 50, GT_SCHED_STARTED, 70);
    is(rows[5], 50, GT_SCHED_ENDED, 70);
    is(rows[6], 60, GT_SCHED_WOKEN, 77);
    /* The recorder is left out; a count that looks like its id is not. */
    CHECK(gt_sched_decode(records, n, 24, 7, rows) == 5);
    CHECK(gt_sched_decode(records, n, 24, 1234, rows) == 7);
    /* An id that would lie beyond the record is none. */
    CHECK(gt_sched_decode(records, n, 33, 0, rows) == 6);
    /* A record that is cut off is none, and ends it. */
    CHECK(gt_sched_decode(records, n - 1, 24, 0, rows) == 6);
    uint16_t none = 0;
    memcpy(records + 6, &none, sizeof none);
    CHECK(gt_sched_decode(records, n, 24, 0, rows) == 0);
}

static void hostile_bytes_stay_within_bounds(void)
{
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        size_t bytes = (size_t)(round % 512);
        /* Exactly as large as allowed: the sanitizer sees one byte more. */
        unsigned char *records = malloc(bytes + 1);
        gt_sched_row_t *rows = malloc(bytes / 16 * 16 + 1);
        for (size_t i = 0; i < bytes; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            records[i] = (unsigned char)state;
        }
        for (size_t at = 0; at + 8 <= bytes; at += 8 + (size_t)(state % 5) * 8) {
            struct perf_event_header head = {(uint32_t)(state >> 8) % 16, (uint16_t)state,
                                             (uint16_t)((state >> 16) % 10 * 8)};
            memcpy(records + at, &head, sizeof head);
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        }
        CHECK(gt_sched_decode(records, bytes, (unsigned)(state % 64), 0, rows) <= bytes / 16);
        free(records);
        free(rows);
    }
}

static void a_ring_is_read_across_its_end(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct perf_event_mmap_page *memory = aligned_alloc(page, 2 * page);
    memset(memory, 0, 2 * page);
    unsigned char *data = (unsigned char *)memory + page, *out = malloc(page);
    gt_sched_ring_t ring = {-1, -1, 3, memory, page};
    uint64_t written = 0, seen = 0;
    for (uint64_t round = 0; round < 1000; round++) {
        for (uint64_t i = 0; i < round % 128; i++) {
            unsigned char record[64];
            size_t size = put(record, PERF_RECORD_SWITCH, 0, "", 0, written / 32, 7);
            for (size_t j = 0; j < size; j++)
                data[(written + j) % page] = record[j];
            written += size;
        }
        memory->data_head = written;
        gt_sched_row_t rows[256];
        size_t count = gt_sched_decode(out, gt_sched_take(&ring, out), 0, 0, rows);
        CHECK(count == round % 128 && memory->data_tail == written);
        for (size_t i = 0; i < count; i++, seen++)
            is(rows[i], seen, GT_SCHED_RUNS, 7);
    }
    memory->data_head = written + page + 8;
    CHECK(gt_sched_take(&ring, out) == 0);
    CHECK(gt_sched_lost(&ring) == 0);
    free(out);
    free(memory);
}

int main(void)
{
    each_kind_has_its_row();
    hostile_bytes_stay_within_bounds();
    a_ring_is_read_across_its_end();
    return 0;
}
