/* Shared memory that another process may cut short.
 *
 * Who has a file mapped gets SIGBUS when it touches what lies behind the file's end. A recorder maps
 * files of its targets, and must outlive whatever these do to them: the area is replaced by empty
 * memory, and whoever reads there finds out afterwards. Context of all: GIL held.
 */
#ifndef GT_GUARD_H
#define GT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Guard an area of whole pages; returns its number, or -1: there are too many. */
int gt_guard(void *at, size_t bytes);

/* Whether it was cut short. */
bool gt_guard_cut(int number);

/* Guard it no more; to be called before it is unmapped. */
void gt_unguard(int number);

#endif
