/* What the interpreter calls instead of libc while the tap is installed. */
#ifndef GT_HOOKS_H
#define GT_HOOKS_H

#include "error.h"
#include "got.h"
#include "policy.h"

/* Those for recording are before those for a policy, which needs both. */
typedef enum { GT_HOOKS_RECORD, GT_HOOKS_POLICY } gt_hooks_t;

static inline bool gt_has_policy(void)
{
    return atomic_load_explicit(&gt_policy_mode, memory_order_relaxed) != GT_POLICY_CPYTHON;
}

/* Find the calls of an image to redirect; changes nothing there. A trial is not kept. */
bool gt_hooks_prepare(const gt_image_t *image, bool trial, gt_error_t *error);

/* Put the hooks of one kind in place. False: memory protection forbids it. Context: GIL held; it
 * is let go and taken back. */
bool gt_hooks_install(const gt_image_t *image, gt_hooks_t which);

/* Put back what was there before the hooks, those of a policy or all. Threads may be inside. */
void gt_hooks_remove(const gt_image_t *image, gt_hooks_t from);

/* After the policy has ended: wait until no thread uses its queues any more. Context: GIL held; it
 * is let go and taken back. */
void gt_hooks_settle(void);

/* A thread's priority is another. Context: the main GIL's mutex held. */
void gt_hooks_level_changed(uint32_t tid, int level);

/* In a forked child. */
void gt_hooks_forked(void);

#endif
