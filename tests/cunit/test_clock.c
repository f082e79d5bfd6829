/* The extrapolated clock against clock_gettime(), while other threads take the CPU away. */
#include "clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* What clock.h promises is tens of ns; the bound allows for being descheduled for a few
 * microseconds inside one resynchronisation, which the clock cannot notice. */
enum { BOUND_NS = 6000, READINGS = 400000, SPINNERS = 3 };

static _Atomic int done;

static void *spin(void *unused)
{
    while (!done)
        ;
    return unused;
}

int main(void)
{
    gt_clock_setup();
    pthread_t spinners[SPINNERS];
    for (int i = 0; i < SPINNERS; i++)
        if (pthread_create(&spinners[i], NULL, spin, NULL) != 0)
            return 1;
    gt_clock_t clock = {0};
    uint64_t last = 0;
    int wrong = 0;
    for (int i = 0; i < READINGS; i++) {
        uint64_t before = gt_now_ns(), ns = gt_clock_ns(&clock), after = gt_now_ns();
        wrong += ns < last || ns + BOUND_NS < before || ns > after + BOUND_NS;
        last = ns;
    }
    done = 1;
    for (int i = 0; i < SPINNERS; i++)
        pthread_join(spinners[i], NULL);
    if (wrong != 0) {
        fprintf(stderr, "clock: %d of %d readings went back or were off\n", wrong, READINGS);
        return 1;
    }
    puts("clock: ok");
    return 0;
}
