#define _GNU_SOURCE
#include "sched.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define READ_LOST (1u << 4)      /* PERF_FORMAT_LOST, Linux 6.0 */
#define OUT_PREEMPTED (1u << 14) /* PERF_RECORD_MISC_SWITCH_OUT_PREEMPT, Linux 4.17 */

/* What follows the body of each record but SAMPLE (sample_id_all), and begins a SAMPLE. */
typedef struct {
    uint32_t pid, tid;
    uint64_t time;
    uint32_t cpu, reserved;
} stamp_t;

typedef struct {
    uint32_t pid, ppid, tid, ptid;
    uint64_t time;
} task_t;

static int open_event(unsigned type, unsigned config, unsigned cpu, bool all, bool tells_lost)
{
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = type;
    attr.config = config;
    attr.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU;
    attr.sample_id_all = 1;
    attr.use_clockid = 1;
    attr.clockid = CLOCK_MONOTONIC;
    attr.exclude_kernel = attr.exclude_hv = all;
    attr.context_switch = attr.task = all;
    if (!all) {
        attr.sample_type |= PERF_SAMPLE_RAW;
        attr.sample_period = 1;
    }
    attr.read_format = tells_lost ? READ_LOST : 0;
    /* On at once: enable_on_exec would be used up by the first child, which may be another. */
    attr.inherit = 1;
    return (int)syscall(SYS_perf_event_open, &attr, 0, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static int open_either(unsigned type, unsigned config, unsigned cpu, bool all)
{
    int fd = open_event(type, config, cpu, all, true);
    if (fd < 0 && errno == EINVAL)
        fd = open_event(type, config, cpu, all, false);
    return fd;
}

bool gt_sched_open(gt_sched_ring_t *ring, unsigned cpu, size_t pages, unsigned wakeups,
                   const char **call)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *ring = (gt_sched_ring_t){-1, -1, (uint16_t)cpu, NULL, pages * page};
    *call = "perf_event_open";
    ring->fd = open_either(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, cpu, true);
    if (ring->fd < 0)
        return false;
    *call = "mmap";
    void *memory = mmap(NULL, page + ring->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    if (memory == MAP_FAILED)
        goto fail;
    ring->memory = memory;
    if (wakeups != 0) {
        *call = "wakeups";
        ring->wakeups_fd = open_either(PERF_TYPE_TRACEPOINT, wakeups, cpu, false);
        if (ring->wakeups_fd < 0 || ioctl(ring->wakeups_fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fd) != 0)
            goto fail;
    }
    return true;
fail:;
    int code = errno;
    gt_sched_close(ring);
    errno = code;
    return false;
}

void gt_sched_close(gt_sched_ring_t *ring)
{
    if (ring->memory != NULL)
        munmap(ring->memory, (size_t)sysconf(_SC_PAGESIZE) + ring->bytes);
    if (ring->wakeups_fd >= 0)
        close(ring->wakeups_fd);
    if (ring->fd >= 0)
        close(ring->fd);
    ring->memory = NULL;
    ring->fd = ring->wakeups_fd = -1;
}

size_t gt_sched_take(gt_sched_ring_t *ring, unsigned char *to)
{
    struct perf_event_mmap_page *page = ring->memory;
    const unsigned char *data = (const unsigned char *)ring->memory + sysconf(_SC_PAGESIZE);
    /* Acquire: what is before `head` was written before it. */
    uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = page->data_tail; /* nobody else writes it */
    size_t bytes = (size_t)(head - tail);
    if (bytes > ring->bytes)
        return 0; /* not by any kernel */
    size_t at = (size_t)(tail % ring->bytes);
    size_t first = bytes < ring->bytes - at ? bytes : ring->bytes - at;
    memcpy(to, data + at, first);
    memcpy(to + first, data, bytes - first);
    /* Release: it is read before the kernel may write over it. */
    __atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
    return bytes;
}

long long gt_sched_lost(const gt_sched_ring_t *ring)
{
    long long lost = 0;
    const int fds[] = {ring->fd, ring->wakeups_fd};
    for (size_t i = 0; i < 2; i++) {
        uint64_t value[2]; /* the count, and the lost ones */
        if (fds[i] < 0)
            continue;
        if (read(fds[i], value, sizeof value) != (ssize_t)sizeof value)
            return -1;
        lost += (long long)value[1];
    }
    return lost;
}

static gt_sched_row_t row(uint64_t ts, gt_sched_what_t what, uint32_t cpu, uint32_t tid)
{
    return (gt_sched_row_t){ts, (uint64_t)what | (uint64_t)(cpu & 0xFFFF) << 16 | (uint64_t)tid << 32};
}

/* The row of one record, whose body of `size` bytes is at `body`; false if it has none. */
static bool decode_one(const struct perf_event_header *head, const unsigned char *body,
                       size_t size, unsigned tid_at, gt_sched_row_t *to)
{
    stamp_t stamp;
    if (size < sizeof stamp)
        return false;
    memcpy(&stamp, head->type == PERF_RECORD_SAMPLE ? body : body + size - sizeof stamp, sizeof stamp);
    size -= sizeof stamp;
    if (head->type == PERF_RECORD_SWITCH) {
        gt_sched_what_t what = GT_SCHED_RUNS;
        if (head->misc & PERF_RECORD_MISC_SWITCH_OUT)
            what = head->misc & OUT_PREEMPTED ? GT_SCHED_PREEMPTED : GT_SCHED_SLEEPS;
        *to = row(stamp.time, what, stamp.cpu, stamp.tid);
        return true;
    }
    if (head->type == PERF_RECORD_FORK || head->type == PERF_RECORD_EXIT) {
        task_t task;
        if (size < sizeof task)
            return false;
        memcpy(&task, body, sizeof task);
        bool started = head->type == PERF_RECORD_FORK;
        *to = row(task.time, started ? GT_SCHED_STARTED : GT_SCHED_ENDED, stamp.cpu, task.tid);
        return true;
    }
    if (head->type == PERF_RECORD_LOST) {
        uint64_t lost[2]; /* an id, and how many */
        if (size < sizeof lost)
            return false;
        memcpy(lost, body, sizeof lost);
        *to = row(stamp.time, GT_SCHED_LOST, stamp.cpu, lost[1] < UINT32_MAX ? (uint32_t)lost[1] : UINT32_MAX);
        return true;
    }
    uint32_t raw, tid;
    if (head->type != PERF_RECORD_SAMPLE || size < sizeof raw)
        return false;
    memcpy(&raw, body + sizeof stamp, sizeof raw);
    size -= sizeof raw;
    if (raw > size || raw < sizeof tid || tid_at > raw - sizeof tid)
        return false;
    memcpy(&tid, body + sizeof stamp + sizeof raw + tid_at, sizeof tid);
    *to = row(stamp.time, GT_SCHED_WOKEN, stamp.cpu, tid);
    return true;
}

static bool is_about(const gt_sched_row_t *row, uint32_t tid)
{
    return row->data >> 32 == tid && (row->data & 0xFF) != GT_SCHED_LOST;
}

size_t gt_sched_decode(const unsigned char *records, size_t bytes, unsigned tid_at, uint32_t not_tid,
                       gt_sched_row_t *rows)
{
    size_t taken = 0;
    while (bytes >= sizeof(struct perf_event_header)) {
        struct perf_event_header head;
        memcpy(&head, records, sizeof head);
        if (head.size < sizeof head || head.size > bytes)
            break;
        if (decode_one(&head, records + sizeof head, head.size - sizeof head, tid_at, &rows[taken]))
            taken += is_about(&rows[taken], not_tid) ? 0 : 1;
        records += head.size;
        bytes -= head.size;
    }
    return taken;
}
