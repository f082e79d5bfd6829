/* The priority of each thread that was given one, by its kernel thread id.
 *
 * A thread keeps its level in its own storage and looks here when someone else has changed
 * something. Ids are used again: an entry counts only for a thread that was born when the one was
 * for which it was made.
 */
#ifndef GT_LEVELS_H
#define GT_LEVELS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* +1 whenever a thread may find news here. Never 0. */
extern _Atomic uint32_t gt_levels_changes;

/* When a thread of this process was started, in clock ticks since boot; 0: there is none, or it
 * cannot be told. Reads /proc. */
uint64_t gt_levels_born(uint32_t tid);

/* Set a level. False: there is no room. Writers exclude one another (the main GIL's mutex; as long
 * as no hooks are in place, that GIL). `others`: the thread is not the caller and shall look here.
 * `lent`: for as long as the recording lasts. */
bool gt_levels_set(uint32_t tid, uint64_t born, int level, bool others, bool lent);

/* The recording is over: threads get back what they had; `changed` is told. Same context. */
void gt_levels_return(void (*changed)(uint32_t tid, int level));

/* The level of a thread; false: it was given none. `born`: called only if there is an entry. */
bool gt_levels_get(uint32_t tid, uint64_t (*born)(uint32_t tid), int *level);

/* In a forked child: only the thread that is left, with its new id. */
void gt_levels_forked(uint32_t tid, int level);

#endif
