#define _GNU_SOURCE
#include "clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Extrapolation over a millisecond with a rate measured over two is off by less than 50 ns, and
 * by 0.5 us in the worst case, when the kernel slews the clock at its limit of 500 ppm. */
#define RESYNC_NS UINT64_C(1000000)
#define CALIBRATION_NS (2 * RESYNC_NS)

static uint64_t resync_ticks; /* 0: read the clock itself every time */
static uint64_t ns_per_tick;  /* 32.32 fixed point */

uint64_t gt_tick_ns;

static inline uint64_t in_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * UINT64_C(1000000000) + (uint64_t)time->tv_nsec;
}

uint64_t gt_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return in_ns(&now);
}

uint64_t gt_coarse_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return in_ns(&now);
}

#if defined(__x86_64__)
static inline uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* The kernel uses the counter as its clock source only while it is stable and the same on all
 * cores, and changes the source when it finds out otherwise. */
static bool trusted(void)
{
    char source[16] = {0};
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                  O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, source, sizeof source - 1);
    close(fd);
    return n > 0 && strcmp(source, "tsc\n") == 0;
}
#else
/* aarch64's vDSO reads the architected counter in a few ns: nothing to gain. */
static inline uint64_t ticks(void)
{
    return 0;
}

static bool trusted(void)
{
    return false;
}
#endif

typedef struct {
    uint64_t ticks, ns;
} instant_t;

/* Both at one instant: the best of a few readings, as we may be descheduled in between. */
static instant_t read_both(void)
{
    instant_t best = {0};
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t before = ticks();
        instant_t here = {.ns = gt_now_ns()};
        here.ticks = ticks();
        if (here.ticks - before < shortest) {
            shortest = here.ticks - before;
            best = here;
        }
    }
    return best;
}

void gt_clock_setup(void)
{
    struct timespec tick;
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    gt_tick_ns = in_ns(&tick);
    if (!trusted())
        return;
    instant_t from = read_both();
    while (gt_now_ns() - from.ns < CALIBRATION_NS)
        ;
    instant_t to = read_both();
    /* Stopped meanwhile, for seconds: that would not fit into what follows. */
    if (to.ns - from.ns > 1000 * CALIBRATION_NS || to.ticks <= from.ticks)
        return;
    ns_per_tick = ((to.ns - from.ns) << 32) / (to.ticks - from.ticks);
    if (ns_per_tick != 0)
        resync_ticks = (RESYNC_NS << 32) / ns_per_tick;
}

uint64_t gt_clock_ns(gt_clock_t *clock)
{
    if (resync_ticks == 0)
        return gt_now_ns();
    uint64_t now = ticks(), since = now - clock->ticks, ns;
    if (since < resync_ticks) {
        ns = clock->ns + (since * ns_per_tick >> 32);
    } else { /* also when another core's counter is a few ticks behind */
        ns = clock->ns = gt_now_ns();
        clock->ticks = ticks();
        if (clock->ticks - now > resync_ticks / 256)
            clock->ticks = 0; /* descheduled in between: good for this reading only */
    }
    if (ns < clock->last)
        ns = clock->last;
    clock->last = ns;
    return ns;
}
