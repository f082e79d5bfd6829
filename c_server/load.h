/* CPU threads beside the server, and how far they have come. */

#ifndef GILTRACE_LOAD_H
#define GILTRACE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_MAX = 1000 };

typedef enum { LOAD_SPIN, LOAD_FIB } load_kind;

/* Start `count` (at most LOAD_MAX) threads, which run until the process ends.
 * Context: once, before any other call here. Returns false, with a line on stderr, if a thread
 * cannot be started. */
bool load_start(load_kind kind, int count);

/* Iterations (turns of the loop, or calls of fib) of thread `index` so far.
 * Context: any thread, at any time; never blocks. */
uint64_t load_iterations(int index);

#endif
