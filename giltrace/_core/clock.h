/* CLOCK_MONOTONIC, read cheaply.
 *
 * The tap reads the clock twice per GIL cycle while it holds the GIL's mutex, and the vDSO's
 * clock_gettime() is most of what an event costs. Where the kernel itself trusts the CPU's time
 * stamp counter, readings are extrapolated from it for at most a millisecond.
 */
#ifndef GT_CLOCK_H
#define GT_CLOCK_H

#include <stdint.h>

/* A place to extrapolate from. Guarded by its owner's lock; zero is a valid start. */
typedef struct {
    uint64_t ticks, ns;
    uint64_t last; /* readings never go back */
} gt_clock_t;

/* Choose and calibrate, once per process; takes up to 2 ms. */
void gt_clock_setup(void);

/* ns of CLOCK_MONOTONIC, never less than the last reading from the same clock. Within
 * some tens of ns of gt_now_ns(). Context: any; does not block, allocate or set errno. */
uint64_t gt_clock_ns(gt_clock_t *clock);

/* ns of CLOCK_MONOTONIC by clock_gettime(). */
uint64_t gt_now_ns(void);

/* The same as of the kernel's last tick: some ms old at the most (see gt_tick_ns), and several
 * times cheaper than any of the above. */
uint64_t gt_coarse_ns(void);

/* How old that can be; set by gt_clock_setup(). */
extern uint64_t gt_tick_ns;

#endif
