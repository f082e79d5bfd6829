#include "load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { FIB_OF = 200, FIB_STEP = 16, CACHE_LINE = 64 };

/* Each counter has a cache line to itself: threads that share one slow each other down. */
typedef struct {
    _Alignas(CACHE_LINE) _Atomic uint64_t iterations;
} counter;

static counter counters[LOAD_MAX];
static uint64_t fib_calls[FIB_STEP + 1];

/* `n` is volatile so that the loop is not folded into one addition. */
static void *spin(void *argument)
{
    counter *own = argument;
    for (volatile uint64_t n = 1;; n++)
        atomic_store_explicit(&own->iterations, n, memory_order_relaxed);
    return NULL;
}

static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* fib, counting after each small subtree so that fib itself need not. The result for 200 does not
 * fit; nobody lives to see it. */
static unsigned fib_counted(unsigned n, counter *own)
{
    if (n > FIB_STEP)
        return fib_counted(n - 1, own) + fib_counted(n - 2, own);
    unsigned volatile value = fib(n);
    atomic_fetch_add_explicit(&own->iterations, fib_calls[n], memory_order_relaxed);
    return value;
}

static void *run_fib(void *argument)
{
    for (;;)
        fib_counted(FIB_OF, argument);
    return NULL;
}

bool load_start(load_kind kind, int count)
{
    fib_calls[0] = fib_calls[1] = 1;
    for (int n = 2; n <= FIB_STEP; n++)
        fib_calls[n] = fib_calls[n - 1] + fib_calls[n - 2] + 1;

    int error = 0;
    for (int index = 0; index < count && error == 0; index++) {
        pthread_t thread;
        error = pthread_create(&thread, NULL, kind == LOAD_FIB ? run_fib : spin, &counters[index]);
        if (error == 0)
            pthread_detach(thread);
    }
    if (error != 0)
        fprintf(stderr, "echo_server: cannot start a CPU thread: %s\n", strerror(error));
    return error == 0;
}

uint64_t load_iterations(int index)
{
    return atomic_load_explicit(&counters[index].iterations, memory_order_relaxed);
}
